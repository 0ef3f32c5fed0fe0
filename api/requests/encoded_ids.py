"""Image ids in paths: what is percent-encoded stays so until the route is found.

Servers decode paths before anybody matches them, and then an id that ends in
``/verdicts`` looks like a route of its own. Percent-encoded as one segment,
every id is in reach; slashes may still stand as they are where no route is
meant by it.
"""

from typing import ClassVar
from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

IMAGES = "/v1/images/"


class _IdConvertor(Convertor[str]):
    regex: ClassVar[str] = ".+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("encoded", _IdConvertor())


class EncodedIds:
    """ASGI middleware: paths of images reach their routes as they were sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the path as it was sent in place of the decoded one."""
        if scope["type"] == "http" and scope["path"].startswith(IMAGES):
            raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
            sent = raw.decode("latin-1")
            if sent.startswith(IMAGES):
                scope["path"] = sent  # in place: what surrounds us asks the scope which route it was
        await self._app(scope, receive, send)
