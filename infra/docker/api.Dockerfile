# syntax=docker/dockerfile:1
# The API, the dispatcher, the listener, Flower and `assay setup`: everything that needs no torch.
FROM python:3.11.15-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /venv
COPY infra/docker/api.lock /api.lock
# Hashes are required, and nothing is built from source: what is installed is what was tested.
RUN pip --python /venv/bin/python install --require-hashes --only-binary :all: --no-compile -r /api.lock

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
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
EXPOSE 8080 9100 5555
CMD ["python", "-m", "infra.cli", "api"]
