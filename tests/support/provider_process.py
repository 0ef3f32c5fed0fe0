"""Starts the identity provider of the tests as a process of its own."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import ProxyHandler, build_opener

from api.identity import IdentityProvider, ProviderTerms
from infra.cli.environment import child_environment
from tests.support.identity_provider import CLIENT, SECRET
from worker.person_role import PersonRole

_ATTEMPTS = 200


@contextmanager
def identity_provider() -> Iterator[str]:
    """Give the issuer of a provider that answers, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    issuer = f"http://127.0.0.1:{port}"
    # Authlib's server side asks for TLS otherwise.
    environment = {**child_environment(), "AUTHLIB_INSECURE_TRANSPORT": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "tests.support.identity_provider", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(issuer, process)
        yield issuer
    finally:
        process.kill()
        process.wait()


def _wait(issuer: str, process: "subprocess.Popen[bytes]") -> None:
    opener = build_opener(ProxyHandler({}))
    for _ in range(_ATTEMPTS):
        assert process.poll() is None, "the identity provider ended"
        try:
            opener.open(f"{issuer}/keys", timeout=5).close()
        except OSError:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        else:
            return
    raise AssertionError("the identity provider does not answer")


def provider_at(issuer: str, **changes: object) -> IdentityProvider:
    """Return what Assay asks that provider with."""
    roles = {role.value: role.value for role in PersonRole}
    terms = {"scopes": "openid profile", "role_claim": "roles", "roles": roles, "client_secret": SECRET, **changes}
    return IdentityProvider(ProviderTerms(issuer, CLIENT, **terms))  # type: ignore[arg-type] # by name
