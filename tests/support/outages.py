"""Parts that are away when a test says so: what fails is what would fail, below Assay's own code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session
from sqlalchemy import Engine, text


class StoreOutage:
    """An object store that is out of reach for some requests, for every client made while it is installed.

    Attributes:
        of: requests that meet the outage: those whose `METHOD /path` holds this text; None for none of them.
        met: the requests that did.
    """

    def __init__(self) -> None:
        self.of: str | None = None
        self.met: list[str] = []

    @contextmanager
    def installed(self) -> Iterator["StoreOutage"]:
        """Stand between botocore's sessions and the network."""
        send = URLLib3Session.send

        def send_unless_away(session: URLLib3Session, request: Any) -> Any:
            path = f"{request.method} {request.url.partition('://')[2].partition('/')[2]}"
            if self.of is not None and self.of in path:
                self.met.append(path)
                raise EndpointConnectionError(endpoint_url=request.url)
            return send(session, request)

        with patch.object(URLLib3Session, "send", send_unless_away):
            yield self


class DatabaseOutage:
    """A database that drops its connections and takes no new ones while it is away."""

    def __init__(self, admin: Engine, name: str) -> None:
        self._admin = admin
        self._name = name

    def begin(self) -> None:
        """Let it be away from now on."""
        self._run(f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS false")
        self._run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'")  # noqa: S608

    def end(self) -> None:
        """Let it be back."""
        self._run(f"ALTER DATABASE {self._name} WITH ALLOW_CONNECTIONS true")

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))
