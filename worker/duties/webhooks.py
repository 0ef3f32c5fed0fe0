"""Sends what waits in the outbox, as Standard Webhooks (standardwebhooks.com) say.

At least once, in no promised order, with the same `webhook-id` each time. The
receiver verifies the signature, answers 2xx within ten seconds, and does its
work afterwards.
"""

import asyncio
import base64
import hmac
import json
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

import httpx

from worker.database.event_messages import ErasedError, content_of
from worker.database.outbox import Outbox, Parcel
from worker.database.webhook_endpoints import SECRET_PREFIX
from worker.log import get_logger
from worker.targets import Resolve, Target, TargetRefusedError, find_target

log = get_logger()

# Waits before the second attempt and so on; after the last one a delivery is given up, and can be asked for again.
BACKOFF_SECONDS = (5.0, 60.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
TOTAL_SECONDS = 10.0
_READ_BYTES = 16 * 1024
# How often endpoints are looked for that something has become due for, while others are being served.
_LOOK_SECONDS = 0.5
# Each endpoint has some connections of its own; a limit for all would let slow ones hold up the others.
_ANY_NUMBER = httpx.Limits(max_connections=None, max_keepalive_connections=100)
# While an endpoint fails, whatever waits for it is held back; longer each time, up to an hour.
_PAUSE_SECONDS = (5.0, 30.0, 120.0, 600.0, 3600.0)


@dataclass(frozen=True)
class Sent:
    """How it went: the status that was answered, or why there is none."""

    status: int | None
    error: str

    @property
    def taken(self) -> bool:
        """Tell whether the receiver took it."""
        return self.status is not None and HTTPStatus(200) <= self.status < HTTPStatus(300)


def signatures(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """Return the `webhook-signature` of a message: one for each secret that is good now. Pure."""
    signed = f"{message_id}.{timestamp}.".encode() + body

    def one(secret: str) -> str:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
        return "v1," + base64.b64encode(hmac.digest(key, signed, sha256)).decode()

    return " ".join(map(one, secrets))


class Sender:
    """Sends deliveries; nothing it meets on the way raises."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        private: bool,
        ports: Collection[int] = (),
        disable_after_days: float,
        wall: Callable[[], float],
        resolve: Resolve | None = None,
    ) -> None:
        """Keep the parts.

        Args:
            outbox: what waits.
            private: whether private addresses, and `http`, are allowed.
            ports: that are allowed; any where there are none.
            disable_after_days: an endpoint that has failed for so long gets nothing more.
            wall: seconds since the epoch, which signatures carry.
            resolve: host and port to addresses; None asks the system.
        """
        self._outbox = outbox
        self._private = private
        self._ports = ports
        self._disable_after_days = disable_after_days
        self._wall = wall
        self._resolve = resolve
        # To read the system's certificates costs more than all else here, and most of the time nothing is due.
        self._tls = httpx.create_ssl_context(trust_env=False)

    def __call__(self) -> int:
        """Send all that is due now; return how much was taken by its receivers."""
        return 0 if self.rests() else asyncio.run(self._send_all())

    def rests(self) -> bool:
        """Tell whether nothing is due."""
        return not self._outbox.endpoints_due()

    async def _send_all(self) -> int:
        """Serve every endpoint in a task of its own, so that none waits for another, until nothing is due."""
        taken, serving = 0, dict[int, asyncio.Task[int]]()
        # No redirects, no proxies, no credentials from the environment: only the address that was checked.
        async with httpx.AsyncClient(
            follow_redirects=False, trust_env=False, timeout=TOTAL_SECONDS, limits=_ANY_NUMBER, verify=self._tls
        ) as client:
            while True:
                for endpoint_id in await asyncio.to_thread(self._outbox.endpoints_due):
                    if endpoint_id not in serving:
                        serving[endpoint_id] = asyncio.create_task(self._serve(client, endpoint_id))
                if not serving:
                    return taken
                await asyncio.wait(serving.values(), timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                for endpoint_id in [one for one, task in serving.items() if task.done()]:
                    taken += serving.pop(endpoint_id).result()

    async def _serve(self, client: httpx.AsyncClient, endpoint_id: int) -> int:
        """Send what is due for one endpoint, some at once."""
        taken = 0
        while parcels := await asyncio.to_thread(self._outbox.take, endpoint_id):
            targets = {url: await self._find(url) for url in {parcel.url for parcel in parcels}}
            taken += sum(await asyncio.gather(*(self._send(client, parcel, targets[parcel.url]) for parcel in parcels)))
        return taken

    async def _find(self, url: str) -> Target | Sent:
        """Return the checked address of an endpoint, or why there is none."""
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                return await find_target(url, private=self._private, ports=self._ports, resolve=self._resolve)
        except TargetRefusedError as error:
            return Sent(None, error.detail)
        except TimeoutError:
            return Sent(None, f"no address within {TOTAL_SECONDS:g} s")
        except (OSError, ValueError) as error:
            return Sent(None, type(error).__name__)

    async def _send(self, client: httpx.AsyncClient, parcel: Parcel, target: Target | Sent) -> bool:
        try:
            message = await asyncio.to_thread(content_of, self._outbox, parcel.event, parcel.payload, parcel.created_at)
        except ErasedError as error:
            await asyncio.to_thread(self._outbox.give_up, parcel, error.detail)
            return False
        body = json.dumps(message, separators=(",", ":")).encode()
        sent = target if isinstance(target, Sent) else await self._post(client, parcel, target, body)
        await asyncio.to_thread(self._mark, parcel, sent)
        return sent.taken

    async def _post(self, client: httpx.AsyncClient, parcel: Parcel, target: Target, body: bytes) -> Sent:
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                message_id, timestamp = f"msg_{parcel.delivery_id}", int(self._wall())
                headers = {
                    "Host": target.host_header(),
                    "Content-Type": "application/json",
                    "User-Agent": "Assay-Webhooks/1",
                    "webhook-id": message_id,
                    "webhook-timestamp": str(timestamp),
                    "webhook-signature": signatures(message_id, timestamp, body, parcel.secrets),
                }
                request = client.build_request(
                    "POST", target.url(), content=body, headers=headers, extensions={"sni_hostname": target.host}
                )
                return Sent(await _status(client, request), "")
        except TimeoutError:
            return Sent(None, f"no answer within {TOTAL_SECONDS:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Sent(None, type(error).__name__)

    def _mark(self, parcel: Parcel, sent: Sent) -> None:
        if sent.taken:
            self._outbox.delivered(parcel, sent.status or 0)
            return
        log.info("webhook_failed", endpoint=parcel.endpoint_id, status=sent.status, error=sent.error)
        last = parcel.attempts > len(BACKOFF_SECONDS)
        gone = sent.status == HTTPStatus.GONE
        self._outbox.failed(
            parcel,
            status=sent.status,
            error=sent.error or f"answered {sent.status}",
            retry_in=None if last else _jittered(BACKOFF_SECONDS[parcel.attempts - 1]),
            pause=_jittered(_PAUSE_SECONDS[min(parcel.failures, len(_PAUSE_SECONDS) - 1)]),
            disable="answered 410 Gone" if gone else None,
            disable_after_days=self._disable_after_days,
        )


async def _status(client: httpx.AsyncClient, request: httpx.Request) -> int:
    response = await client.send(request, stream=True)
    try:
        # What it says does not matter; a little is read, so that the receiver sees its answer taken.
        read = 0
        async for chunk in response.aiter_raw():
            read += len(chunk)
            if read > _READ_BYTES:
                break
        return response.status_code
    finally:
        await response.aclose()


def _jittered(seconds: float) -> float:
    return seconds * (0.8 + 0.4 * random.random())  # noqa: S311 - jitter, not a secret
