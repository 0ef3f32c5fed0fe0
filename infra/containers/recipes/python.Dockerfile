# Stands in for python:3.11-bookworm and its slim variant where no image can be pulled: Debian's own Python 3.11.
ARG DEBIAN=assay-stand-in/debian:bookworm
FROM ${DEBIAN} AS slim
LABEL assay.stand-in="Debian's Python 3.11 in place of the official image"
# As the official image has it: no compiled modules, and both programs under their plain names.
# The stable release keeps one version of each.
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -y -q --no-install-recommends python3 python3-pip ca-certificates \
    && ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/pip3 /usr/local/bin/pip \
    && find /usr/lib -depth -name __pycache__ -exec rm -rf {} + \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin

FROM slim AS whole
# The stable release keeps one version of each.
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -y -q --no-install-recommends build-essential python3-dev \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
