"""Kombu's transport for Valkey, with one client a channel: kombu makes one for each message and acknowledgement.

To make a client costs redis-py more than to send a message. Connections come from the same pool either way.
"""

from typing import Any

from kombu.transport import redis


class Channel(redis.Channel):
    """Keeps its client for as long as its connections last."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open the channel."""
        self._clients: dict[bool, Any] = {}
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # kombu is not typed

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's own signature
        client = self._clients.get(asynchronous)
        pool = self.async_pool if asynchronous else self.pool
        if client is None or client.connection_pool is not pool:
            client = super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
            self._clients[asynchronous] = client
        return client


class Transport(redis.Transport):
    """As kombu's, with the channel above."""

    Channel = Channel
