"""An upload's way: read under limits, looked at, stored in the upload bucket, registered as any other image."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated
from uuid import uuid4

from fastapi import Depends
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from api import parts
from api.errors.problems import InvalidError, ProblemError
from api.requests.bodies import Held, read_body, read_form, too_large
from api.requests.image_ids import checked_image_id, checked_source, from_header
from api.schemas.images import AcceptedScan, AcceptedUpload
from worker.database.audit import Actor
from worker.database.tables import ScanState
from worker.images.image_types import HEAD_BYTES, ImageType, image_type, why_no_image
from worker.ingest.events import ObjectCreated
from worker.log import get_logger
from worker.objects.versions import ObjectVersion

log = get_logger()

IMAGE_ID_HEADER = "Assay-Image-Id"
SOURCE_HEADER = "Assay-Source"
_FIELDS = ("file", "image_id", "source")
# Metadata of an upload that came under an idempotency key: the SHA-256 of its bytes.
_CONTENT = "content-sha256"


@dataclass(frozen=True)
class Upload:
    """An image as a platform sent it; ``named`` tells whether it came with an id."""

    body: bytes
    type: ImageType
    image_id: str
    source: str | None
    named: bool


async def read_upload(request: Request, limit: int, held: Held) -> Upload:
    """Read an upload of either form.

    Raises:
        ProblemError: 413 for too many bytes, 415 for what is no image, 422 for
            ids that cannot be, 400 for a broken form, 429 when too much is
            held already.
    """
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    image_id, source = _header(request, IMAGE_ID_HEADER), _header(request, SOURCE_HEADER)
    if content_type == "multipart/form-data":
        async with read_form(request, limit, held) as form:
            _refuse_unknown_fields(form)
            image_id, source = _field(form.get("image_id")) or image_id, _field(form.get("source")) or source
            body = await _file(form.get("file"), limit)
    elif content_type.startswith("image/"):
        body = await read_body(request, limit, held)
    else:
        raise _unsupported("Send `multipart/form-data` with a `file`, or the image itself as `image/*`.")
    kind = image_type(body[:HEAD_BYTES])
    if kind is None:
        raise _unsupported(f"Nothing was stored: {why_no_image(body)}.")
    return Upload(
        body,
        kind,
        checked_image_id(image_id) if image_id else uuid4().hex,
        checked_source(source) if source else None,
        named=bool(image_id),
    )


def fingerprint_of(upload: Upload) -> bytes:
    """Return what tells one upload from another, however it was packed."""
    image_id = upload.image_id if upload.named else ""
    return sha256(upload.body).digest() + f"{image_id}\x00{upload.source}".encode()


@dataclass(frozen=True)
class Intake:
    """Where an upload goes: through memory into the upload bucket, then into the register."""

    budget: parts.Budget
    max_bytes: parts.MaxImageBytes

    objects: parts.Objects
    register: parts.Register
    queries: parts.Queries
    audit: parts.Audit
    bucket: parts.UploadBucket
    now: parts.Now

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[Upload]:
        """Read an upload and keep its memory for as long as it is needed; raises as :func:`read_upload`."""
        with self.budget.hold() as held:
            yield await read_upload(request, self.max_bytes, held)

    def accept(self, upload: Upload, actor: Actor, once: str | None = None) -> AcceptedUpload:
        """Store an upload and register it; the event that the store sends of it changes nothing more.

        Args:
            upload: what came.
            actor: who sent it.
            once: its idempotency key. An upload that was cut off after it was stored is then not stored again.

        Raises:
            TransientError: a part is out of reach. The object may be stored all
                the same; the sweep then finds it.
        """
        name = f"{self.now():%Y-%m-%d}/{uuid4().hex}"
        metadata = {"image-id": upload.image_id} | ({"source": upload.source} if upload.source else {})
        if once is not None:
            name = "once/" + sha256(f"{actor.api_key_id}:{once}".encode()).hexdigest()[:32]
            metadata[_CONTENT] = sha256(upload.body).hexdigest()
        key = f"api/{name}{upload.type.suffix}"
        stored = self._stored_before(key, metadata) if once is not None else None
        if stored is None:
            stored = self.objects.put(self.bucket, key, upload.body, upload.type.media_type, metadata)
        registered = self.register(ObjectCreated(self.bucket, (key,), stored.version_id, stored.etag, len(upload.body)))
        if registered is None:
            raise RuntimeError(f"ingest refuses the upload bucket {self.bucket!r}")
        self.audit.note(actor, "image.upload", f"image:{registered.image_pk}")
        scan = None
        if not registered.created:  # the store's own event was faster, and the scan may have moved on already
            log.info("image_known", image=registered.image_pk, scan_id=registered.scan_id)
            scan = self.queries.scan(registered.scan_id)
        return AcceptedUpload(
            image_id=registered.image_id,
            bucket=self.bucket,
            key=registered.key,
            version=registered.version,
            scan=AcceptedScan(id=registered.scan_id, state=ScanState(scan[0].state) if scan else ScanState.QUEUED),
        )

    def _stored_before(self, key: str, metadata: Mapping[str, str]) -> ObjectVersion | None:
        """Return the version of an upload that a request of the same key stored before it died."""
        head = self.objects.head(self.bucket, key, None)
        return head.version if head and head.metadata.get(_CONTENT) == metadata[_CONTENT] else None


Uploads = Annotated[Intake, Depends()]


def _header(request: Request, name: str) -> str | None:
    value = request.headers.get(name)
    return from_header(name, value) if value else None


def _refuse_unknown_fields(form: FormData) -> None:
    for name in form:
        if name not in _FIELDS:
            raise InvalidError("body", name, f"unknown field; known are {', '.join(_FIELDS)}")


def _field(value: UploadFile | str | None) -> str | None:
    return value if isinstance(value, str) else None


async def _file(value: UploadFile | str | None, limit: int) -> bytes:
    if not isinstance(value, UploadFile):
        raise InvalidError("body", "file", "the form needs one file of this name")
    if (value.size or 0) > limit:
        raise too_large(limit)
    return await value.read()


def _unsupported(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
