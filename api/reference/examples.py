"""One example for each route: shown in the OpenAPI and on its page, and run by a test against the real thing."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI


@dataclass(frozen=True)
class Example:
    """A request that works.

    Attributes:
        route: method and path as in the OpenAPI.
        path: the path with values in it, query included.
        status: what it is answered with.
        body: what is sent as JSON.
        file: name of an image that is sent as it is.
        headers: what else is sent.
    """

    route: str
    path: str
    status: int = 200
    body: Any = None
    file: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def method(self) -> str:
        """Return the method."""
        return self.route.partition(" ")[0]

    def curl(self) -> str:
        """Return the request as a command; `$ASSAY` is the address, `$KEY` the header with the key."""
        parts = ["curl", '-H "$KEY"'] + ([f"-X {self.method}"] if self.method not in {"GET", "POST"} else [])
        parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers]
        if self.file:
            parts.append(f"--data-binary @{self.file}")
        elif self.body is not None:
            parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(self.body))}"]
        elif self.method == "POST":
            parts.append("-X POST")
        return " ".join([*parts, f'"$ASSAY{self.path}"'])


_TERMS = {"false_positive_budget": 0.005, "miss_budget": 0.05, "by_source": {"avatars": {"miss_budget": 0.1}}}
_EVENT = {
    "Records": [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "uploads"}, "object": {"key": "cat.jpg", "eTag": "d41d8cd98f00b204e9800998"}},
        }
    ]
}
_IMAGE = (("Content-Type", "image/jpeg"), ("Assay-Image-Id", "post-4711"), ("Idempotency-Key", "upload-4711"))

# In an order in which they can be run one after the other.
EXAMPLES = (
    Example("POST /v1/images", "/v1/images", 202, file="picture.jpg", headers=_IMAGE),
    Example("POST /v1/events/s3", "/v1/events/s3", 200, body=_EVENT),
    Example("GET /v1/images/{image_id}", "/v1/images/post-4711"),
    Example("GET /v1/images/{image_id}/verdicts", "/v1/images/post-4711/verdicts?as_of=2030-01-01T00:00:00Z"),
    Example("GET /v1/images/{image_id}/heatmap", "/v1/images/post-4711/heatmap?detector=convnext", 307),
    Example("GET /v1/images/{image_id}/frame", "/v1/images/post-4711/frame", 307),
    Example("POST /v1/images/{image_id}/heatmap", "/v1/images/post-4711/heatmap", 202),
    Example("GET /v1/images/{image_id}/duplicates", "/v1/images/post-4711/duplicates?most_distance=16"),
    Example(
        "POST /v1/images/{image_id}/labels",
        "/v1/images/post-4711/labels",
        201,
        body={"label": "ai_generated", "reason": "six fingers", "reviewer": "maria"},
    ),
    Example("GET /v1/images/{image_id}/labels", "/v1/images/post-4711/labels"),
    Example("POST /v1/reviewers", "/v1/reviewers", 201, body={"name": "maria"}),
    Example("GET /v1/reviewers", "/v1/reviewers"),
    Example("DELETE /v1/reviewers/{name}", "/v1/reviewers/maria", 204),
    Example("GET /v1/labels", "/v1/labels?state=disputed"),
    Example("GET /v1/labels/audit", "/v1/labels/audit"),
    Example("GET /v1/labels/audit/unlabelled", "/v1/labels/audit/unlabelled?limit=20"),
    Example("GET /v1/verdicts", "/v1/verdicts?verdict=ai_generated&min_probability=0.9&limit=20"),
    Example("GET /v1/verdicts/{verdict_id}", "/v1/verdicts/1"),
    Example("POST /v1/scans", "/v1/scans", 202, body={"image_ids": ["post-4711"]}),
    Example("GET /v1/scans", "/v1/scans?state=dead"),
    Example("GET /v1/scans/{scan_id}", "/v1/scans/1"),
    Example("POST /v1/scans/{scan_id}/replay", "/v1/scans/1/replay", 202),
    Example("GET /v1/stats", "/v1/stats?hours=24"),
    Example("GET /v1/sources", "/v1/sources"),
    Example("GET /v1/drift", "/v1/drift?days=7"),
    Example("GET /v1/policies", "/v1/policies"),
    Example("POST /v1/policies/preview", "/v1/policies/preview", body=_TERMS),
    Example("POST /v1/policies", "/v1/policies", 201, body=_TERMS),
    Example("GET /v1/bundles", "/v1/bundles"),
    Example("GET /v1/bundles/{version}", "/v1/bundles/wild-0123456789ab"),
    Example(
        "POST /v1/bundles/{version}/challenge",
        "/v1/bundles/cifake-0123456789ab/challenge",
        body={"share": 0.1, "reason": "from run 12, which the gate passed"},
    ),
    Example("GET /v1/bundles/{version}/shadow", "/v1/bundles/cifake-0123456789ab/shadow"),
    Example("GET /v1/bundles/{version}/flips", "/v1/bundles/cifake-0123456789ab/flips?limit=20"),
    Example(
        "POST /v1/bundles/{version}/withdraw",
        "/v1/bundles/cifake-0123456789ab/withdraw",
        body={"reason": "enough seen"},
    ),
    Example(
        "POST /v1/bundles/{version}/promote",
        "/v1/bundles/cifake-0123456789ab/promote",
        body={"reason": "an urgent step back to the smaller bundle", "force": True},
    ),
    Example("GET /v1/bundles/promotions", "/v1/bundles/promotions"),
    Example("POST /v1/bundles/rollback", "/v1/bundles/rollback", body={"reason": "more appeals since"}),
    Example(
        "POST /v1/rescans",
        "/v1/rescans",
        202,
        body={
            "filter": {"verdict": "uncertain", "since": "2026-11-01T00:00:00Z"},
            "rate": 5,
            "reason": "the new bundle knows this generator",
        },
    ),
    Example("GET /v1/rescans", "/v1/rescans"),
    Example("GET /v1/rescans/{rescan_id}", "/v1/rescans/1"),
    Example("POST /v1/rescans/{rescan_id}/cancel", "/v1/rescans/1/cancel", 202),
    Example(
        "POST /v1/training-runs",
        "/v1/training-runs",
        202,
        body={"recipe": "wild", "base_bundle": "wild-0123456789ab", "data": ["s3://uploads/reviewed/"]},
    ),
    Example("GET /v1/training-runs", "/v1/training-runs?state=queued"),
    Example("GET /v1/training-runs/{run_id}", "/v1/training-runs/1"),
    Example("GET /v1/training-runs/{run_id}/events", "/v1/training-runs/1/events?after=0"),
    Example("GET /v1/training-runs/{run_id}/report", "/v1/training-runs/1/report"),
    Example("POST /v1/training-runs/{run_id}/cancel", "/v1/training-runs/1/cancel", 202),
    Example(
        "POST /v1/webhook-endpoints",
        "/v1/webhook-endpoints",
        201,
        body={"url": "https://platform.example/assay", "events": ["verdict.created", "verdict.changed"]},
    ),
    Example("GET /v1/webhook-endpoints", "/v1/webhook-endpoints"),
    Example("GET /v1/webhook-endpoints/{endpoint_id}", "/v1/webhook-endpoints/1"),
    Example(
        "PATCH /v1/webhook-endpoints/{endpoint_id}",
        "/v1/webhook-endpoints/1",
        body={"events": ["verdict.changed", "scan.dead"]},
    ),
    Example("POST /v1/webhook-endpoints/{endpoint_id}/rotate", "/v1/webhook-endpoints/1/rotate"),
    Example("GET /v1/webhook-endpoints/{endpoint_id}/deliveries", "/v1/webhook-endpoints/1/deliveries"),
    Example(
        "POST /v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/redeliver",
        "/v1/webhook-endpoints/1/deliveries/1/redeliver",
        202,
    ),
    Example("DELETE /v1/webhook-endpoints/{endpoint_id}", "/v1/webhook-endpoints/1", 204),
    Example("GET /v1/retention", "/v1/retention"),
    Example("POST /v1/retention", "/v1/retention", 201, body={"image_days": 365, "heatmap_days": 90}),
    Example("GET /v1/audit", "/v1/audit?action=bundle.promote"),
    Example("DELETE /v1/images/{image_id}", "/v1/images/post-4711", 204),
    Example("GET /v1/errors", "/v1/errors"),
    Example("GET /v1/errors/{code}", "/v1/errors/too-many-requests"),
    Example("GET /health/live", "/health/live"),
    Example("GET /health/ready", "/health/ready"),
)


def show_examples(app: FastAPI) -> None:
    """Put the examples into the app's OpenAPI."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            for example in EXAMPLES:
                method, _, path = example.route.partition(" ")
                samples = [{"lang": "Shell", "label": "curl", "source": example.curl()}]
                # Routes of other parts of the app, such as the console's, may be served without these.
                if operation := schema["paths"].get(path, {}).get(method.lower()):
                    operation["x-codeSamples"] = samples
        assert app.openapi_schema is not None  # noqa: S101 - describing has filled it.
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
