"""The server under pressure: half requests, floods of connections, and bodies whose end is not clear."""

import contextlib
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest
import uvicorn

from api.main import create_app
from api.server import serving
from tests.support.api_world import World
from worker.settings import Settings

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET /health/live HTTP/1.1\r\nHo"
MOST = 40
EVENT = b'{"Event": "s3:TestEvent"}'
POST = b"POST /v1/events/s3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer assay_ingest\r\n"
CHUNKS = b"19\r\n" + EVENT + b"\r\n0\r\n\r\n"


@pytest.fixture
def port(world: World) -> Iterator[int]:
    """Serve the fakes with a short deadline and a low cap."""
    settings = Settings(api_header_seconds=1.0, api_max_connections=MOST)
    server = uvicorn.Server(serving(create_app(world.services), settings))
    with closing(socket.create_server(("127.0.0.1", 0), backlog=2000)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield int(listening.getsockname()[1])
        server.should_exit = True
        thread.join()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answer_to(port: int, sent: bytes) -> bytes:
    """The status line of the first answer."""
    with closing(connected(port)) as connection:
        connection.sendall(sent)
        return connection.recv(65536).partition(b"\r\n")[0]


@pytest.mark.parametrize("sent", [b"", HALF, LIVE + HALF], ids=["nothing", "half", "half after a whole one"])
def test_a_request_that_does_not_come_whole_is_hung_up_on(port: int, sent: bytes) -> None:
    with closing(connected(port)) as connection:
        connection.sendall(sent)
        received = b""
        while more := connection.recv(65536):
            received += more
    assert received.rpartition(b"HTTP/1.1 ")[2].startswith(b"408")
    assert received.count(b"HTTP/1.1 200") == sent.count(LIVE)


def test_fifteen_hundred_half_requests_make_room_for_whole_ones(port: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1500):
            half = stack.enter_context(closing(connected(port)))
            with contextlib.suppress(ConnectionError):
                half.sendall(HALF)
        assert answer_to(port, LIVE) == b"HTTP/1.1 200 OK"


def test_a_connection_between_two_requests_is_kept(port: int) -> None:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.connect()
        one = connection.sock
        for _ in range(3):
            connection.request("GET", "/health/live")
            assert connection.getresponse().read() == b'{"status":"live"}'
        assert connection.sock is one


SMUGGLING = {
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "two lengths": b"Content-Length: 25\r\nContent-Length: 4\r\n\r\n" + EVENT,
    "a list of lengths": b"Content-Length: 25, 4\r\n\r\n" + EVENT,
    "a length with a sign": b"Content-Length: +25\r\n\r\n" + EVENT,
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "chunked before another": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + CHUNKS,
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
    "a bare carriage return": b"X: a\rTransfer-Encoding: chunked\r\nContent-Length: 25\r\n\r\n" + EVENT,
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n19\r\n" + EVENT + b"XX0\r\n\r\n",
    "a chunk's length in another form": b"Transfer-Encoding: chunked\r\n\r\n0x19\r\n" + EVENT + b"\r\n0\r\n\r\n",
    "a chunk's line without its return": b"Transfer-Encoding: chunked\r\n\r\n19;\n" + EVENT + b"\r\n0\r\n\r\n",
    "two hosts": b"Host: y\r\nContent-Length: 25\r\n\r\n" + EVENT,
}


@pytest.mark.parametrize("form", SMUGGLING)
def test_a_body_whose_end_is_not_clear_is_refused(port: int, form: str) -> None:
    assert answer_to(port, POST + SMUGGLING[form]) == b"HTTP/1.1 400 Bad Request"


def test_chunks_in_the_old_protocol_are_refused(port: int) -> None:
    old = POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS
    assert answer_to(port, old) == b"HTTP/1.1 400 Bad Request"
