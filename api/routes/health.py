"""Health and metrics: for load balancers and scrapers, without a key, so without a secret."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from api import parts
from api.errors.problems import ProblemError, problem_response

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: str = "live"


class PartOut(BaseModel):
    """One part that the API needs; `hint` says where to look when it does not answer."""

    ok: bool
    hint: str | None


class Ready(BaseModel):
    """All parts answer."""

    status: str = "ready"
    parts: dict[str, PartOut]


@router.get("/health/live")
async def live() -> Live:
    """Tell that the process answers."""
    return Live()


@router.get(
    "/health/ready",
    response_model=Ready,
    responses={503: {"description": "A part does not answer; `parts` says which"}},
)
def ready(request: Request, readiness: parts.Readiness) -> Ready | Response:
    """Tell whether database, migrations and object store are there."""
    checked = {name: PartOut(ok=part.ok, hint=part.hint) for name, part in readiness().items()}
    if all(part.ok for part in checked.values()):
        return Ready(parts=checked)
    missing = ", ".join(name for name, part in checked.items() if not part.ok)
    return problem_response(
        request.state.request_id,
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"Not ready: {missing}.",
        {"Retry-After": "5"},
        parts={name: part.model_dump() for name, part in checked.items()},
    )


@router.get("/metrics", include_in_schema=False)
def metrics(serves_metrics: parts.ServesMetrics, registry: parts.Registry) -> Response:
    """Return the metrics in Prometheus' text format, where the settings serve them."""
    if not serves_metrics:
        raise ProblemError(HTTPStatus.NOT_FOUND, "Metrics are not served here.")
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
