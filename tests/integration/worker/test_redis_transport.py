"""A channel to Valkey makes its client once, and another when its connections are."""

import pytest
from kombu.entity import Queue

from infra.embedded.addresses import StackAddresses
from worker.dispatch.celery_app import make_celery
from worker.settings import Settings

pytestmark = pytest.mark.integration


def test_messages_of_a_channel_share_a_client_and_arrive(stack: StackAddresses) -> None:
    app = make_celery(Settings.model_validate({"redis_url": stack.redis_url}))
    queue = Queue("one.client", routing_key="one.client")  # type: ignore[no-untyped-call]
    with app.connection_for_write() as connection, connection.Producer() as producer:
        clients = set()
        for number in range(3):
            producer.publish(number, routing_key="one.client", declare=[queue])
            with producer.channel.conn_or_acquire() as client:
                clients.add(id(client))
        assert len(clients) == 1
        with connection.SimpleQueue(queue, no_ack=True) as arrived:
            assert [arrived.get(timeout=5).payload for _ in range(3)] == [0, 1, 2]
        producer.channel._disconnect_pools()
        producer.publish(3, routing_key="one.client", declare=[queue])
        with producer.channel.conn_or_acquire() as client:
            assert client.connection_pool is producer.channel.pool
