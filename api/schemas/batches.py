"""Many images brought by one request, and what becomes of each."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

from api.requests.strict import StrictBody
from worker.decisions.priority import Priority

MOST_ITEMS = 500
_Text = Annotated[str, Field(max_length=2048)]


class BatchItem(StrictBody):
    """One image: by `url`, by `key` of an upload bucket, or by the `image_id` of one that is known."""

    url: _Text | None = Field(default=None, description="Where a worker fetches the file: `https://…`, public.")
    key: _Text | None = Field(default=None, description="Of an object that lies in an upload bucket already.")
    bucket: _Text | None = Field(default=None, description="Beside `key`; the first upload bucket when left out.")
    image_id: _Text | None = Field(
        default=None, description="Beside `url` the id that the image gets (one is made when left out), else its id."
    )
    source: _Text | None = Field(default=None, description="Beside `url`: where on the platform it comes from.")


class NewBatch(StrictBody):
    """Images to be judged."""

    items: Annotated[list[BatchItem], Field(min_length=1, max_length=MOST_ITEMS)]
    priority: Priority = Field(
        default=Priority.NORMAL,
        description="`high` goes before all that waits and needs the scope `ingest:priority`; `low` goes behind it.",
    )
    callback_url: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(
        default=None,
        description="Told once of each image's end. Its scheme, host and port are those of a registered webhook "
        "endpoint, whose secret signs.",
    )


class ItemState(StrEnum):
    """What becomes of an item."""

    ACCEPTED = "accepted"
    EXISTS = "exists"
    INVALID = "invalid"


class InvalidReason(StrEnum):
    """Why an item is not taken."""

    AMBIGUOUS = "ambiguous"  # not exactly one way to name the image, or a field that does not go with it
    INVALID_URL = "invalid_url"
    INVALID_ID = "invalid_id"
    UNKNOWN_IMAGE = "unknown_image"
    NO_SUCH_OBJECT = "no_such_object"
    NOT_TAKEN = "not_taken"  # another bucket, a folder, an erased image


class BatchItemResult(BaseModel):
    """What becomes of one item; the items stand in the order of the request."""

    state: ItemState = Field(
        description="`accepted`: it is new. `exists`: it is known, or being fetched, already. `invalid`: `reason` says "
        "why nothing comes of it."
    )
    image_id: str | None = None
    fetch_id: int | None = Field(default=None, description="Of a file that is being fetched: `/v1/fetches/{fetch_id}`.")
    reason: InvalidReason | None = None
    detail: str | None = Field(default=None, description="A sentence for people.")


class BatchResult(BaseModel):
    """What becomes of each item, and how many there are of each kind."""

    items: list[BatchItemResult]
    accepted: int
    existing: int
    invalid: int
