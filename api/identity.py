"""The platform's identity provider: where people are sent to sign in, and who comes back (OpenID Connect Core 1.0).

The code flow with PKCE (RFC 7636), state and nonce. Authlib exchanges the code and checks the ID token.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from worker.errors import AssayError, TransientError
from worker.log import get_logger

log = get_logger()

_SECONDS = 10.0
# Asymmetric ones: with `HS256` whoever knows the client's secret could write tokens, and `none` proves nothing.
_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519")
_LEEWAY_SECONDS = 60


class ProviderDownError(TransientError):
    """The identity provider does not answer; try again in a moment, or sign in with a key."""


class NotSignedInError(AssayError):
    """The identity provider's answer is not good; begin the sign-in again."""


@dataclass(frozen=True)
class ProviderTerms:
    """How Assay is known to its identity provider; see the settings `oidc_…`.

    Attributes:
        issuer: the provider.
        client_id: Assay's name there.
        client_secret: None for a public client.
        scopes: what is asked for, separated by spaces.
        role_claim: claim that gives the role.
        roles: value of that claim -> role.
    """

    issuer: str
    client_id: str
    client_secret: str | None
    scopes: str
    role_claim: str
    roles: Mapping[str, str]


class IdentityProvider:
    """Asks the provider; what it says of itself and its keys are remembered until a key is unknown."""

    def __init__(self, terms: ProviderTerms) -> None:
        self.terms = terms
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] | None = None
        self._keys: dict[str, Any] | None = None

    def address(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser goes to sign in.

        Raises:
            ProviderDownError: the provider does not say where.
        """
        endpoint = self._about()["authorization_endpoint"]
        with self._client(redirect_uri) as client:
            address, _ = client.create_authorization_url(endpoint, state=state, nonce=nonce, code_verifier=verifier)
        return str(address)

    def claims(self, *, code: str, redirect_uri: str, nonce: str, verifier: str) -> Mapping[str, Any]:
        """Exchange a code for an ID token, and return what it claims.

        Raises:
            NotSignedInError: the code is refused, or the token is not good: signature, issuer, audience, time, nonce.
            ProviderDownError: the provider does not answer.
        """
        from authlib.integrations.base_client import OAuthError  # noqa: PLC0415 - see _client

        endpoint = self._about()["token_endpoint"]
        with self._client(redirect_uri) as client:
            try:
                token = client.fetch_token(endpoint, code=code, code_verifier=verifier)
            except OAuthError as error:
                log.warning("sign_in_refused", error=error.error)
                raise NotSignedInError from error
            except Exception as error:
                raise ProviderDownError from error
        if not isinstance(token.get("id_token"), str):
            log.warning("sign_in_refused", error="no_id_token")
            raise NotSignedInError
        return self._checked(token["id_token"], nonce, token.get("access_token"))

    def _checked(self, id_token: str, nonce: str, access_token: Any) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken  # noqa: PLC0415 - see _client
        from joserfc import jwt  # noqa: PLC0415
        from joserfc.errors import InvalidKeyIdError, JoseError  # noqa: PLC0415
        from joserfc.jwk import KeySet  # noqa: PLC0415
        from joserfc.jws import JWSRegistry  # noqa: PLC0415

        terms = self.terms
        rules = {
            "iss": {"essential": True, "value": terms.issuer},
            "aud": {"essential": True, "value": terms.client_id},
        }
        context = {"nonce": nonce, "client_id": terms.client_id, "access_token": access_token}
        registry = JWSRegistry(algorithms=list(_ALGORITHMS), strict_check_header=False)
        try:
            try:
                token = jwt.decode(id_token, KeySet.import_key_set(self._key_set()), registry=registry)
            except InvalidKeyIdError:
                # The provider has changed its keys since.
                token = jwt.decode(id_token, KeySet.import_key_set(self._key_set(anew=True)), registry=registry)
            claims = CodeIDToken(token.claims, token.header, rules, context)
            claims.validate(leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError) as error:
            log.warning("sign_in_refused", error=type(error).__name__, detail=str(error)[:200])
            raise NotSignedInError from error
        return dict(claims)

    def _about(self) -> dict[str, Any]:
        with self._lock:
            if self._metadata is None:
                metadata = self._read(f"{self.terms.issuer.rstrip('/')}/.well-known/openid-configuration")
                # Another's metadata would have us send people, codes and secrets there (Discovery 1.0, 4.3).
                if metadata.get("issuer") != self.terms.issuer:
                    log.error("oidc_issuer_differs", configured=self.terms.issuer)
                    raise ProviderDownError
                self._metadata = metadata
            return self._metadata

    def _key_set(self, *, anew: bool = False) -> Any:
        address = self._about()["jwks_uri"]
        with self._lock:
            if self._keys is None or anew:
                self._keys = self._read(address)
            return self._keys

    def _read(self, address: str) -> dict[str, Any]:
        with self._client(None) as client:
            try:
                answer = client.request("GET", address, withhold_token=True)
                answer.raise_for_status()
                document = answer.json()
            except Exception as error:
                log.warning("oidc_provider_down", error=type(error).__name__)
                raise ProviderDownError from error
        if not isinstance(document, dict):
            raise ProviderDownError
        return document

    def _client(self, redirect_uri: str | None) -> Any:
        # Loaded where people sign in with a provider alone: it adds a tenth of a second to every start.
        from authlib.integrations.httpx_client import OAuth2Client  # noqa: PLC0415

        terms = self.terms
        return OAuth2Client(
            terms.client_id,
            terms.client_secret,
            scope=terms.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=_SECONDS,
            # A proxy has no business between us and our own machine.
            trust_env=urlsplit(terms.issuer).hostname not in {"127.0.0.1", "localhost"},
        )
