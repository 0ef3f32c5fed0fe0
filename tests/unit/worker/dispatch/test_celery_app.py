"""The broker by its URL: what each transport is told, and that each queue gets its own messages alone."""

import ssl

import pytest

from worker.dispatch.celery_app import broker_url, make_celery, tls_options, transport_options
from worker.settings import Settings


def test_the_broker_is_valkey_unless_another_is_named() -> None:
    assert broker_url(Settings.model_validate({"redis_url": "redis://valkey/0"})) == "redis://valkey/0"
    both = {"redis_url": "redis://valkey/0", "broker_url": "amqp://assay:hush@rabbit//"}
    assert broker_url(Settings.model_validate(both)) == "amqp://assay:hush@rabbit//"


@pytest.mark.parametrize("broker", ["amqp://rabbit//", "amqps://rabbit//", "pyamqp://rabbit//"])
@pytest.mark.parametrize("confirms", [True, False])
def test_rabbitmq_is_told_nothing_that_it_would_refuse(broker: str, *, confirms: bool) -> None:
    assert transport_options(broker, None, confirms=confirms) == {"confirm_publish": confirms}


def test_only_who_publishes_scans_waits_until_rabbitmq_has_them() -> None:
    settings = Settings.model_validate({"broker_url": "amqp://rabbit//"})
    assert not make_celery(settings).conf.broker_transport_options["confirm_publish"]
    assert make_celery(settings, confirms=True).conf.broker_transport_options["confirm_publish"]


def test_sentinels_are_told_whose_master_they_watch() -> None:
    assert transport_options("sentinel://a:26379;sentinel://b:26379", "assay", confirms=True)["master_name"] == "assay"
    assert "master_name" not in transport_options("redis://valkey/0", None, confirms=True)


def test_each_queue_is_bound_to_its_own_messages() -> None:
    queues = make_celery(Settings()).amqp.queues
    assert {name: queue.routing_key for name, queue in queues.items()} == {
        name: name for name in ("scan.live", "scan.bulk", "training")
    }


@pytest.mark.parametrize(
    ("broker", "checks"), [("rediss://valkey/0", "ssl_cert_reqs"), ("amqps://rabbit//", "cert_reqs")]
)
def test_a_broker_with_tls_must_show_its_own_certificate(broker: str, checks: str) -> None:
    options = tls_options(broker)
    assert options is not None
    assert options[checks] is ssl.CERT_REQUIRED
    assert options.keys() & {"ssl_check_hostname", "server_hostname"}
    assert make_celery(Settings.model_validate({"broker_url": broker})).conf.broker_use_ssl == options


@pytest.mark.parametrize("broker", ["redis://valkey/0", "amqp://rabbit//", "sentinel://a:26379"])
def test_a_broker_without_tls_is_told_nothing_of_it(broker: str) -> None:
    assert tls_options(broker) is None


@pytest.mark.parametrize("scheme", ["redis", "rediss", "sentinel"])
def test_channels_keep_their_client_and_the_address_its_scheme(scheme: str) -> None:
    connection = make_celery(Settings.model_validate({"redis_url": f"{scheme}://valkey:6379/0"})).connection()
    assert connection.as_uri().startswith(f"{scheme}://")  # Flower looks for the broker's kind there
    assert connection.get_transport_cls().__module__ == "worker.dispatch.redis_transport"
