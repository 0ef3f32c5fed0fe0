# The API, the dispatcher, the listener, Flower and `assay setup`: everything that needs no torch.
# The whole image, for its `strip`.
FROM python:3.11.15-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /venv
COPY infra/docker/api.lock /api.lock
COPY infra/containers/prune.py /
# Hashes are required, and nothing is built from source: what is installed is what was tested.
# A pip.conf and the certificates that it names may be lent to the build as secrets; no layer holds them.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    pip --python /venv/bin/python install --require-hashes --only-binary :all: --no-compile -r /api.lock \
    && python /prune.py /venv/lib/python3.11/site-packages

FROM python:3.11.15-slim-bookworm
LABEL org.opencontainers.image.title="assay-api" org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 assay && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin assay
COPY --from=build /venv /venv
WORKDIR /app
COPY LICENSE ./
COPY migrations ./migrations
COPY worker ./worker
COPY api ./api
COPY infra ./infra
# What the API imports is compiled once, here: otherwise every start does it anew, for the root is read-only.
RUN PYTHONPATH=/app /venv/bin/python -c "import api.main, infra.healthcheck"
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
EXPOSE 8080 9100 5555
CMD ["python", "-m", "infra.cli", "api"]
