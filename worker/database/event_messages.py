"""What is sent of an event, to webhooks and in the feed of changes: put together when it is sent, of ids that are kept.

So nothing that is erased lies in an outbox, and nobody is told of an image that is gone.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from worker.database.appeals import AppealCase
from worker.database.tables import Fetch, Image, Promotion, Scan, Verdict
from worker.database.webhook_endpoints import Event
from worker.decisions.action import Action
from worker.errors import AssayError

Payload = Mapping[str, Any]


class ErasedError(AssayError):
    """The image was erased."""


class Facts(Protocol):
    """What messages are put together of; everything is None where the image is erased."""

    def verdict(self, verdict_id: int) -> tuple[Verdict, Image] | None:
        """Return a verdict and its image."""

    def scan(self, scan_id: int) -> tuple[Scan, Image] | None:
        """Return a scan and its image."""

    def fetch(self, fetch_id: int) -> Fetch | None:
        """Return a fetch."""

    def appeal(self, appeal_id: int) -> AppealCase | None:
        """Return an appeal."""

    def promotion(self, promotion_id: int) -> Promotion | None:
        """Return a promotion."""

    def action(self, image: Image) -> Action | None:
        """Return what is recommended by what is served now; None while a verdict is on its way."""


def content_of(facts: Facts, event: str, payload: Payload, created_at: datetime) -> dict[str, Any]:
    """Return what is sent of an event: `type`, `timestamp` of what happened, and `data`.

    Raises:
        ErasedError: the image was erased meanwhile, so nothing is told of it any more.
    """
    return {"type": event, "timestamp": created_at.isoformat(), "data": _DATA[Event(event)](facts, payload)}


def _of_verdict(facts: Facts, payload: Payload) -> dict[str, Any]:
    row = facts.verdict(payload["verdict_id"])
    if row is None:
        raise ErasedError
    verdict, image = row
    body = {
        "image_id": image.image_id,
        "source": image.source,
        "bucket": image.bucket,
        "key": image.key,
        "version": image.version,
        "verdict_id": verdict.id,
        "verdict": verdict.verdict,
        "probability": verdict.probability,
        "decided_by": verdict.decided_by,
        "recommended_action": facts.action(image),
        "bundle_version": verdict.bundle_version,
        "policy_version": verdict.policy_version,
    }
    return body | ({"previous": payload["previous"]} if "previous" in payload else {})


def _of_scan(facts: Facts, payload: Payload) -> dict[str, Any]:
    row = facts.scan(payload["scan_id"])
    if row is None:
        raise ErasedError
    scan, image = row
    named = {"image_id": image.image_id, "source": image.source, "bucket": image.bucket, "key": image.key}
    ended = {"scan_id": scan.id, "reason": payload["reason"], "recommended_action": facts.action(image)}
    return {**named, "version": image.version, **ended}


def _of_fetch(facts: Facts, payload: Payload) -> dict[str, Any]:
    fetch = facts.fetch(payload["fetch_id"])
    if fetch is None:
        raise ErasedError
    named = {"image_id": fetch.image_id, "source": fetch.source, "fetch_id": fetch.id, "url": fetch.url}
    return {**named, "reason": payload["reason"], "detail": fetch.detail}


def _of_appeal(facts: Facts, payload: Payload) -> dict[str, Any]:
    case = facts.appeal(payload["appeal_id"])
    if case is None or case.decision is None or case.appeal.decided_at is None:
        raise ErasedError
    return {
        "image_id": case.image.image_id,
        "source": case.image.source,
        "appeal_id": case.appeal.id,
        "state": case.appeal.state,
        "appealed_verdict": case.verdict.verdict,
        "appealed_verdict_id": case.verdict.id,
        "verdict": case.decision.verdict,
        "verdict_id": case.decision.id,
        "decided_at": case.appeal.decided_at.isoformat(),
        "recommended_action": facts.action(case.image),
    }


def _of_promotion(facts: Facts, payload: Payload) -> dict[str, Any]:
    promotion = facts.promotion(payload["promotion_id"])
    if promotion is None:
        raise ErasedError
    return {
        "bundle_version": promotion.bundle_version,
        "previous_version": promotion.previous_version,
        "rollback": promotion.rollback,
        "reason": promotion.reason,
    }


_DATA: dict[Event, Callable[[Facts, Payload], dict[str, Any]]] = {
    Event.VERDICT_CREATED: _of_verdict,
    Event.VERDICT_CHANGED: _of_verdict,
    Event.SCAN_REJECTED: _of_scan,
    Event.SCAN_DEAD: _of_scan,
    Event.FETCH_FAILED: _of_fetch,
    Event.BUNDLE_PROMOTED: _of_promotion,
    Event.APPEAL_DECIDED: _of_appeal,
}
