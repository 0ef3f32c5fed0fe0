"""The client of `client.py` for asyncio, generated from it by `python -m infra.reference_docs`: copy both.

    async with AsyncAssay("https://assay.example", key) as assay:
        await assay.upload(Path("picture.jpg").read_bytes(), image_id="post-4711")
        print((await assay.wait_for_verdict("post-4711"))["verdict"])

What `client.py` returns is awaited here, and what it yields comes by ``async for``.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote
from uuid import uuid4

import httpx

from api.client import (
    _POSTPONED,
    _WAIT_SECONDS,
    FoundVerdict,
    Image,
    Json,
    LabelValue,
    Problem,
    VerdictValue,
    _bundle,
    _image,
    _problem,
    _without_none,
    verify_webhook,
)

__all__ = ["AsyncAssay", "Problem", "verify_webhook"]


class AsyncAssay:
    """A connection to one Assay; safe to share between tasks."""

    def __init__(
        self,
        address: str,
        key: str,
        *,
        attempts: int = 4,
        timeout: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Keep the address.

        Args:
            address: such as ``https://assay.example``.
            key: an API key.
            attempts: how often what is postponed is tried.
            timeout: seconds.
            sleep: waits so many seconds.
        """
        self._http = httpx.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=timeout)
        self._attempts = attempts
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    # --- Images --------------------------------------------------------------
    async def upload(
        self, image: bytes, image_id: str | None = None, source: str | None = None, media_type: str = "image/jpeg"
    ) -> Json:
        """Upload an image; its verdict comes by itself."""
        headers = {"Content-Type": media_type}
        headers |= {"Assay-Image-Id": quote(image_id, safe="")} if image_id else {}
        headers |= {"Assay-Source": quote(source, safe="")} if source else {}
        return await self._json("POST", "/v1/images", content=image, headers=headers)

    async def batch(
        self,
        items: Sequence[Mapping[str, str]],
        priority: Literal["high", "normal", "low"] = "normal",
        callback_url: str | None = None,
    ) -> Json:
        """Bring up to 500 images, each by its `url`, by its `key`, or by the `image_id` of one that is known."""
        body = _without_none(items=[dict(item) for item in items], priority=priority, callback_url=callback_url)
        return await self._json("POST", "/v1/images:batch", json=body)

    def fetches(self, state: Literal["queued", "leased", "done", "failed"] = "failed") -> AsyncIterator[Json]:
        """Yield files that were named by their address, newest first."""
        return self._pages("/v1/fetches", state=state)

    async def fetch(self, fetch_id: int) -> Json:
        """Return what became of a file that was named by its address."""
        return await self._json("GET", f"/v1/fetches/{fetch_id}")

    async def replay_fetch(self, fetch_id: int) -> Json:
        """Fetch a file again that could not be had."""
        return await self._json("POST", f"/v1/fetches/{fetch_id}/replay")

    async def image(self, image_id: str, as_of: datetime | None = None) -> Image:
        """Return what is served for an image, now or at a time."""
        answer: Image = await self._json("GET", _image(image_id), params=_without_none(as_of=as_of))  # type: ignore[assignment]
        return answer

    async def wait_for_verdict(self, image_id: str, seconds: float = 120.0) -> Image:
        """Wait until an image has its verdict or its scan ended without one.

        Raises:
            TimeoutError: neither came within so many seconds.
        """
        for _ in range(max(1, math.ceil(seconds / _WAIT_SECONDS))):
            try:
                answer: Image = await self._json("GET", _image(image_id), params={"wait": _WAIT_SECONDS})  # type: ignore[assignment]
            except Problem as problem:
                if problem.fields.get("fetch", {}).get("state") in {"queued", "leased"}:
                    continue  # its file is still on its way
                raise
            if answer["verdict"] is not None or answer["recommended_action"] is not None:
                return answer
        raise TimeoutError(f"no verdict within {seconds:g} s")

    async def thumbnail(self, image_id: str) -> str | None:
        """Return the address of a small picture, which works for some minutes; None while it is being made."""
        address: str | None = (await self._send("GET", f"{_image(image_id)}/thumbnail")).headers.get("Location")
        return address

    async def appeal(self, image_id: str, reason: str, contact: str | None = None) -> Json:
        """Appeal against what is served for an image; ``contact`` is your own reference for whoever appeals."""
        return await self._json(
            "POST", f"{_image(image_id)}/appeals", json=_without_none(reason=reason, contact=contact)
        )

    async def image_appeals(self, image_id: str) -> list[Json]:
        """Return the appeals against an image, newest first."""
        answer: list[Json] = (await self._json("GET", f"{_image(image_id)}/appeals"))["items"]
        return answer

    def appeals(self, state: Literal["open", "overdue", "upheld", "rejected"] = "open") -> AsyncIterator[Json]:
        """Yield appeals: open ones oldest first, decided ones newest first."""
        return self._pages("/v1/appeals", state=state)

    async def decide_appeal(
        self, appeal_id: int, decision: LabelValue, reason: str, reviewer: str | None = None
    ) -> Json:
        """Decide an appeal; the decision is served from now on."""
        body = _without_none(decision=decision, reason=reason, reviewer=reviewer)
        return await self._json("POST", f"/v1/appeals/{appeal_id}/decision", json=body)

    def history(
        self, image_id: str, *, as_of: datetime | None = None, bundle: str | None = None
    ) -> AsyncIterator[Json]:
        """Yield every verdict there was for an image, newest first."""
        return self._pages(f"{_image(image_id)}/verdicts", as_of=as_of, bundle=bundle)

    async def heatmap(self, image_id: str, detector: str) -> str:
        """Return the address of a detector's heatmap; it needs no key, for a short time.

        The verdict names the detectors that judged the image: `client.image(…)["verdict"]["detectors"]`.
        """
        return (await self._send("GET", f"{_image(image_id)}/heatmap", params={"detector": detector})).headers[
            "Location"
        ]

    async def frame(self, image_id: str) -> str:
        """Return the address of a picture of an animation's gravest frame; it needs no key, for a short time."""
        return (await self._send("GET", f"{_image(image_id)}/frame")).headers["Location"]

    async def ask_heatmaps(self, image_id: str) -> Json:
        """Ask for the heatmaps of an image that was not flagged; they come by themselves."""
        return await self._json("POST", f"{_image(image_id)}/heatmap")

    async def duplicates(self, image_id: str, most_distance: int = 31) -> list[Json]:
        """Return images of the same bytes and images that look alike, the nearest first."""
        answer = await self._json("GET", f"{_image(image_id)}/duplicates", params={"most_distance": most_distance})
        near: list[Json] = answer["items"]
        return near

    async def label(self, image_id: str, label: LabelValue, reason: str, reviewer: str | None = None) -> Json:
        """Say what an image is; that is served from now on."""
        body = _without_none(label=label, reason=reason, reviewer=reviewer)
        return await self._json("POST", f"{_image(image_id)}/labels", json=body)

    def labels(self, image_id: str) -> AsyncIterator[Json]:
        """Yield the labels of an image, newest first."""
        return self._pages(f"{_image(image_id)}/labels")

    def labelled_contents(
        self, state: Literal["agreed", "quarantined", "disputed"] | None = None, *, audit: bool | None = None
    ) -> AsyncIterator[Json]:
        """Yield what people have labelled, the content labelled last first."""
        return self._pages("/v1/labels", state=state, audit=audit)

    async def register_reviewer(self, name: str) -> Json:
        """Register a person who reviews behind a backend; their labels count as their own word from now on."""
        return await self._json("POST", "/v1/reviewers", json={"name": name})

    async def reviewers(self) -> list[Json]:
        """Return the registered reviewers, by name."""
        return list((await self._json("GET", "/v1/reviewers"))["items"])

    async def remove_reviewer(self, name: str) -> None:
        """Let a name count no more; labels keep what they counted."""
        await self._send("DELETE", f"/v1/reviewers/{quote(name, safe='')}")

    async def export(
        self,
        content: Literal["verdicts", "decisions", "appeals"],
        since: datetime,
        until: datetime,
        form: Literal["parquet", "csv"] = "parquet",
    ) -> Json:
        """Ask for files of what happened within a period."""
        body = _without_none(content=content, format=form, since=since, until=until)
        return await self._json("POST", "/v1/exports", json=body)

    async def wait_for_export(self, export_id: int, seconds: float = 600.0, every_seconds: float = 2.0) -> Json:
        """Wait until an export is done or has failed; its `files` then have addresses that work for some minutes.

        Raises:
            TimeoutError: it is neither within so many seconds.
        """
        for _ in range(max(1, math.ceil(seconds / every_seconds))):
            answer = await self._json("GET", f"/v1/exports/{export_id}")
            if answer["state"] in {"done", "failed"}:
                return answer
            await self._sleep(every_seconds)
        raise TimeoutError(f"no export within {seconds:g} s")

    async def transparency_report(self, since: date, until: date) -> Json:
        """Return what happened from a day on and before another, in the terms of the DSA's transparency reports."""
        period = {"from": since.isoformat(), "to": until.isoformat()}
        return await self._json("GET", "/v1/transparency-report", params=period)

    async def audit_rates(self) -> Json:
        """Return how often machine verdicts are wrong, on the audit slice."""
        return await self._json("GET", "/v1/labels/audit")

    def audit_worklist(self) -> AsyncIterator[Json]:
        """Yield the images of the audit slice that nobody has labelled."""
        return self._pages("/v1/labels/audit/unlabelled")

    async def erase(self, image_id: str) -> None:
        """Erase an image for good."""
        await self._send("DELETE", _image(image_id))

    # --- Verdicts and scans ---------------------------------------------------
    def search(
        self,
        *,
        verdict: VerdictValue | None = None,
        source: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        min_probability: float | None = None,
        max_probability: float | None = None,
    ) -> AsyncIterator[FoundVerdict]:
        """Yield verdicts, newest first; more pages are asked for as they are needed."""
        probability = {"min_probability": min_probability, "max_probability": max_probability}
        return self._pages("/v1/verdicts", verdict=verdict, source=source, since=since, until=until, **probability)

    async def verdict(self, verdict_id: int) -> FoundVerdict:
        """Return one verdict."""
        answer: FoundVerdict = await self._json("GET", f"/v1/verdicts/{verdict_id}")  # type: ignore[assignment]
        return answer

    async def changes(
        self, cursor: str | None = None, *, start: Literal["oldest", "newest"] = "oldest", events: Sequence[str] = ()
    ) -> Json:
        """Return what has changed since a cursor, held back up to 20 s until there is something.

        Keep `next_cursor` once you have acted on `items`, and call again with it. A :class:`Problem` of status 410
        says that the cursor is too old.
        """
        params: Json = {"wait": _WAIT_SECONDS, **({"cursor": cursor} if cursor else {"start": start})}
        return await self._json("GET", "/v1/changes", params={**params, "event": list(events)})

    def scans(self, state: str) -> AsyncIterator[Json]:
        """Yield scans of a state, newest first."""
        return self._pages("/v1/scans", state=state)

    async def rescan(self, image_ids: Sequence[str], bundle_version: str | None = None) -> Json:
        """Scan images again, by the champion or a bundle that is named."""
        return await self._json(
            "POST", "/v1/scans", json=_without_none(image_ids=list(image_ids), bundle_version=bundle_version)
        )

    async def rescan_under(self, bucket: str, prefix: str = "", bundle_version: str | None = None) -> int:
        """Scan all images under a prefix again at once and return how many; deprecated for `rescan_history`."""
        queued, cursor = 0, None
        while True:
            under = {"bucket": bucket, "prefix": prefix}
            body = _without_none(under=under, bundle_version=bundle_version, cursor=cursor)
            answer = await self._json("POST", "/v1/scans", json=body)
            queued, cursor = queued + int(answer["queued"]), answer["next_cursor"]
            if cursor is None:
                return queued

    async def replay(self, scan_id: int) -> Json:
        """Queue a dead scan again."""
        return await self._json("POST", f"/v1/scans/{scan_id}/replay")

    async def rescan_history(self, reason: str, rate: float = 10.0, **filters: Any) -> Json:
        """Scan again what a filter names (`bucket`, `prefix`, `verdict`, …), behind all live images."""
        return await self._json("POST", "/v1/rescans", json={"filter": filters, "rate": rate, "reason": reason})

    async def history_rescan(self, rescan_id: int) -> Json:
        """Tell how far a rescan has come."""
        return await self._json("GET", f"/v1/rescans/{rescan_id}")

    async def stats(self, hours: int = 24) -> Json:
        """Return figures of the whole."""
        return await self._json("GET", "/v1/stats", params={"hours": hours})

    async def drift(self, days: int = 30) -> list[Json]:
        """Return how verdicts have drifted, by day and source, newest first."""
        return list((await self._json("GET", "/v1/drift", params={"days": days}))["items"])

    # --- Policies, bundles, training ------------------------------------------
    def policies(self) -> AsyncIterator[Json]:
        """Yield the versions of the policy, newest first."""
        return self._pages("/v1/policies")

    async def add_policy(self, **terms: Any) -> Json:
        """Make a new version of the policy."""
        return await self._json("POST", "/v1/policies", json=terms)

    async def preview_policy(self, **terms: Any) -> Json:
        """Tell what a policy would change."""
        return await self._json("POST", "/v1/policies/preview", json=terms)

    async def bundles(self) -> list[Json]:
        """Return every bundle."""
        return list((await self._json("GET", "/v1/bundles"))["items"])

    async def bundle(self, version: str) -> Json:
        """Return one bundle with its card."""
        return await self._json("GET", _bundle(version))

    async def challenge(self, version: str, share: float, reason: str) -> Json:
        """Let a bundle scan a share of the live images in shadow."""
        return await self._json("POST", f"{_bundle(version)}/challenge", json={"share": share, "reason": reason})

    async def shadow(self, version: str) -> Json:
        """Tell what a challenger's verdicts would change."""
        return await self._json("GET", f"{_bundle(version)}/shadow")

    def flips(self, version: str) -> AsyncIterator[Json]:
        """Yield the images whose verdict a challenger would change, newest first."""
        return self._pages(f"{_bundle(version)}/flips")

    async def withdraw(self, version: str, reason: str) -> Json:
        """End a challenger's shadow."""
        return await self._json("POST", f"{_bundle(version)}/withdraw", json={"reason": reason})

    async def promote(self, version: str, reason: str, *, force: bool = False) -> Json:
        """Make a bundle champion that gate and shadow have passed, or by force."""
        return await self._json("POST", f"{_bundle(version)}/promote", json={"reason": reason, "force": force})

    async def roll_back(self, reason: str, champion: str | None = None) -> Json:
        """Make champion again what the champion replaced."""
        return await self._json("POST", "/v1/bundles/rollback", json={"reason": reason, "champion": champion})

    async def train(
        self,
        recipe: str,
        *,
        data: Sequence[str] = (),
        base_bundle: str | None = None,
        changes: Sequence[str] = (),
        minutes: float | None = None,
        shadow_share: float | None = None,
        allow_parallel: bool = False,
    ) -> Json:
        """Ask for a training run; the recipe `refit` fits heads, fusion and calibration alone."""
        options = _without_none(base_bundle=base_bundle, minutes=minutes, shadow_share=shadow_share)
        more = {"data": list(data), "changes": list(changes), "allow_parallel": allow_parallel}
        return await self._json("POST", "/v1/training-runs", json={"recipe": recipe, **options, **more})

    def training_runs(self, state: str | None = None) -> AsyncIterator[Json]:
        """Yield training runs, newest first."""
        return self._pages("/v1/training-runs", state=state)

    async def training_run(self, run_id: int) -> Json:
        """Return one training run."""
        return await self._json("GET", f"/v1/training-runs/{run_id}")

    async def watch_training(self, run_id: int, every_seconds: float = 2.0) -> AsyncIterator[Json]:
        """Yield what a training run tells, until it has ended."""
        after = 0
        while True:
            page = await self._json("GET", f"/v1/training-runs/{run_id}/events", params={"after": after})
            for one in page["items"]:
                yield one
            if page["ended"]:
                return
            after = page["next_after"]
            await self._sleep(every_seconds)

    async def training_report(self, run_id: int) -> Json:
        """Return what the gate found of a training run's bundle."""
        return await self._json("GET", f"/v1/training-runs/{run_id}/report")

    async def cancel_training(self, run_id: int) -> Json:
        """Cancel a training run."""
        return await self._json("POST", f"/v1/training-runs/{run_id}/cancel")

    # --- Webhooks and the trail -----------------------------------------------
    async def add_webhook(self, url: str, events: Sequence[str], description: str | None = None) -> Json:
        """Make a webhook endpoint; the answer holds its secret, which is shown this once."""
        body = _without_none(url=url, events=list(events), description=description)
        return await self._json("POST", "/v1/webhook-endpoints", json=body)

    async def remove_webhook(self, endpoint_id: int) -> None:
        """Remove a webhook endpoint."""
        await self._send("DELETE", f"/v1/webhook-endpoints/{endpoint_id}")

    def audit(self, action: str | None = None, target: str | None = None) -> AsyncIterator[Json]:
        """Yield the audit trail, newest first."""
        return self._pages("/v1/audit", action=action, target=target)

    async def _pages(self, path: str, **query: Any) -> AsyncIterator[Any]:
        params = _without_none(**query, limit=200)
        while True:
            page = await self._json("GET", path, params=params)
            for one in page["items"]:
                yield one
            if page["next_cursor"] is None:
                return
            params["cursor"] = page["next_cursor"]

    async def _json(self, method: str, path: str, **more: Any) -> Json:
        answer: Json = (await self._send(method, path, **more)).json()
        return answer

    async def _send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        once = {"Idempotency-Key": uuid4().hex} if method == "POST" else {}
        for left in reversed(range(self._attempts)):
            try:
                response = await self._http.request(method, path, headers={**once, **(headers or {})}, **more)
            except httpx.TransportError:
                if not left:
                    raise
                await self._sleep(1.0)
                continue
            if response.status_code in _POSTPONED and left:
                await self._sleep(float(response.headers.get("Retry-After", "1")))
                continue
            if response.is_error:
                raise Problem(response.status_code, _problem(response))
            return response
        raise ValueError("attempts must be at least 1")
