"""A container's health check: `python -m infra.healthcheck URL…` exits 0 when each answers 200. It imports little."""

import sys
import urllib.error
import urllib.request

_SECONDS = 4.0


def healthy(url: str) -> bool:
    """Tell whether an address answers 200 in time; proxies of the environment are left alone."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_SECONDS) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's own OK
    except (OSError, urllib.error.URLError):
        return False


if __name__ == "__main__":
    ailing = [url for url in sys.argv[1:] if not healthy(url)]
    if ailing or not sys.argv[1:]:
        print(f"no healthy answer: {' '.join(ailing) or 'give an address'}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
