"""What lies in the artifact bucket: browsers are led to it, or it is read for them."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends
from starlette.responses import RedirectResponse

from api import parts


@dataclass(frozen=True)
class Bucket:
    """The artifact bucket; ``seconds`` is the life of an address without a key, ``max_bytes`` the most that is read."""

    objects: parts.Objects
    name: parts.ArtifactBucket
    seconds: parts.PresignSeconds
    max_bytes: parts.MaxImageBytes

    def lead_to(self, key: str, status: HTTPStatus = HTTPStatus.TEMPORARY_REDIRECT) -> RedirectResponse:
        """Redirect to an object; the address works without a key, for a short time."""
        address = self.objects.presigned_url(self.name, key, self.seconds)
        return RedirectResponse(address, status, {"Cache-Control": "no-store"})

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self.objects.read(self.name, key, max_bytes=self.max_bytes)


Artifacts = Annotated[Bucket, Depends()]
