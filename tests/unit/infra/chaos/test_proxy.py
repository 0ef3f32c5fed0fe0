"""The proxy passes bytes on, and makes just the trouble that it is told to make."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra.chaos.proxy import Proxies, Proxy, Trouble

BODY = b"x" * 1000


class Store(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Proxies().open("127.0.0.1", server.server_port)
    server.shutdown()
    server.server_close()


def ask(proxy: Proxy) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)) as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_without_trouble_everything_arrives(proxy: Proxy) -> None:
    assert ask(proxy) == (200, BODY)


@pytest.mark.parametrize(("trouble", "status", "code"), [(Trouble.ERROR_500, 500, b"InternalError"),
                                                         (Trouble.SLOW_DOWN, 503, b"SlowDown")])  # fmt: skip
def test_a_store_in_trouble_is_answered_for(proxy: Proxy, trouble: Trouble, status: int, code: bytes) -> None:
    proxy.set(trouble)
    answered, body = ask(proxy)
    assert answered == status
    assert code in body
    proxy.set(Trouble.NONE)
    assert ask(proxy) == (200, BODY)


def test_a_body_breaks_off_in_the_middle(proxy: Proxy) -> None:
    proxy.set(Trouble.TRUNCATE)
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(proxy)
    assert 0 < len(broken.value.partial) < len(BODY)


def test_what_is_cut_answers_nobody_until_it_is_mended(proxy: Proxy) -> None:
    proxy.set(Trouble.CUT)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask(proxy)
    proxy.set(Trouble.NONE)
    assert ask(proxy) == (200, BODY)


def test_open_connections_are_cut_too(proxy: Proxy) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().read() == BODY
        proxy.set(Trouble.CUT)
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            ask_again(connection)


def ask_again(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/")
    connection.getresponse()


def test_what_stalls_goes_on_when_the_trouble_is_over(proxy: Proxy) -> None:
    proxy.set(Trouble.STALL)
    threading.Timer(0.2, proxy.set, [Trouble.NONE]).start()
    assert ask(proxy) == (200, BODY)
