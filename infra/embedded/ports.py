"""TCP ports on the loopback address: which are free, and who holds the others."""

import socket
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LISTEN_STATE = "0A"  # proc_pid_net(5): the socket's state column, as in the kernel's tcp_states.h


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket, as the kernel lists it."""

    address: str
    port: int
    inode: str


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set SO_REUSEADDR too; without it a port in TIME_WAIT would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(preferred: Iterable[int], avoid: Collection[int] = ()) -> int:
    """Take the first free port of those preferred, else any that is free.

    Args:
        preferred: Ports in order of preference; 0 stands for "any".
        avoid: Ports already promised to another part.

    Returns:
        A port that was free at the time of asking.
    """
    for port in preferred:
        if port and port not in avoid and is_free(port):
            return port
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in avoid:
            return port


def listeners() -> list[Listener]:
    """List every listening TCP socket of this network namespace, IPv4 and IPv6."""
    return [*_read_table(Path("/proc/net/tcp")), *_read_table(Path("/proc/net/tcp6"))]


def _read_table(table: Path) -> Iterator[Listener]:
    if not table.exists():
        return
    for line in table.read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN_STATE:
            address, port = fields[1].split(":")
            yield Listener(_decode_address(address), int(port, 16), fields[9])


def _decode_address(hexadecimal: str) -> str:
    # The kernel prints each 32-bit word in host order, which is little-endian on all we run on.
    raw = bytes.fromhex(hexadecimal)
    words = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    family = socket.AF_INET if len(words) == 4 else socket.AF_INET6  # noqa: PLR2004 - bytes of an IPv4 address
    return socket.inet_ntop(family, words)


def inodes_of(pid: int) -> set[str]:
    """List the socket inodes a process holds; empty if it is gone or not ours to look at."""
    held = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                held.add(target[8:-1])
    except OSError:
        return held
    return held


def holder_of(port: int) -> str:
    """Name the process that listens on a port, for an error message."""
    inodes = {listener.inode for listener in listeners() if listener.port == port}
    for entry in Path("/proc").iterdir() if inodes else ():
        if entry.name.isdigit() and inodes & inodes_of(int(entry.name)):
            name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
            return f"pid {entry.name} ({name})"
    return "another process"
