"""A container's health check: `python -S -m infra.healthcheck URL…` exits 0 when each answers 200.

It runs every few seconds in every container, also where cores are scarce. So it imports next to nothing: an HTTP client
of the standard library takes three times as long to load as all of this.
"""

import socket
import sys

_SECONDS = 4.0
_LONGEST_LINE = 64


def healthy(url: str) -> bool:
    """Tell whether a plain HTTP address, such as ``http://127.0.0.1:8080/health/live``, answers 200 in time."""
    place, _, path = url.removeprefix("http://").partition("/")
    host, _, port = place.partition(":")
    ask = f"GET /{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port or 80)), timeout=_SECONDS) as connection:
            connection.sendall(ask.encode())
            with connection.makefile("rb") as answer:
                return answer.readline(_LONGEST_LINE).split()[1:2] == [b"200"]
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    ailing = [url for url in sys.argv[1:] if not healthy(url)]
    if ailing or not sys.argv[1:]:
        print(f"no healthy answer: {' '.join(ailing) or 'give an address'}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
