"""Trust lists: fetched over TLS, kept with their checksums, and never lost to a bad answer."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from infra.cli.trust import app
from infra.trust_lists import TrustListError, describe_lists, read_lists, trust_client, update_lists
from tests.support.provenance import make_authority
from worker.provenance.anchors import read_anchors

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@dataclass
class Site:
    """A local TLS server and what it answers by path."""

    port: int
    context: ssl.SSLContext
    pages: dict[str, bytes] = field(default_factory=dict)

    def url(self, name: str) -> str:
        return f"https://localhost:{self.port}/{name}"


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "site.pem", folder / "site.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return pem, secret


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    pem, secret = certificate(tmp_path)
    pages: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path.lstrip("/"))
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(server.server_port, ssl.create_default_context(cafile=str(pem)), pages)
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Proxy:
    """A proxy that lets nobody through, and what it was asked for."""

    port: int
    asked: list[str]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Proxy(server.server_port, asked)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(verify=site.context, trust_env=False) as made:
        yield made


def test_lists_are_fetched_over_tls_kept_with_checksums_and_trusted(
    site: Site, client: httpx.Client, tmp_path: Path
) -> None:
    first, second = make_authority().anchor, make_authority().anchor
    site.pages |= {"C2PA-TRUST-LIST.pem": first.encode(), "C2PA-TSA-TRUST-LIST.pem": second.encode()}
    urls = tuple(map(site.url, site.pages))
    lists = update_lists(urls, tmp_path / "trust", client=client, now=NOW)
    assert [(one.file, one.certificates, one.url) for one in lists] == [
        ("C2PA-TRUST-LIST.pem", 1, urls[0]),
        ("C2PA-TSA-TRUST-LIST.pem", 1, urls[1]),
    ]
    assert read_anchors(None, tmp_path / "trust") == first + second
    assert list(describe_lists(tmp_path / "trust", NOW + timedelta(days=100))) == [
        "C2PA-TRUST-LIST.pem: 1 certificates, 100 days old, older than 90 days: run `assay trust update`",
        "C2PA-TSA-TRUST-LIST.pem: 1 certificates, 100 days old, older than 90 days: run `assay trust update`",
    ]


@pytest.mark.parametrize("answer", [None, b"<html>404</html>", b""])
def test_a_bad_answer_keeps_the_list_that_was_here(
    site: Site, client: httpx.Client, tmp_path: Path, answer: bytes | None
) -> None:
    anchor = make_authority().anchor
    site.pages["one.pem"] = anchor.encode()
    update_lists((site.url("one.pem"),), tmp_path / "trust", client=client, now=NOW)
    if answer is None:
        del site.pages["one.pem"]
    else:
        site.pages["one.pem"] = answer
    with pytest.raises(TrustListError, match=r"one\.pem"):
        update_lists((site.url("one.pem"),), tmp_path / "trust", client=client, now=NOW)
    assert read_anchors(None, tmp_path / "trust") == anchor


def test_offline_says_what_to_check(client: httpx.Client, tmp_path: Path) -> None:
    with pytest.raises(TrustListError, match="HTTPS_PROXY"):
        update_lists(("https://localhost:1/one.pem",), tmp_path, client=client, now=NOW)


def test_a_server_that_nobody_vouches_for_is_not_believed(site: Site, tmp_path: Path) -> None:
    site.pages["one.pem"] = make_authority().anchor.encode()
    with httpx.Client(trust_env=False) as strict, pytest.raises(TrustListError, match="certificate"):
        update_lists((site.url("one.pem"),), tmp_path / "trust", client=strict, now=NOW)


def test_plain_http_is_refused(client: httpx.Client, tmp_path: Path) -> None:
    with pytest.raises(TrustListError, match="https alone"):
        update_lists(("http://localhost/one.pem",), tmp_path, client=client, now=NOW)


def test_the_command_takes_addresses_and_certificates_from_the_environment(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["one.pem"] = make_authority().anchor.encode()
    monkeypatch.setenv("ASSAY_C2PA_TRUST_LISTS", json.dumps([site.url("one.pem")]))
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "site.pem"))
    monkeypatch.setenv("NO_PROXY", "localhost")
    result = CliRunner().invoke(app, ["update"])
    assert (result.exit_code, result.output) == (0, "one.pem: 1 certificates, 0 days old\n")
    assert [one.file for one in read_lists(tmp_path / "data" / "trust")] == ["one.pem"]


def test_lists_are_fetched_through_the_proxy_of_the_environment(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with trust_client() as asking, pytest.raises(TrustListError, match="502"):
        update_lists(("https://lists.example/one.pem",), tmp_path, client=asking, now=NOW)
    assert proxy.asked == ["lists.example:443"]


def test_a_list_that_was_changed_by_hand_is_reported(site: Site, client: httpx.Client, tmp_path: Path) -> None:
    site.pages["one.pem"] = make_authority().anchor.encode()
    update_lists((site.url("one.pem"),), tmp_path / "trust", client=client, now=NOW)
    (tmp_path / "trust" / "one.pem").write_text("changed")
    with pytest.raises(TrustListError, match="was changed"):
        read_lists(tmp_path / "trust")


def test_without_lists_a_warning_says_that_nobody_is_trusted(tmp_path: Path) -> None:
    assert list(describe_lists(tmp_path, NOW)) == [
        "no trust lists: no C2PA signature is trusted; run `assay trust update`"
    ]
