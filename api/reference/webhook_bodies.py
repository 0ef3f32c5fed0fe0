"""What webhooks, callbacks and the feed of changes tell: an example of each, and the schema that follows from it."""

from collections.abc import Mapping
from typing import Any

from worker.database.webhook_endpoints import Event

EVENTS = {
    Event.VERDICT_CREATED: "an image has a new verdict, by machine or person",
    Event.VERDICT_CHANGED: "what is served for an image says something else than before",
    Event.SCAN_REJECTED: "an image cannot be scanned; `reason` says why",
    Event.SCAN_DEAD: "a scan was given up after its last attempt; it can be replayed",
    Event.FETCH_FAILED: "a file that you named by its address cannot be had; `reason` says why",
    Event.APPEAL_DECIDED: "a person decided an appeal; `state` says whether it was upheld",
    Event.BUNDLE_PROMOTED: "another bundle serves, by promotion or rollback",
}
_IMAGE = {"image_id": "post-4711", "source": "posts", "bucket": "uploads", "key": "posts/4711.jpg", "version": "3sL4kq"}
_VERDICT = {
    **_IMAGE,
    "verdict_id": 81,
    "verdict": "ai_generated",
    "probability": 0.973,
    "decided_by": "machine",
    "recommended_action": "label",
    "bundle_version": "wild-0123456789ab",
    "policy_version": 3,
}
_SCAN = {**_IMAGE, "scan_id": 93, "reason": "undecodable", "recommended_action": "hold"}
EXAMPLES: Mapping[Event, Mapping[str, Any]] = {
    Event.VERDICT_CREATED: _VERDICT,
    Event.VERDICT_CHANGED: {**_VERDICT, "previous": "uncertain"},
    Event.SCAN_REJECTED: _SCAN,
    Event.SCAN_DEAD: {**_SCAN, "reason": "attempts_exhausted"},
    Event.FETCH_FAILED: {
        "image_id": "post-4712",
        "source": "posts",
        "fetch_id": 12,
        "url": "https://media.platform.example/p/4712.jpg",
        "reason": "gone",
        "detail": "answered 404",
    },
    Event.APPEAL_DECIDED: {
        "image_id": "post-4711",
        "source": "posts",
        "appeal_id": 5,
        "state": "upheld",
        "appealed_verdict": "ai_generated",
        "appealed_verdict_id": 81,
        "verdict": "not_ai_generated",
        "verdict_id": 82,
        "decided_at": "2026-11-21T13:00:00+00:00",
        "recommended_action": "allow",
    },
    Event.BUNDLE_PROMOTED: {
        "bundle_version": "wild-0123456789ab",
        "previous_version": "wild-ba9876543210",
        "rollback": False,
        "reason": "found by the gate to be better",
    },
}
# People's verdicts have none of these, a promotion may be the first, and a verdict may be on its way.
_MAY_BE_NULL = {
    *("probability", "bundle_version", "policy_version", "recommended_action", "previous_version"),
    *("source", "detail", "reason"),
}
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def message_of(event: Event) -> dict[str, Any]:
    """Return an example of a whole message."""
    return {"type": event.value, "timestamp": "2026-11-21T12:00:00+00:00", "data": dict(EXAMPLES[event])}


def webhooks() -> dict[str, Any]:
    """Return the OpenAPI's `webhooks`: an operation for each event, with schema and example."""
    return {event.value: {"post": _operation(event, meaning)} for event, meaning in EVENTS.items()}


def _operation(event: Event, summary: str) -> dict[str, Any]:
    data = {
        "type": "object",
        "required": list(EXAMPLES[event]),
        "properties": {name: _schema_of(name, value) for name, value in EXAMPLES[event].items()},
    }
    schema = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": event.value, "type": "string"},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": data,
        },
    }
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": meaning}
        for name, meaning in (
            ("webhook-id", "The same at each attempt."),
            ("webhook-timestamp", "Seconds since the epoch."),
            ("webhook-signature", "Standard Webhooks: `v1,` and an HMAC-SHA256, for each secret that is good now."),
        )
    ]
    return {
        "operationId": event.value.replace(".", "_"),
        "description": summary[:1].upper() + summary[1:] + ".",
        "parameters": headers,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": message_of(event)}},
        },
        "responses": {"2XX": {"description": "Taken; anything else is tried again."}},
    }


def _schema_of(name: str, value: Any) -> dict[str, Any]:
    kind = _TYPES[type(value)]
    return {"type": [kind, "null"] if name in _MAY_BE_NULL else kind}
