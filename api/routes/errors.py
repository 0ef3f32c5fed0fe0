"""The catalogue of errors: the `type` of every problem leads here, without a key."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.errors.catalogue import CATALOGUE, PATH, ErrorCode, type_of
from api.errors.problems import invalid_only

router = APIRouter(prefix=PATH, tags=["errors"])


class KindOut(BaseModel):
    """A kind of error: what it means, and what to do."""

    type: str
    status: int
    title: str
    meaning: str
    remedy: str

    @classmethod
    def of(cls, code: ErrorCode) -> "KindOut":
        """Return the entry of a code."""
        kind = CATALOGUE[code]
        return cls(type=type_of(code), status=kind.status, title=kind.title, meaning=kind.meaning, remedy=kind.remedy)


class Kinds(BaseModel):
    """Every kind of error, by status."""

    items: list[KindOut]


@router.get("")
def list_errors() -> Kinds:
    """List every kind of error."""
    return Kinds(items=[KindOut.of(code) for code in CATALOGUE])


@router.get("/{code}", responses=invalid_only())
def get_error(code: ErrorCode) -> KindOut:
    """Tell what a kind of error means and what to do."""
    return KindOut.of(code)
