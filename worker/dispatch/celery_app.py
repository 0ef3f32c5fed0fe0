"""Celery, configured once: a bell that says which scan to look at, nothing more."""

import socket
import ssl

from celery import Celery
from kombu import Queue

from worker.dispatch.queues import TRAINING_QUEUE
from worker.dispatch.redis_transport import register
from worker.settings import Settings

SCAN_TASK = "assay.scan_image"
TRAIN_TASK = "assay.train"

# As in worker.database.session: a broker whose machine is lost is noticed within half a minute.
# RabbitMQ's transport does so by itself.
_NOTICES_A_LOSS = {
    socket.TCP_KEEPIDLE: 10,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 4,
    socket.TCP_USER_TIMEOUT: 30_000,
}


def make_celery(settings: Settings, *, confirms: bool = False) -> Celery:
    """Return the app for a broker URL; every setting here was tried under ``kill -9`` and a flushed broker.

    Args:
        settings: name the broker.
        confirms: publishing waits until RabbitMQ has the message; of no meaning to other brokers. A worker must not
            wait so: what it publishes are events for Flower, and its event loop stands still meanwhile.
    """
    register()
    broker = broker_url(settings)
    app = Celery("assay", broker=broker)
    app.conf.update(
        # Acknowledged late: a message of a worker that ends cleanly goes back to the queue.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # One message a thread; what waits, waits where every worker can take it.
        worker_prefetch_multiplier=1,
        # Results live in Postgres.
        task_ignore_result=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_consumer="worker.dispatch.consumer:ReconnectingConsumer",
        broker_use_ssl=tls_options(broker),
        broker_transport_options=transport_options(broker, settings.broker_sentinel_master, confirms=confirms),
        task_default_queue="scan.live",
        task_queues=[Queue(name, routing_key=name) for name in ("scan.live", "scan.bulk", TRAINING_QUEUE)],
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        accept_content=["json"],
    )
    return app


def broker_url(settings: Settings) -> str:
    """Return where Celery's messages go: the broker of its own where one is set, else Valkey."""
    return (settings.broker_url or settings.redis_url).get_secret_value()


def tls_options(broker: str) -> dict[str, object] | None:
    """Return how the broker's certificate is checked; None where the address names no TLS.

    Left to itself, kombu takes any certificate for ``rediss://``, and for ``amqps://`` one of any host. What
    the address says of TLS (``?ssl_ca_certs=…``) takes the place of all this, and then redis-py checks both.
    """
    if broker.startswith("amqps"):
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}  # kombu puts the host's name there
    if broker.startswith("rediss"):
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    return None


def transport_options(broker: str, sentinel_master: str | None, *, confirms: bool) -> dict[str, object]:
    """Return what kombu's transport for this broker understands; RabbitMQ's would refuse what Redis' needs."""
    if broker.startswith(("amqp", "pyamqp")):
        return {"confirm_publish": confirms}
    redis: dict[str, object] = {
        "visibility_timeout": 300,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "health_check_interval": 25,
        "socket_keepalive": True,
        "socket_keepalive_options": _NOTICES_A_LOSS,
        "socket_connect_timeout": 5,
        # Queues are emptied in the order that a worker names them: live images before history.
        "queue_order_strategy": "priority",
    }
    if broker.startswith("sentinel"):
        return {**redis, "master_name": sentinel_master or "mymaster"}
    return redis
