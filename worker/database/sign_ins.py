"""Sign-ins through the identity provider that are under way: each is good once, in the browser that began it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_urlsafe

from sqlalchemy import delete, func

from worker.database.api_keys import fingerprint
from worker.database.session import Database
from worker.database.tables import SignIn

LIFE = timedelta(minutes=10)
# RFC 7636 asks for at least 32 bytes of a verifier.
_RANDOM_BYTES = 32


@dataclass(frozen=True)
class BegunSignIn:
    """A sign-in under way.

    Attributes:
        state: goes to the provider and comes back with its answer.
        browser: lies in a cookie of the browser that began it; empty when read back.
        nonce: the ID token must hold it.
        verifier: of PKCE (RFC 7636).
        redirect_uri: where the provider sends the browser to.
        next_page: the page to go to afterwards.
    """

    state: str
    browser: str
    nonce: str
    verifier: str
    redirect_uri: str
    next_page: str


class SignIns:
    """The table of sign-ins under way."""

    def __init__(self, database: Database, secret: Callable[[], str] = lambda: token_urlsafe(_RANDOM_BYTES)) -> None:
        self._database = database
        self._secret = secret

    def begin(self, redirect_uri: str, next_page: str) -> BegunSignIn:
        """Begin one; those that are over are forgotten."""
        state, browser, nonce, verifier = (self._secret() for _ in range(4))
        begun = BegunSignIn(state, browser, nonce, verifier, redirect_uri, next_page)
        with self._database.transaction() as session:
            session.execute(delete(SignIn).where(SignIn.expires_at < func.now()))
            row = SignIn(state_hash=fingerprint(state), browser_hash=fingerprint(browser), nonce=nonce)
            row.verifier, row.redirect_uri, row.next_page = verifier, redirect_uri, next_page
            session.add(row)
            row.expires_at = func.now() + LIFE
        return begun

    def end(self, state: str, browser: str) -> BegunSignIn | None:
        """Return the sign-in that an answer belongs to, for once; None where it is unknown, over or another browser's.

        A wrong browser does not use it up, for strangers must not be able to end others' sign-ins.
        """
        mine = (
            SignIn.state_hash == fingerprint(state),
            SignIn.browser_hash == fingerprint(browser),
            SignIn.expires_at > func.now(),
        )
        with self._database.transaction() as session:
            row = session.execute(delete(SignIn).where(*mine).returning(SignIn)).scalar_one_or_none()
            if row is None:
                return None
            return BegunSignIn(state, "", row.nonce, row.verifier, row.redirect_uri, row.next_page)
