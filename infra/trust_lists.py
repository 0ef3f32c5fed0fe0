"""Fetches the lists of certificate authorities whose C2PA signatures are worth trusting, and says how old they are.

A list is kept only if it holds certificates; one that cannot be fetched leaves the one that is there.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from worker.errors import AssayError
from worker.provenance.anchors import certificates_in

RECORD = "lists.json"
# The lists have some hundred kilobytes.
_MOST_BYTES = 8 * 1024 * 1024
_SECONDS = 30.0
_OLD_DAYS = 90


class TrustListError(AssayError):
    """A trust list cannot be fetched; check the network, HTTPS_PROXY and ASSAY_C2PA_TRUST_LISTS."""


@dataclass(frozen=True)
class TrustList:
    """A list as it was fetched.

    Attributes:
        file: its name in the folder.
        url: where it came from.
        sha256: of its bytes.
        certificates: how many it holds.
        fetched_at: when, in UTC.
    """

    file: str
    url: str
    sha256: str
    certificates: int
    fetched_at: datetime

    def age_days(self, now: datetime) -> int:
        """Return for how many days it has been here."""
        return (now - self.fetched_at).days


def update_lists(urls: tuple[str, ...], folder: Path, *, client: httpx.Client, now: datetime) -> list[TrustList]:
    """Fetch every list into the folder and return what is there now.

    Args:
        urls: where the lists are; `https` alone.
        folder: made if it is not there.
        client: honours the environment's proxy and certificates.
        now: for the record.

    Raises:
        TrustListError: one of them is not to be had, or holds no certificate; those before it are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for url in urls:
        body = _fetch(url, client)
        count = len(certificates_in(body.decode("utf-8", "replace")))
        if count == 0:
            raise TrustListError(f"{url} holds no PEM certificate; the list that was here is kept")
        name = Path(urlsplit(url).path).name
        _write(folder / name, body)
        fetched = TrustList(name, url, hashlib.sha256(body).hexdigest(), count, now)
        others = [one for one in read_lists(folder) if one.file != name]
        rows = [vars(one) | {"fetched_at": one.fetched_at.isoformat()} for one in [*others, fetched]]
        _write(folder / RECORD, json.dumps(rows, indent=2).encode())
    return read_lists(folder)


def read_lists(folder: Path) -> list[TrustList]:
    """Return what the folder's record says; empty where nothing was fetched yet.

    Raises:
        TrustListError: a list was changed since it was fetched.
    """
    try:
        rows = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise TrustListError(f"{folder / RECORD} cannot be read: {error}; run `assay trust update`") from error
    lists = [TrustList(**{**row, "fetched_at": datetime.fromisoformat(row["fetched_at"])}) for row in rows]
    for one in lists:
        if hashlib.sha256((folder / one.file).read_bytes()).hexdigest() != one.sha256:
            raise TrustListError(f"{folder / one.file} was changed since it was fetched; run `assay trust update`")
    return lists


def describe_lists(folder: Path, now: datetime) -> Iterator[str]:
    """Yield a line for each list: how many certificates, how old; a warning where there are none or they are old."""
    lists = read_lists(folder)
    if not lists:
        yield "no trust lists: no C2PA signature is trusted; run `assay trust update`"
    for one in lists:
        age = one.age_days(now)
        old = f", older than {_OLD_DAYS} days: run `assay trust update`" if age > _OLD_DAYS else ""
        yield f"{one.file}: {one.certificates} certificates, {age} days old{old}"


def trust_client() -> httpx.Client:
    """Return a client that honours HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE of the environment."""
    return httpx.Client(timeout=_SECONDS, follow_redirects=True, trust_env=True)


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def _fetch(url: str, client: httpx.Client) -> bytes:
    if urlsplit(url).scheme != "https":
        raise TrustListError(f"{url}: trust lists come over https alone; correct ASSAY_C2PA_TRUST_LISTS")
    try:
        with client.stream("GET", url) as answer:
            answer.raise_for_status()
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise TrustListError(f"{url} is larger than {_MOST_BYTES} bytes")
            return bytes(body)
    except httpx.HTTPError as error:
        advice = "check the network, HTTPS_PROXY and ASSAY_C2PA_TRUST_LISTS; the list that was here is kept"
        raise TrustListError(f"{url} cannot be fetched ({error or type(error).__name__}); {advice}") from error


def _write(path: Path, body: bytes) -> None:
    """Write a file so that whoever reads it sees all of it or the one before."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(body)
    part.replace(path)
