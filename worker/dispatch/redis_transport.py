"""Kombu's transports for Valkey, with one client a channel: kombu makes one for each message and acknowledgement.

To make a client costs redis-py more than to send a message. Connections come from the same pool either way. The
transports go by kombu's own names, for Flower and reconnections choose by the scheme of the broker's address.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class _KeepsClients:
    """Keeps a channel's client for as long as its connections last."""

    pool: Any
    async_pool: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open the channel."""
        self._clients: dict[bool, Any] = {}
        super().__init__(*args, **kwargs)

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - kombu's own signature
        client = self._clients.get(asynchronous)
        pool = self.async_pool if asynchronous else self.pool
        if client is None or client.connection_pool is not pool:
            client = super()._create_client(asynchronous)  # type: ignore[misc]  # the channel's
            self._clients[asynchronous] = client
        return client


class Channel(_KeepsClients, redis.Channel):
    """A channel of one Valkey."""


class SentinelChannel(_KeepsClients, redis.SentinelChannel):
    """A channel of the master that sentinels name."""


class Transport(redis.Transport):
    """As kombu's, with the channel above."""

    Channel = Channel


class SentinelTransport(redis.SentinelTransport):
    """As kombu's, with the channel above."""

    Channel = SentinelChannel


def register() -> None:
    """Let kombu take these transports for addresses of Valkey."""
    TRANSPORT_ALIASES.update(
        redis=f"{__name__}:Transport", rediss=f"{__name__}:Transport", sentinel=f"{__name__}:SentinelTransport"
    )
