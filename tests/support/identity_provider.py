"""An OpenID Connect provider as a process of its own: Authlib's server side behind Flask, on 127.0.0.1.

    python -m tests.support.identity_provider PORT

Its page asks who one is. Some accounts come with tokens that a client must refuse.
"""

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, jsonify, request
from joserfc.jwk import RSAKey

CLIENT, SECRET = "assay", "a secret of the tests"
CALLBACK = "/console/sign-in/callback"


@dataclass(frozen=True)
class Account:
    """Somebody who can sign in; ``spoilt`` are claims that replace the right ones."""

    name: str
    roles: tuple[str, ...] = ()
    spoilt: dict[str, Any] = field(default_factory=dict)

    def get_user_id(self) -> str:
        """Return the subject."""
        return f"subject-of-{self.name}"


ACCOUNTS = {
    account.name: account
    for account in (
        Account("Maria Moderator", ("moderator",)),
        Account("Lena Lead", ("moderator", "lead")),
        Account("Emil Engineer", ("engineer",)),
        Account("Aya Auditor", ("auditor",)),
        Account("Gast", ("guest",)),
        Account("wrong audience", ("lead",), {"aud": ["another"]}),
        Account("wrong issuer", ("lead",), {"iss": "https://elsewhere.example"}),
        Account("wrong nonce", ("lead",), {"nonce": "of another sign-in"}),
        Account("too old", ("lead",), {"exp": 1_000_000_000, "iat": 999_999_000}),
        Account("forged", ("lead",)),
    )
}


class Client:
    """Assay, as it is registered here."""

    def get_client_id(self) -> str:
        """Return its name."""
        return CLIENT

    def get_default_redirect_uri(self) -> None:
        """Have none: each request names its own."""

    def get_allowed_scope(self, scope: str) -> str:
        """Allow what is asked for."""
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Accept Assay's callback alone."""
        return redirect_uri.startswith("http://127.0.0.1:") and redirect_uri.endswith(CALLBACK)

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare secrets."""
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Ask for the secret in the header."""
        return method == "client_secret_basic" and endpoint == "token"

    def check_response_type(self, response_type: str) -> bool:
        """Give codes alone."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Take codes alone."""
        return grant_type == "authorization_code"


@dataclass
class Code:
    """A code that was given."""

    account: Account
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        """Return where it was sent."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return what was asked for."""
        return self.scope

    def get_nonce(self) -> str | None:
        """Return the client's nonce."""
        return self.nonce

    def get_auth_time(self) -> int:
        """Return when somebody signed in."""
        return int(datetime.now(UTC).timestamp())

    def get_acr(self) -> None:
        """Tell nothing of how."""

    def get_amr(self) -> None:
        """Tell nothing of how."""


CODES: dict[str, Code] = {}
KEY, STRANGER = (RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}) for _ in range(2))


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc] # Authlib has no types
    """Gives codes and takes each once."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["client_secret_basic"]

    def save_authorization_code(self, code: str, request: Any) -> Code:
        """Keep a code."""
        data = request.payload.data
        CODES[code] = Code(
            request.user, data["redirect_uri"], request.payload.scope, data.get("nonce"),
            data["code_challenge"], data["code_challenge_method"],
        )  # fmt: skip
        return CODES[code]

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        """Find a code."""
        del client
        return CODES.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Forget a code."""
        for code in [code for code, one in CODES.items() if one is authorization_code]:
            del CODES[code]

    def authenticate_user(self, authorization_code: Code) -> Account:
        """Say whose code it is."""
        return authorization_code.account


class IdTokens(OpenIDCode):  # type: ignore[misc] # as above
    """Writes ID tokens."""

    def __init__(self, issuer: str) -> None:
        super().__init__(require_nonce=True)
        self._issuer = issuer

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        """Trust clients to take a new one each time."""
        del nonce, request
        return False

    def get_client_algorithm(self, client: Any) -> str:
        """Sign with RSA."""
        del client
        return "RS256"

    def get_encode_header(self, client: Any) -> dict[str, str]:
        """Name the key."""
        del client
        return {"alg": "RS256", "kid": "one"}

    def get_client_claims(self, client: Any) -> dict[str, Any]:
        """Say whose token it is."""
        del client
        return {
            "iss": self._issuer,
            "aud": [CLIENT],
            "exp": int((datetime.now(UTC) + timedelta(minutes=10)).timestamp()),
            "iat": int(datetime.now(UTC).timestamp()),
        }

    def get_compatible_claims(self, request: Any) -> dict[str, Any]:
        """Say whose token it is."""
        return self.get_client_claims(request.client)

    def resolve_client_private_key(self, client: Any) -> Any:
        """Return the key; a forger has another one of the same name."""
        del client
        return FORGING.pop() if FORGING else KEY

    def generate_user_info(self, user: Account, scope: str) -> dict[str, Any]:
        """Say who somebody is."""
        del scope
        if user.name == "forged":
            FORGING.append(STRANGER)
        return {"sub": user.get_user_id(), "name": user.name, "roles": list(user.roles), **user.spoilt}


FORGING: list[Any] = []


def app_of(issuer: str) -> Flask:
    """Return the provider."""
    app = Flask(__name__)
    client = Client()
    server = AuthorizationServer(
        app, query_client=lambda name: client if name == CLIENT else None, save_token=lambda *_: None
    )
    server.register_grant(CodeGrant, [CodeChallenge(required=True), IdTokens(issuer)])

    @app.get("/.well-known/openid-configuration")
    def about() -> Response:
        return jsonify(
            issuer=issuer,
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            jwks_uri=f"{issuer}/keys",
            id_token_signing_alg_values_supported=["RS256"],
        )

    @app.get("/keys")
    def keys() -> Response:
        return jsonify(keys=[KEY.as_dict(private=False)])

    @app.route("/authorize", methods=["GET", "POST"])
    def authorize() -> Any:
        if request.method == "GET":
            server.get_consent_grant(end_user=next(iter(ACCOUNTS.values())))
            names = "".join(f'<p><button name="who" value="{name}">{name}</button></p>' for name in ACCOUNTS)
            head = '<!doctype html><title>Sign in</title><link rel="icon" href="data:,">'  # no browser asks for one
            return f'{head}<h1>Who are you?</h1><form method="post">{names}</form>'
        return server.create_authorization_response(grant_user=ACCOUNTS[request.form["who"]])

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    return app


if __name__ == "__main__":
    address = f"http://127.0.0.1:{int(sys.argv[1])}"
    app_of(address).run("127.0.0.1", int(sys.argv[1]), threaded=True)
