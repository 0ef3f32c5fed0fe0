"""Who visits the console: a session cookie instead of a key, and proof that a form is one of our own pages'."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Literal, TypedDict
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from structlog.contextvars import bind_contextvars

from api import parts
from api.errors.problems import ProblemError
from api.requests.bodies import not_its_charset
from api.requests.quotas import count_request
from worker.database.api_keys import Principal, Scope
from worker.database.audit import Actor

COOKIE = "assay_console"
# Browsers take a cookie of such a name over TLS alone, and from this host alone.
_TLS_COOKIE = f"__Host-{COOKIE}"
HOME = "/console"
SIGN_IN = f"{HOME}/sign-in"
CSRF_FIELD, CSRF_HEADER = "csrf", "X-Assay-Csrf"


class CookieTerms(TypedDict):
    """What a browser may do with a cookie."""

    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax"]


class SignInNeededError(Exception):
    """Nobody is signed in; the page asked for waits behind the sign-in."""

    def __init__(self, page: str) -> None:
        """Keep where the visitor wanted to go, as a path of the console."""
        super().__init__(page)
        self.address = f"{SIGN_IN}?next={quote(page, safe='')}"


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed in.

    Attributes:
        principal: the key that they showed, and what it allows.
        token: of their session.
        request_id: of this request.
    """

    principal: Principal
    token: str
    request_id: str

    @property
    def csrf(self) -> str:
        """What forms of this session carry: nobody who cannot read our pages knows it."""
        return hmac.new(self.token.encode(), b"assay console form", sha256).hexdigest()

    @property
    def actor(self) -> Actor:
        """The visitor as the audit trail names them."""
        return Actor(self.principal.name, self.principal.key_id, self.request_id)

    def may(self, scope: str) -> bool:
        """Tell whether they have a scope; pages show no buttons for what they may not do."""
        return self.principal.may(Scope(scope))


def cookie_name(request: Request) -> str:
    """Name the cookie of a session; only a page that came over TLS can tell whether it did.

    Behind a proxy uvicorn believes X-Forwarded-Proto of the addresses in FORWARDED_ALLOW_IPS.
    """
    return _TLS_COOKIE if request.url.scheme == "https" else COOKIE


def cookie_terms(request: Request) -> CookieTerms:
    """Say what a browser may do with that cookie; over TLS its name asks for the whole host's path."""
    tls = request.url.scheme == "https"
    return {"path": "/" if tls else HOME, "secure": tls, "httponly": True, "samesite": "lax"}


async def visitor(request: Request, sessions: parts.ConsoleSessions, checks: parts.Authentication) -> Visitor:
    """Return the visitor that a session cookie names.

    Raises:
        SignInNeededError: nobody, or somebody whose session or key is over.
        ProblemError: 403 for a key that may not read.
    """
    token = request.cookies.get(cookie_name(request))
    principal = await run_in_threadpool(sessions.principal, token) if token else None
    if token is None or principal is None:
        page = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise SignInNeededError(page if request.method == "GET" else HOME)
    bind_contextvars(api_key=principal.key_id)
    await count_request(request, checks.pace, principal)
    await checks.note_address(request, principal)
    if not principal.may(Scope.READ):
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "This key lacks the scope `read`, without which there is nothing here."
        )
    who = Visitor(principal, token, request.state.request_id)
    request.state.visitor = who  # pages of errors show them the way back
    return who


FromVisitor = Annotated[Visitor, Depends(visitor)]


@dataclass(frozen=True)
class Form:
    """A form that a visitor sent from one of our pages."""

    visitor: Visitor
    fields: FormData

    def text(self, name: str, *, most: int = 2000) -> str:
        """Return a field's text, without spaces around it; empty when it is not there.

        Raises:
            ProblemError: 422, it is too long.
        """
        value = self.fields.get(name)
        text = value.strip() if isinstance(value, str) else ""
        if len(text) > most:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: at most {most} characters")
        return text

    def several(self, name: str) -> list[str]:
        """Return the texts of all fields of a name, in their order."""
        return [value.strip() if isinstance(value, str) else "" for value in self.fields.getlist(name)]

    def needed(self, name: str) -> str:
        """Return a field's text; raises a ProblemError, 422, where there is none."""
        text = self.text(name)
        if not text:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: please fill this in")
        return text

    def confirmed(self) -> None:
        """Ask for the box that confirms; raises a ProblemError, 422, where it is empty."""
        if self.text("sure") != "yes":
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "Please tick the box that confirms.")


class Sends:
    """A dependency: a form, sent by a visitor with a scope, from one of our own pages."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request, who: FromVisitor) -> Form:
        """Return the form that was sent.

        Raises:
            ProblemError: 403 for a form of elsewhere, or without the scope.
        """
        fields = await form_of(request)
        check_origin(request)
        check_token(who, str(fields.get(CSRF_FIELD) or request.headers.get(CSRF_HEADER) or ""))
        check_scope(who, self._scope)
        return Form(who, fields)


async def form_of(request: Request) -> FormData:
    """Return the form that a request brings; raises a ProblemError, 400, where it cannot be read."""
    try:
        return await request.form()
    except UnicodeError as error:
        raise not_its_charset() from error


def check_scope(who: Visitor, scope: Scope) -> None:
    """Refuse what the visitor's key does not allow; raises a ProblemError, 403."""
    if not who.principal.may(scope):
        raise ProblemError(HTTPStatus.FORBIDDEN, f"Your key lacks the scope `{scope}`.", missing_scope=scope)


def check_may_see_reviews(who: Visitor) -> None:
    """Refuse who neither reviews nor audits; raises a ProblemError, 403."""
    if not who.may(Scope.AUDIT):
        check_scope(who, Scope.REVIEW)


def check_token(who: Visitor, shown: str) -> None:
    """Refuse a form that does not come from a page of this session; raises a ProblemError, 403."""
    if not hmac.compare_digest(shown.encode(), who.csrf.encode()):
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "This form is out of date: go back, reload the page and send it again."
        )


def check_origin(request: Request) -> None:
    """Refuse what another site's page sends; browsers say where a request comes from. Raises a ProblemError, 403."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    elsewhere = site not in {None, "same-origin", "none"}
    if elsewhere or (origin is not None and urlsplit(origin).netloc != request.headers.get("Host")):
        raise ProblemError(HTTPStatus.FORBIDDEN, "This was sent by a page of another site.")


def safe_next(page: str | None) -> str:
    """Return where to go after signing in: only ever a page of the console."""
    if page and (page == HOME or page.startswith((f"{HOME}/", f"{HOME}?"))) and "\\" not in page:
        return page
    return HOME
