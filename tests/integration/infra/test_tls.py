"""TLS to each part: trusted by an authority of one's own, refused with a clear word where the certificate is wrong."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.cli import doctor
from infra.cli.doctor import Finding
from infra.embedded.addresses import StackAddresses
from tests.support.tls_front import Authority, tls_front
from worker.dispatch.celery_app import make_celery
from worker.dispatch.publish import Publisher
from worker.settings import Settings

Front = Callable[[str, ssl.SSLContext], str]

REFUSED = "certificate verify failed"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "stranger")


@pytest.fixture
def front() -> Iterator[Front]:
    """Put TLS before the server of an address; return the address of the front."""
    with ExitStack() as running:

        def put(url: str, context: ssl.SSLContext) -> str:
            parts = urlsplit(url)
            target = (str(parts.hostname), int(parts.port or 0))
            port = running.enter_context(tls_front(target, context, postgres=url.startswith("postgresql")))
            return url.replace(f"{parts.hostname}:{parts.port}", f"localhost:{port}")

        yield put


def examine(part: str, check: Callable[[Settings], str], **settings: str) -> Finding:
    return doctor._examine_one(part, check, "", Settings.model_validate(settings))


def test_postgres_is_trusted_by_its_authority_alone(
    database_url: str, front: Front, authority: Authority, stranger: Authority
) -> None:
    checked = f"sslmode=verify-full&sslrootcert={authority.path}"
    good = front(database_url, authority.issue())
    assert examine("database", doctor._database, database_url=f"{good}?{checked}").healthy
    for context in (stranger.issue(), authority.issue(host="elsewhere.example")):
        finding = examine("database", doctor._database, database_url=f"{front(database_url, context)}?{checked}")
        assert not finding.healthy
        assert "certificate" in finding.found


def test_the_object_store_is_trusted_by_its_authority_alone(
    stack: StackAddresses,
    front: Front,
    authority: Authority,
    stranger: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    plain = stack.s3_endpoint_url
    store = {"s3_access_key_id": stack.s3_access_key, "s3_secret_access_key": stack.s3_secret_key}
    good = front(plain, authority.issue()).replace("http:", "https:")
    assert examine("object store", doctor._object_store, s3_endpoint_url=good, **store).healthy
    wrong = front(plain, stranger.issue()).replace("http:", "https:")
    finding = examine("object store", doctor._object_store, s3_endpoint_url=wrong, **store)
    assert not finding.healthy
    assert REFUSED in finding.found.lower()


def test_valkey_is_trusted_by_its_authority_alone_as_broker(
    stack: StackAddresses, front: Front, authority: Authority, stranger: Authority
) -> None:
    def ask(context: ssl.SSLContext, query: str) -> Finding:
        address = front(stack.redis_url, context).replace("redis:", "rediss:")
        return examine("broker", doctor._broker, redis_url=f"{address}{query}")

    named = f"?ssl_ca_certs={authority.path}"
    assert ask(authority.issue(), named).healthy
    # Without a word on TLS in the address, this machine's authorities count, and the test's are none of them.
    for context, query in (
        (stranger.issue(), named),
        (authority.issue(host="elsewhere.example"), named),
        (authority.issue(), ""),
    ):
        finding = ask(context, query)
        assert not finding.healthy
        assert REFUSED in finding.found


def test_this_machine_s_authorities_count_where_the_address_names_none(
    stack: StackAddresses, front: Front, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    address = front(stack.redis_url, authority.issue()).replace("redis:", "rediss:")
    assert Publisher(make_celery(Settings.model_validate({"redis_url": address}))).waiting("scan.live") >= 0
