"""What a decoder process and its parent say to each other: a line of JSON with lengths, then bytes, over a socket.

Plain values alone cross, so that a process which was taken over can say nothing that its parent would run. A socket
needs neither files nor shared memory, which containers hold short.
"""

import json
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

_LENGTH = struct.Struct(">I")
_LONGEST_HEAD = 1024 * 1024
_CHUNK = 1024 * 1024

Buffer = bytes | bytearray | memoryview


class ClosedError(Exception):
    """The other side has gone, or says what it never should."""


class Line:
    """One end of the socket; what it does raises OSError where the other end has gone, TimeoutError past a deadline."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._deadline: float | None = None

    def allow(self, seconds: float) -> None:
        """Let all that follows take so many seconds together."""
        self._deadline = time.monotonic() + seconds

    def send(self, head: dict[str, Any], parts: Sequence[Buffer] = ()) -> None:
        """Send a head and the bytes that it announces."""
        line = json.dumps(head).encode()
        for part in (_LENGTH.pack(len(line)) + line, *parts):
            self._hurry()
            self._end.sendall(part)

    def receive(self) -> dict[str, Any]:
        """Receive a head; raises ClosedError where there is none."""
        (length,) = _LENGTH.unpack(self.receive_bytes(_LENGTH.size))
        if length > _LONGEST_HEAD:
            raise ClosedError(f"a head of {length} bytes")
        try:
            head = json.loads(self.receive_bytes(length))
        except ValueError as error:
            raise ClosedError("no JSON") from error
        if not isinstance(head, dict):
            raise ClosedError("no head")
        return head

    def receive_bytes(self, length: int) -> bytearray:
        """Receive so many bytes; raises ClosedError where fewer come."""
        buffer = bytearray(length)
        self.receive_into(memoryview(buffer))
        return buffer

    def receive_file(self, length: int) -> bytes:
        """Receive so many bytes without copying them once more, and without a deadline."""
        data = self._end.recv(length, socket.MSG_WAITALL) if length else b""
        if len(data) < length:
            raise ClosedError("the other side has gone")
        return data

    def receive_into(self, buffer: memoryview) -> None:
        """Fill a buffer of bytes; raises ClosedError where fewer come."""
        at = 0
        while at < len(buffer):
            self._hurry()
            count = self._end.recv_into(buffer[at : at + _CHUNK])
            if count == 0:
                raise ClosedError("the other side has gone")
            at += count

    def close(self) -> None:
        """Close this end; the other side finds out."""
        self._end.close()

    def _hurry(self) -> None:
        if self._deadline is None:
            return
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._end.settimeout(left)
