"""Bodies and queries hold only what is known: a misspelt name is an error and never passes for a default."""

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from pydantic import BaseModel, ConfigDict

from api.errors.problems import InvalidError

# Stores post their own events here, with whatever is in the address that somebody gave them.
_FOREIGN = frozenset({"/v1/events/s3"})
_known_of: dict[Callable[..., Any], frozenset[str]] = {}


class StrictBody(BaseModel):
    """A request's body, or a part of one; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


def refuse_unknown_query(request: Request) -> None:
    """Refuse query parameters that the route does not know.

    Raises:
        InvalidError: there is one; the message names those that are known.
    """
    if not request.query_params or request.url.path in _FOREIGN:
        return
    names = query_names(request.scope["route"])
    for name in request.query_params:
        if name not in names:
            hint = f"known are {', '.join(sorted(names))}" if names else "there are none here"
            raise InvalidError("query", name, f"unknown parameter; {hint}")


def query_names(route: Any) -> frozenset[str]:
    """Name the query parameters of a route."""
    names = _known_of.get(route.endpoint)
    if names is None:
        params = get_flat_params(route.dependant)
        queries = (field for field in params if getattr(field.field_info, "in_", None) is ParamTypes.query)
        names = _known_of[route.endpoint] = frozenset(field.alias for field in queries)
    return names
