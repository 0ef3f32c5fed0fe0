"""uvicorn's own HTTP/1.1 protocol, with what it lacks: a deadline for request headers and a cap on connections.

Half a request costs a stranger nothing. So a connection that waits for one is closed after its deadline, and sooner
where the server is full: the one that has waited longest makes room for the newest.
"""

import asyncio
from typing import Any, ClassVar

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.settings import Settings

_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedProtocol(H11Protocol):
    """One connection; the class attributes are one server's."""

    header_seconds: ClassVar[float]
    most_connections: ClassVar[int]
    # Connections that no request is on now, the one that has waited longest first.
    waiting: ClassVar[dict[H11Protocol, None]]
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, in place of one that waits where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            longest = next(iter(self.waiting), None)
            if not isinstance(longest, BoundedProtocol):
                self._end(_FULL)
                return
            longest._end(_TOO_LATE)  # noqa: SLF001 (one of the same class)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the connection out of the count."""
        self._work()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, then look whether a request's headers are still to come."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._work()
        elif self.conn.trailing_data[0]:
            self._wait()
        else:  # between requests: uvicorn's keep-alive time runs
            self.waiting.setdefault(self)

    def _wait(self) -> None:
        self.waiting.setdefault(self)
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_seconds, self._end, _TOO_LATE)

    def _work(self) -> None:
        self.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self, answer: bytes) -> None:
        self._work()
        self.connections.discard(self)
        self.transport.write(answer)
        self.transport.close()


def bounded_protocol(header_seconds: float, most_connections: int) -> type[H11Protocol]:
    """Make the protocol class of one server.

    Args:
        header_seconds: in which a request's line and headers must have come, from its first byte or the connection's
            beginning.
        most_connections: that are held at once.
    """
    bounds: dict[str, Any] = {"header_seconds": header_seconds, "most_connections": most_connections, "waiting": {}}
    return type("BoundedProtocol", (BoundedProtocol,), bounds)


def serving(app: FastAPI | str, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves the app: on the settings' address, under their limits.

    Args:
        app: the app, or where its factory is.
        settings: of the API.
    """
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=settings.api_host,
        port=settings.api_port,
        http=bounded_protocol(settings.api_header_seconds, settings.api_max_connections),
        # No log configuration of uvicorn's own, and no access log: the request context logs each request with its id.
        log_config=None,
        access_log=False,
        server_header=False,
        # Longer than load balancers keep theirs, so that it is they who close.
        timeout_keep_alive=75,
    )
