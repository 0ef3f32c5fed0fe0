"""A small HTTP server beside each process: its metrics, and whether it still makes its rounds."""

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from worker.metrics import LAST_ROUND
from worker.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Rounds:
    """Notes each round of a loop, and tells whether the last one is too long ago."""

    def __init__(self, process: str, longest_seconds: float, monotonic: Callable[[], float]) -> None:
        """Keep the limit; the first round counts as done now.

        Args:
            process: name of the loop, the metric's label.
            longest_seconds: age of the last round from which on the process is called dead.
            monotonic: clock, in seconds.
        """
        self._process = process
        self._longest = longest_seconds
        self._monotonic = monotonic
        self.note()

    def note(self) -> None:
        """Tell that a round is done."""
        self._last = self._monotonic()
        LAST_ROUND.labels(self._process).set_to_current_time()

    def alive(self) -> bool:
        """Tell whether the loop still goes round."""
        return self._monotonic() - self._last < self._longest


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Say nothing: machines ask every few seconds."""


def observed(alive: Callable[[], bool], registry: CollectorRegistry = REGISTRY) -> "WSGIApplication":
    """Return the WSGI application of a metrics port: ``/health/live``, 200 or 503, and metrics at all other paths."""
    metrics: WSGIApplication = make_wsgi_app(registry)

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/health/live":
            return metrics(environ, start_response)
        status, body = (HTTPStatus.OK, b"live\n") if alive() else (HTTPStatus.SERVICE_UNAVAILABLE, b"stuck\n")
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain")])
        return [body]

    return app


def serve_observed(host: str, port: int, alive: Callable[[], bool] = lambda: True) -> int:
    """Serve from a thread that ends with the process; return the port, which is chosen when 0 is given.

    Raises:
        OSError: the port is taken.
    """
    server = make_server(host, port, observed(alive), server_class=ThreadingWSGIServer, handler_class=_Silent)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)


def serve_metrics(settings: Settings, alive: Callable[[], bool] = lambda: True) -> None:
    """Serve this process's metrics, and whether it is alive, where the settings give a port."""
    if settings.metrics_port:
        serve_observed(settings.metrics_host, settings.metrics_port, alive)
