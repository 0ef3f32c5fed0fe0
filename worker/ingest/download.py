"""Downloads a file from a platform's address, under the guard that webhooks have: no way into Assay's own network."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin

import httpx

from worker.decisions.fetching import FetchReason, reason_for
from worker.errors import AssayError
from worker.images.image_types import HEAD_BYTES, ImageType, image_type, why_no_image
from worker.targets import Resolve, Target, TargetRefusedError, find_target

TOTAL_SECONDS = 30.0
MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchFailedError(AssayError):
    """The file cannot be had, and asking again would not change that."""

    def __init__(self, reason: FetchReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class UnreachableError(AssayError):
    """The file cannot be had now; it is asked for again."""


@dataclass(frozen=True)
class DownloadedFile:
    """A file and what it is by its bytes."""

    body: bytes
    type: ImageType


class Download:
    """Gets files; safe for many threads."""

    def __init__(
        self,
        *,
        max_bytes: int,
        private: bool,
        ports: Collection[int] = (),
        total_seconds: float = TOTAL_SECONDS,
        resolve: Resolve | None = None,
    ) -> None:
        """Keep the limits.

        Args:
            max_bytes: largest file.
            private: whether private addresses, and `http`, are allowed.
            ports: that are allowed; any where there are none.
            total_seconds: longest time from the first question to the last byte, redirects included.
            resolve: host and port to addresses; None asks the system.
        """
        self._max_bytes = max_bytes
        self._private = private
        self._ports = ports
        self._total_seconds = total_seconds
        self._resolve = resolve
        self._tls = httpx.create_ssl_context(trust_env=False)

    def __call__(self, url: str) -> DownloadedFile:
        """Return the file behind an address.

        Raises:
            FetchFailedError: gone, refused, too large, no image, or at an address that is forbidden.
            UnreachableError: no answer, one that breaks off or takes too long, or a server that asks to come again.
        """
        body = asyncio.run(self._get(url))
        kind = image_type(body[:HEAD_BYTES])
        if kind is None:
            raise FetchFailedError(FetchReason.NOT_AN_IMAGE, why_no_image(body))
        return DownloadedFile(body, kind)

    async def _get(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(self._total_seconds), self._client() as client:
                for _ in range(1 + MOST_REDIRECTS):
                    target = await self._find(url)
                    answer = await self._ask(client, target)
                    if isinstance(answer, bytes):
                        return answer
                    url = urljoin(url, answer)
        except TimeoutError as error:
            raise UnreachableError(f"no whole file within {self._total_seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise UnreachableError(type(error).__name__) from error
        raise FetchFailedError(FetchReason.TOO_MANY_REDIRECTS, f"more than {MOST_REDIRECTS} redirects")

    def _client(self) -> httpx.AsyncClient:
        # No redirects of its own, no proxies, no credentials from the environment: only the address that was checked.
        return httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=self._total_seconds, verify=self._tls)

    async def _find(self, url: str) -> Target:
        try:
            return await find_target(url, private=self._private, ports=self._ports, resolve=self._resolve)
        except TargetRefusedError as error:
            raise FetchFailedError(FetchReason.FORBIDDEN_ADDRESS, error.detail) from error

    async def _ask(self, client: httpx.AsyncClient, target: Target) -> bytes | str:
        """Return the file, or where a redirect leads."""
        headers = {"Host": target.host_header(), "User-Agent": "Assay-Fetch/1", "Accept": "image/*"}
        # Nothing packed: a small answer must not grow.
        headers["Accept-Encoding"] = "identity"
        request = client.build_request("GET", target.url(), headers=headers, extensions={"sni_hostname": target.host})
        response = await client.send(request, stream=True)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return response.headers["location"]
            _check(response.status_code)
            return await self._read(response)
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> FetchFailedError:
        return FetchFailedError(FetchReason.TOO_LARGE, f"more than {self._max_bytes} bytes")


def _check(status: int) -> None:
    if status == HTTPStatus.OK:
        return
    reason = reason_for(status)
    if reason is None:
        raise UnreachableError(f"answered {status}")
    raise FetchFailedError(reason, f"answered {status}")
