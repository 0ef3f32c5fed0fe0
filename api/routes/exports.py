"""Exports: files of what happened within a period, made by workers, for archives and regulators."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AwareDatetime, BaseModel, Field

from api import parts
from api.auth import Needs, Operator
from api.errors.problems import WITH_BODY, InvalidError, ProblemError, problems
from api.requests.cursors import MAX_ID, Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.exports import KEPT_DAYS, prefix_of
from worker.database.tables import Export, ExportContent, ExportFormat, ExportState

router = APIRouter(prefix="/v1/exports", tags=["exports"], responses=problems(), route_class=OnceRoute)

ExportId = Annotated[int, Path(ge=1, le=MAX_ID)]
_may_read = Depends(Needs(Scope.OPERATE))


class NewExport(StrictBody):
    """What is wanted of which period."""

    content: ExportContent = Field(
        description="`verdicts`: every verdict that may be served. `decisions`: what you decided, with its statement "
        "of reasons as JSON. `appeals`: without reason and contact. None names a person or an image that is erased."
    )
    format: ExportFormat = ExportFormat.PARQUET
    since: AwareDatetime = Field(description="First moment (RFC 3339).")
    until: AwareDatetime = Field(description="First moment after the period; not in the future.")


class ExportFile(BaseModel):
    """One file of an export; all of them together hold its rows, in the order of time."""

    name: str
    rows: int
    bytes: int
    sha256: str
    url: str | None = Field(description="Works without a key for `ASSAY_PRESIGN_SECONDS`; null until all is done.")


class ExportOut(BaseModel):
    """An export and how far it has come."""

    id: int
    content: ExportContent
    format: ExportFormat
    since: datetime
    until: datetime
    state: ExportState
    rows: int = Field(description="Rows in the files so far.")
    files: list[ExportFile] = Field(description="At most 20,000 rows each.")
    error: str | None = Field(description="Of the last attempt, if it failed.")
    created_at: datetime
    finished_at: datetime | None


class ExportList(BaseModel):
    """A page of exports, newest first."""

    items: list[ExportOut]
    next_cursor: str | None


class ExportAnswers:
    """Lays exports out for answers."""

    def __init__(self, objects: parts.Objects, bucket: parts.ArtifactBucket, seconds: parts.PresignSeconds) -> None:
        self._objects = objects
        self._bucket = bucket
        self._seconds = seconds

    def of(self, export: Export) -> ExportOut:
        """Lay out one; addresses are made once all of it is there."""
        is_done = export.state == ExportState.DONE
        files = [
            ExportFile(**file, url=self._address(export.id, file["name"]) if is_done else None) for file in export.files
        ]
        names = set(ExportOut.model_fields) - {"files"}
        return ExportOut(**{name: getattr(export, name) for name in names}, files=files)

    def _address(self, export_id: int, name: str) -> str:
        return self._objects.presigned_url(self._bucket, prefix_of(export_id) + name, self._seconds)


Answers = Annotated[ExportAnswers, Depends()]


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=problems(409, *WITH_BODY))
def add_export(  # noqa: PLR0917 - parts of the app
    new: NewExport,
    exports: parts.Exports,
    shown: Answers,
    now: parts.Now,
    response: Response,
    actor: Annotated[Actor, Depends(Once(Scope.OPERATE))],
) -> ExportOut:
    """Ask for files of a period; a worker makes them, and they are kept for seven days."""
    if not new.since < new.until:
        raise InvalidError("body", "until", "must be after `since`")
    if new.until > now():
        raise InvalidError("body", "until", "must not be in the future: the period has to be over")
    export = exports.add(actor, new.content, new.format, new.since, new.until)
    response.headers["Location"] = f"/v1/exports/{export.id}"
    return shown.of(export)


@router.get("", dependencies=[_may_read])
def list_exports(exports: parts.Exports, shown: Answers, limit: Limit = 50, cursor: Cursor = None) -> ExportList:
    """List exports, newest first."""
    rows = exports.page(limit=limit + 1, before=decode_cursor(cursor))
    return ExportList(
        items=[shown.of(one) for one in rows[:limit]], next_cursor=next_cursor([one.id for one in rows], limit)
    )


@router.get("/{export_id}", responses=problems(404), dependencies=[_may_read])
def get_export(export_id: ExportId, exports: parts.Exports, shown: Answers) -> ExportOut:
    """Return an export: its state, its rows, and of each file SHA-256 and address."""
    export = exports.get(export_id)
    if export is None:
        raise _unknown()
    return shown.of(export)


@router.delete("/{export_id}", status_code=HTTPStatus.NO_CONTENT, responses=problems(404))
def remove_export(export_id: ExportId, exports: parts.Exports, actor: Operator) -> None:
    """Remove an export with its files, whether it is done or not."""
    if not exports.remove(actor, export_id):
        raise _unknown()


def _unknown() -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND, f"There is no export of this id; they are dropped {KEPT_DAYS} days after they ended."
    )
