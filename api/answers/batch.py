"""Takes many images at once: each by itself, so that what is wrong with one keeps no other back."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from uuid import uuid4

from fastapi import Depends

from api import parts
from api.errors.problems import InvalidError, ProblemError
from api.requests.image_ids import checked_image_id, checked_source
from api.schemas.batches import BatchItem, BatchItemResult, InvalidReason, ItemState
from worker.database.audit import Actor
from worker.database.callbacks import CallbackTarget
from worker.database.fetches import NewFetch
from worker.decisions.priority import Priority
from worker.ingest.events import ObjectCreated
from worker.ingest.register import Intake
from worker.objects.versions import is_name
from worker.targets import TargetRefusedError, checked_url

# Questions to the object store beside each other, for one request.
_BESIDE = 4


@dataclass(frozen=True)
class BatchTerms:
    """What is asked for all items of a request."""

    actor: Actor
    priority: Priority
    callback: CallbackTarget | None


@dataclass(frozen=True)
class BatchIntake:
    """Where the items of a batch go: known images, objects that are there, and files that workers fetch."""

    standing: parts.Standing
    register: parts.Register
    fetches: parts.Fetches
    bucket: parts.UploadBucket
    private: parts.FetchPrivateAddresses

    def take(self, items: Sequence[BatchItem], terms: BatchTerms) -> list[BatchItemResult]:
        """Take the items; return what becomes of each, in their order.

        Raises:
            TransientError: a part is out of reach. Doing it again changes nothing that was done.
        """
        ways = [_way_of(item) for item in items]
        done: dict[int, BatchItemResult] = {at: way for at, way in enumerate(ways) if isinstance(way, BatchItemResult)}
        takers: dict[object, Callable[[dict[int, BatchItem], BatchTerms], dict[int, BatchItemResult]]] = {
            "url": self._take_urls,
            "key": self._take_keys,
            "image_id": self._take_known,
        }
        for name, take in takers.items():
            of_this_way = {at: items[at] for at, way in enumerate(ways) if way == name}
            if of_this_way:
                done |= take(of_this_way, terms)
        return [done[at] for at in range(len(items))]

    def _take_known(self, items: dict[int, BatchItem], terms: BatchTerms) -> dict[int, BatchItemResult]:
        image_pks = self.standing.find({item.image_id or "" for item in items.values()})
        self.standing.follow(set(image_pks.values()), terms.priority, terms.callback)
        unknown = "no image of this id is known; name it by `key` or `url`"
        return {
            at: BatchItemResult(state=ItemState.EXISTS, image_id=item.image_id)
            if item.image_id in image_pks
            else _invalid(InvalidReason.UNKNOWN_IMAGE, unknown, item.image_id)
            for at, item in items.items()
        }

    def _take_keys(self, items: dict[int, BatchItem], terms: BatchTerms) -> dict[int, BatchItemResult]:
        events = [ObjectCreated(item.bucket or self.bucket, (item.key or "",)) for item in items.values()]
        with ThreadPoolExecutor(_BESIDE) as threads:
            intakes = list(threads.map(lambda event: self.register.take_many([event]), events))
        image_pks = {one.image_pk for intake in intakes for one in intake.registered}
        self.standing.follow(image_pks, terms.priority, terms.callback)
        return dict(zip(items, map(_of_intake, intakes), strict=True))

    def _take_urls(self, items: dict[int, BatchItem], terms: BatchTerms) -> dict[int, BatchItemResult]:
        checked = {at: self._check(item) for at, item in items.items()}
        sound = {at: one for at, one in checked.items() if isinstance(one, NewFetch)}
        rows = self.fetches.add(terms.actor, list(sound.values()), terms.priority, terms.callback)
        taken = {
            at: BatchItemResult(
                state=ItemState.ACCEPTED if is_new else ItemState.EXISTS, image_id=one.image_id, fetch_id=fetch_id
            )
            for (at, one), (fetch_id, is_new) in zip(sound.items(), rows, strict=True)
        }
        return taken | {at: one for at, one in checked.items() if isinstance(one, BatchItemResult)}

    def _check(self, item: BatchItem) -> NewFetch | BatchItemResult:
        image_id = item.image_id or uuid4().hex
        try:
            url = checked_url(item.url or "", private=self.private)
            source = checked_source(item.source) if item.source is not None else None
            return NewFetch(checked_image_id(image_id), url, source)
        except TargetRefusedError as error:
            return _invalid(InvalidReason.INVALID_URL, error.detail, item.image_id)
        except InvalidError as error:
            return _invalid(InvalidReason.INVALID_ID, error.detail, item.image_id)


TakesBatches = Annotated[BatchIntake, Depends()]


def check_priority(actor: Actor, priority: Priority) -> None:
    """Refuse images that may not go before those of others.

    Raises:
        ProblemError: 403.
    """
    if priority is Priority.HIGH and not actor.hurries:
        detail = "This API key lacks the scope `ingest:priority`, which `priority` of `high` needs."
        raise ProblemError(HTTPStatus.FORBIDDEN, detail, missing_scope="ingest:priority")


def _way_of(item: BatchItem) -> str | BatchItemResult:
    """Return the field that names an image, or why there is none."""
    fields = {name: value for name, value in item.model_dump().items() if value is not None}
    way = next((name for name in ("url", "key") if name in fields), "image_id")
    if not fields.get(way) or not fields.keys() <= {way, *_BESIDE_IT[way]}:
        return _invalid(
            InvalidReason.AMBIGUOUS,
            "name one of `url` (with `image_id` and `source`), `key` (with `bucket`) and `image_id`",
            item.image_id,
        )
    if not all(is_name(fields.get(name, "x")) for name in ("image_id", "key", "bucket")):
        return _invalid(InvalidReason.INVALID_ID, "longer than 1,024 bytes, or with characters that no name has", None)
    return way


# What else may stand beside the field that names an image.
_BESIDE_IT: dict[str, set[str]] = {"url": {"image_id", "source"}, "key": {"bucket"}, "image_id": set()}


def _of_intake(intake: Intake) -> BatchItemResult:
    for registered in intake.registered:
        state = ItemState.ACCEPTED if registered.created else ItemState.EXISTS
        return BatchItemResult(state=state, image_id=registered.image_id)
    if intake.missing:
        return _invalid(InvalidReason.NO_SUCH_OBJECT, "the bucket has no object of this key", None)
    return _invalid(InvalidReason.NOT_TAKEN, "no upload bucket, a folder, or an image that was erased", None)


def _invalid(reason: InvalidReason, detail: str, image_id: str | None) -> BatchItemResult:
    return BatchItemResult(state=ItemState.INVALID, image_id=image_id, reason=reason, detail=detail)
