"""A platform's media server: files under paths, as they are at that moment."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Media:
    """What the server has.

    Attributes:
        port: where it listens on 127.0.0.1.
        pages: path to status, headers and body; what is not there is answered 404.
        requests: path and host of each request.
        held: set at the end; `/slow` answers no sooner.
    """

    port: int = 0
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the address of a file."""
        return f"http://{host}:{self.port}{path}"


@contextmanager
def media_server() -> Iterator[Media]:
    """Serve until the end of the block."""
    media = Media()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            media.requests.append((self.path, self.headers["Host"]))
            if self.path == "/slow":
                media.held.wait(20)
            status, headers, body = media.pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name.
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    media.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield media
    finally:
        media.held.set()
        server.shutdown()
        server.server_close()
