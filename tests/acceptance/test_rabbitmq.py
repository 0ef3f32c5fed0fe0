"""RabbitMQ in Valkey's place as broker: an image still gets its verdict, and a broker that dies costs nothing."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from infra.demo_images import photographs
from infra.embedded.ports import choose
from infra.embedded.supervisor import Supervisor
from infra.rabbitmq import RabbitMq
from tests.support.compose_processes import ComposeProcesses
from worker.dispatch.celery_app import make_celery
from worker.dispatch.publish import Publisher
from worker.settings import Settings

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, debian_program: Callable[[str], str]
) -> Iterator[tuple[RabbitMq, Supervisor]]:
    debian_program("rabbitmq-server")
    ports: list[int] = []
    for _ in range(3):
        ports.append(choose([0], avoid=ports))
    rabbitmq = RabbitMq(tmp_path_factory.mktemp("rabbitmq"), *ports)
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


def test_a_broker_that_is_killed_costs_time_and_no_image(
    compose: ComposeProcesses, broker: tuple[RabbitMq, Supervisor]
) -> None:
    rabbitmq = broker[1]
    os.killpg(rabbitmq.pids()["rabbitmq"], signal.SIGKILL)
    compose.s3.put_object(Bucket="uploads", Key="while-it-was-away.jpg", Body=photographs()[1].data)
    assert rabbitmq.wait_ready("rabbitmq", 120)
    assert compose.wait_ended("while-it-was-away.jpg", 180).state == "completed"
    # Its absence has a name: the dispatcher handed back what it had taken, and met nothing unforeseen.
    said = {line["event"] for line in compose.log("dispatcher")}
    assert "dispatch_failed" not in said
