"""RabbitMQ in Valkey's place as broker: an image still gets its verdict, and a broker that dies costs nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kombu import pools
from PIL import Image
from redis import Redis
from sqlalchemy import make_url

from infra.cli import doctor
from infra.cli.doctor import Finding
from infra.demo_images import as_jpeg, photographs
from infra.embedded.ports import choose
from infra.embedded.supervisor import Supervisor
from tests.support.compose_processes import ComposeProcesses
from tests.support.rabbitmq import RabbitMq
from tests.support.tls_front import Authority, tls_front
from worker.dispatch.celery_app import make_celery
from worker.dispatch.publish import Publisher
from worker.settings import Settings

_BURST = 100

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, debian_program: Callable[[str], str], authority: Authority
) -> Iterator[tuple[RabbitMq, Supervisor]]:
    debian_program("rabbitmq-server")
    ports: list[int] = []
    for _ in range(4):
        ports.append(choose([0], avoid=ports))
    clients, names, cluster, secure = ports
    tls = (secure, authority.path, authority.issue_file())
    rabbitmq = RabbitMq(tmp_path_factory.mktemp("rabbitmq"), clients, names, cluster, tls)
    supervisor = Supervisor()
    for process in rabbitmq.processes():
        supervisor.start(process)
    yield rabbitmq, supervisor
    supervisor.stop()


@pytest.fixture(scope="module")
def compose(
    tmp_path_factory: pytest.TempPathFactory, broker: tuple[RabbitMq, Supervisor]
) -> Iterator[ComposeProcesses]:
    secrets = {"assay_broker_url": broker[0].url}
    with ComposeProcesses(tmp_path_factory.mktemp("compose") / "run", secrets) as running:
        yield running


def test_an_image_gets_its_verdict_through_rabbitmq(
    compose: ComposeProcesses, broker: tuple[RabbitMq, Supervisor]
) -> None:
    compose.s3.put_object(Bucket="uploads", Key="rabbit.jpg", Body=photographs()[0].data)
    assert compose.wait_ended("rabbit.jpg", 120).state == "completed"
    # It went that way and no other: Celery has left nothing in Valkey, and RabbitMQ has the queue empty again.
    assert Redis.from_url(compose.addresses.redis_url).keys("_kombu*") == []
    settings = Settings.model_validate({"broker_url": broker[0].url})
    assert Publisher(make_celery(settings)).waiting("scan.live") == 0


def test_a_burst_of_images_through_rabbitmq_leaves_no_worker_waiting(compose: ComposeProcesses) -> None:
    """Threads that told Flower of their tasks waited for confirmations that another one had read; nothing moved on."""
    keys = [f"burst-{number}.jpg" for number in range(_BURST)]
    for number, key in enumerate(keys):
        compose.s3.put_object(Bucket="uploads", Key=key, Body=as_jpeg(Image.effect_noise((64, 64), 20 + number)))
    assert {compose.wait_ended(key, 100).state for key in keys} == {"completed"}


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Authority], Finding]:
    """Ask a broker as `assay doctor` does, trusting one authority."""

    def ask(address: str, trusted: Authority) -> Finding:
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted.path))
        pools.reset()  # type: ignore[no-untyped-call]  # or a connection that another test made to this address is taken
        return doctor._examine_one("broker", doctor._broker, "", Settings.model_validate({"broker_url": address}))

    return ask


def test_a_broker_whose_certificate_an_authority_of_ours_signed_is_used(
    examine: Callable[[str, Authority], Finding], broker: tuple[RabbitMq, Supervisor], authority: Authority
) -> None:
    assert examine(broker[0].tls_url, authority).healthy


def test_a_broker_with_a_stranger_s_certificate_is_refused_by_that_name(
    examine: Callable[[str, Authority], Finding], broker: tuple[RabbitMq, Supervisor], tmp_path: Path
) -> None:
    finding = examine(broker[0].tls_url, Authority(tmp_path, "stranger"))
    assert not finding.healthy
    assert "certificate verify failed" in finding.found


def test_a_broker_with_a_certificate_for_another_host_is_refused_by_that_name(
    examine: Callable[[str, Authority], Finding], broker: tuple[RabbitMq, Supervisor], authority: Authority
) -> None:
    plain = make_url(broker[0].url)
    with tls_front((str(plain.host), int(plain.port or 0)), authority.issue(host="elsewhere.example")) as port:
        finding = examine(broker[0].url.replace("amqp:", "amqps:").replace(str(plain.port), str(port)), authority)
    assert not finding.healthy
    assert "certificate is not valid for" in finding.found


def test_a_broker_that_is_killed_costs_time_and_no_image(
    compose: ComposeProcesses, broker: tuple[RabbitMq, Supervisor]
) -> None:
    rabbitmq = broker[1]
    os.killpg(rabbitmq.pids()["rabbitmq"], signal.SIGKILL)
    compose.s3.put_object(Bucket="uploads", Key="while-it-was-away.jpg", Body=photographs()[1].data)
    assert rabbitmq.wait_ready("rabbitmq", 120)
    assert compose.wait_ended("while-it-was-away.jpg", 180).state == "completed"
    # Its absence has a name: the dispatcher handed back what it had taken, and met nothing unforeseen.
    events = {line["event"] for line in compose.log("dispatcher")}
    assert "dispatch_failed" not in events
