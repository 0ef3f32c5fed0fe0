"""A proxy between two parts that cuts, slows, or answers as an object store in trouble does, when it is told to."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum, auto
from typing import Any

_CHUNK = 64 * 1024
_SLOW_SECONDS = 0.2
_METHODS = (b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE ")


class Trouble(Enum):
    """What a proxy does to connections."""

    NONE = auto()
    CUT = auto()  # those that are open end, new ones are refused
    SLOW = auto()  # every piece takes its time
    STALL = auto()  # nothing arrives, and nobody says so
    ERROR_500 = auto()
    SLOW_DOWN = auto()  # 503, as S3 says when it is asked too much
    TRUNCATE = auto()  # half of an object's body, then the end


def _answer(status: str, code: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>chaos</Message></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


_ANSWERS = {
    Trouble.ERROR_500: _answer("500 Internal Server Error", "InternalError"),
    Trouble.SLOW_DOWN: _answer("503 Slow Down", "SlowDown"),
}


class Proxies:
    """A thread with an event loop that all proxies share."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True).start()

    def open(self, host: str, port: int) -> "Proxy":
        """Return a proxy to an address; it listens on a free port of the loopback."""
        proxy = Proxy(self, host, port)
        proxy.port = self.run(proxy.listen())
        return proxy

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do work on the loop and return what it gives."""
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(10)


class Proxy:
    """Passes bytes on between whoever connects and one address."""

    def __init__(self, proxies: Proxies, host: str, port: int) -> None:
        self.port = 0
        self._proxies = proxies
        self._target = (host, port)
        self._trouble = Trouble.NONE
        self._changed = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    async def listen(self) -> int:
        """Start to accept connections; return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def set(self, trouble: Trouble) -> None:
        """Make trouble from now on, or none; what was stalled goes on with the next change."""
        self._proxies.run(self._set(trouble))

    async def _set(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._changed.set()
        self._changed = asyncio.Event()
        if trouble is Trouble.CUT:
            for writer in list(self._open):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._trouble is Trouble.CUT:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:  # the part is away: so it seems to whoever asks
            writer.transport.abort()
            return
        both = {writer, back}
        self._open |= both
        try:
            ways = [
                asyncio.ensure_future(self._ask(reader, writer, back)),
                asyncio.ensure_future(self._pass(there, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        finally:
            self._open -= both
            for end in both:
                end.close()

    async def _ask(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        """Pass on what the client sends; a request may be answered right here."""
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                answer = _ANSWERS.get(self._trouble)
                if answer and chunk.startswith(_METHODS):
                    client.write(answer)
                    await client.drain()
                    return
                await self._delay()
                server.write(chunk)
                await server.drain()

    async def _pass(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Pass on what the server sends, all or half of it."""
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._delay()
                head, _, body = chunk.partition(b"\r\n\r\n")
                cuts = self._trouble is Trouble.TRUNCATE and (body or not head.startswith(b"HTTP/"))
                client.write(chunk[: len(chunk) - len(body or chunk) // 2] if cuts else chunk)
                await client.drain()
                if cuts:
                    return

    async def _delay(self) -> None:
        if self._trouble is Trouble.SLOW:
            await asyncio.sleep(_SLOW_SECONDS)
        while self._trouble is Trouble.STALL:
            await self._changed.wait()
