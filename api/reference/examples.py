"""One request for each route: shown in the OpenAPI and on its page, and run by a test against the real thing."""

import json
import shlex
from dataclasses import dataclass
from typing import Any


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

    def python(self) -> str:
        """Return the request in Python, with httpx."""
        lines = ["import httpx", "", "answer = httpx.request(", f'    "{self.method}",', f'    ASSAY + "{self.path}",']
        named = {"Authorization": "Bearer …", **dict(self.headers)}
        lines.append(f"    headers={named!r},".replace("'Bearer …'", 'f"Bearer {KEY}"'))
        if self.file:
            lines.append(f'    content=open("{self.file}", "rb"),')
        elif self.body is not None:
            lines.append(f"    json={self.body!r},")
        return "\n".join([*lines, ")"])

    def javascript(self) -> str:
        """Return the request in JavaScript, with fetch."""
        named = {"Authorization": "Bearer …", **dict(self.headers)}
        if self.body is not None and not self.file:
            named["Content-Type"] = "application/json"
        headers = json.dumps(named, ensure_ascii=False).replace('"Bearer …"', "`Bearer ${KEY}`")
        lines = [f'const answer = await fetch(ASSAY + "{self.path}", {{', f'  method: "{self.method}",']
        lines.append(f"  headers: {headers},")
        if self.file:
            lines.append(f'  body: await fs.openAsBlob("{self.file}"),')
        elif self.body is not None:
            lines.append(f"  body: JSON.stringify({json.dumps(self.body, ensure_ascii=False)}),")
        return "\n".join([*lines, "});"])


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
    Example(
        "POST /v1/images:batch",
        "/v1/images:batch",
        202,
        body={
            "items": [
                {"url": "https://media.platform.example/p/4712.jpg", "image_id": "post-4712", "source": "posts"},
                {"key": "posts/4713.jpg"},
                {"image_id": "post-4711"},
            ],
            "priority": "normal",
        },
    ),
    Example("GET /v1/fetches", "/v1/fetches?state=queued"),
    Example("GET /v1/fetches/{fetch_id}", "/v1/fetches/1"),
    Example("POST /v1/fetches/{fetch_id}/replay", "/v1/fetches/1/replay", 202),
    Example("POST /v1/events/s3", "/v1/events/s3", 200, body=_EVENT),
    Example("GET /v1/images/{image_id}", "/v1/images/post-4711"),
    Example("GET /v1/images/{image_id}/verdicts", "/v1/images/post-4711/verdicts?as_of=2030-01-01T00:00:00Z"),
    Example("GET /v1/images/{image_id}/heatmap", "/v1/images/post-4711/heatmap?detector=convnext", 307),
    Example("GET /v1/images/{image_id}/frame", "/v1/images/post-4711/frame", 307),
    Example("GET /v1/images/{image_id}/thumbnail", "/v1/images/post-4711/thumbnail", 202),
    Example("POST /v1/images/{image_id}/heatmap", "/v1/images/post-4711/heatmap", 202),
    Example("GET /v1/images/{image_id}/duplicates", "/v1/images/post-4711/duplicates?most_distance=16"),
    Example(
        "POST /v1/images/{image_id}/appeals",
        "/v1/images/post-4711/appeals",
        201,
        body={"reason": "I took this picture in Lisbon.", "contact": "user-42"},
    ),
    Example("GET /v1/images/{image_id}/appeals", "/v1/images/post-4711/appeals"),
    Example("GET /v1/appeals", "/v1/appeals?state=open"),
    Example(
        "POST /v1/appeals/{appeal_id}/decision",
        "/v1/appeals/1/decision",
        body={"decision": "not_ai_generated", "reason": "EXIF and a second frame", "reviewer": "lena"},
    ),
    Example(
        "POST /v1/images/{image_id}/labels",
        "/v1/images/post-4711/labels",
        201,
        body={"label": "ai_generated", "reason": "six fingers", "reviewer": "maria"},
    ),
    Example(
        "PUT /v1/images/{image_id}/context",
        "/v1/images/post-4711/context",
        204,
        body={"context_url": "https://platform.example/posts/4711", "actor_id": "user-42"},
    ),
    Example("GET /v1/images/{image_id}/context", "/v1/images/post-4711/context"),
    Example("POST /v1/actors/forget", "/v1/actors/forget", body={"actor_id": "user-42"}),
    Example("GET /v1/images/{image_id}/labels", "/v1/images/post-4711/labels"),
    Example(
        "POST /v1/images/{image_id}/decisions",
        "/v1/images/post-4711/decisions",
        201,
        body={
            "decision_visibility": ["DECISION_VISIBILITY_CONTENT_LABELLED"],
            "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
            "incompatible_content_ground": "Terms of use, section 7: synthetic media",
            "incompatible_content_explanation": "AI-generated images carry a label.",
            "category": "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
            "territorial_scope": ["DE", "FR"],
            "content_date": "2026-11-20",
            "application_date": "2026-11-21",
            "source_type": "SOURCE_VOLUNTARY",
        },
    ),
    Example("GET /v1/images/{image_id}/statement", "/v1/images/post-4711/statement"),
    Example(
        "POST /v1/exports",
        "/v1/exports",
        202,
        body={
            "content": "verdicts",
            "format": "parquet",
            "since": "2026-01-01T00:00:00Z",
            "until": "2026-07-01T00:00:00Z",
        },
    ),
    Example("GET /v1/exports", "/v1/exports"),
    Example("GET /v1/exports/{export_id}", "/v1/exports/1"),
    Example("DELETE /v1/exports/{export_id}", "/v1/exports/1", 204),
    Example("GET /v1/transparency-report", "/v1/transparency-report?from=2026-01-01&to=2026-07-01"),
    Example("POST /v1/reviewers", "/v1/reviewers", 201, body={"name": "maria"}),
    Example("GET /v1/reviewers", "/v1/reviewers"),
    Example("DELETE /v1/reviewers/{name}", "/v1/reviewers/maria", 204),
    Example("GET /v1/labels", "/v1/labels?state=disputed"),
    Example("GET /v1/labels/audit", "/v1/labels/audit"),
    Example("GET /v1/labels/audit/unlabelled", "/v1/labels/audit/unlabelled?limit=20"),
    Example("GET /v1/verdicts", "/v1/verdicts?verdict=ai_generated&min_probability=0.9&limit=20"),
    Example("GET /v1/verdicts/{verdict_id}", "/v1/verdicts/1"),
    Example("GET /v1/changes", "/v1/changes?start=oldest&event=verdict.created&limit=100"),
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
