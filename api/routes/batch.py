"""Many images by one request: known ones, objects of an upload bucket, and files that workers fetch."""

from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends

from api import parts
from api.answers.batch import BatchTerms, TakesBatches, check_priority
from api.errors.problems import WITH_BODY, InvalidError, problems
from api.requests.idempotency import Once, OnceRoute
from api.schemas.batches import BatchResult, ItemState, NewBatch
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.callbacks import CallbackTarget
from worker.database.standing import origin_of, target_of
from worker.targets import TargetRefusedError, checked_url

router = APIRouter(prefix="/v1", tags=["images"], responses=problems(), route_class=OnceRoute)


@dataclass(frozen=True)
class CallbackTerms:
    """Where callbacks may go: to hosts of which an endpoint is registered, under the rules for webhooks."""

    endpoints: parts.WebhookEndpoints
    ports: parts.WebhookPorts
    private: parts.WebhookPrivateAddresses

    def find(self, url: str | None) -> CallbackTarget | None:
        """Return the target; raises an InvalidError for an address that is not sent to."""
        if url is None:
            return None
        try:
            checked_url(url, private=self.private, ports=self.ports)
        except TargetRefusedError as error:
            raise InvalidError("body", "callback_url", error.detail) from error
        target = target_of(self.endpoints, origin_of(url), url)
        if target is None:
            detail = "no enabled webhook endpoint has this scheme, host and port; register one, whose secret then signs"
            raise InvalidError("body", "callback_url", detail)
        return target


@router.post("/images:batch", status_code=HTTPStatus.ACCEPTED, responses=problems(409, *WITH_BODY))
def take_batch(
    batch: NewBatch,
    intake: TakesBatches,
    callbacks: Annotated[CallbackTerms, Depends()],
    actor: Annotated[Actor, Depends(Once(Scope.INGEST))],
) -> BatchResult:
    """Bring up to 500 images by one request, each answered by itself; files named by `url` are fetched by workers."""
    check_priority(actor, batch.priority)
    terms = BatchTerms(actor, batch.priority, callbacks.find(batch.callback_url))
    items = intake.take(batch.items, terms)
    counts = Counter(item.state for item in items)
    return BatchResult(
        items=items,
        accepted=counts[ItemState.ACCEPTED],
        existing=counts[ItemState.EXISTS],
        invalid=counts[ItemState.INVALID],
    )
