"""The shipped proxy with TLS before the API: nginx out of Debian with the file that compose mounts."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from api.console.visitor import COOKIE
from api.requests.pace import NoLimit, Quota
from api.services import Services
from infra.embedded.ports import choose
from tests.support.served import served
from tests.support.tls_front import Authority
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database

pytestmark = pytest.mark.integration

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class Guesses(NoLimit):
    """Keeps from where wrong keys came."""

    def __init__(self) -> None:
        self.counted: list[str] = []

    async def count(self, subject: str) -> Quota | None:
        self.counted.append(subject)
        return None


@pytest.fixture
def guesses() -> Guesses:
    return Guesses()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def shipped(repository: Path) -> str:
    return (repository / "infra" / "docker" / "nginx.conf").read_text(encoding="utf-8")


@pytest.fixture
def behind(services: Services, guesses: Guesses) -> Iterator[int]:
    with served(replace(services, guesses=guesses)) as port:
        yield port


@pytest.fixture
def address(
    behind: int, shipped: str, authority: Authority, tmp_path: Path, debian_program: Callable[[str], str]
) -> Iterator[str]:
    """Where the proxy answers, without the scheme."""
    program, port, certificate = debian_program("nginx"), choose([0]), authority.issue_file()
    here = {
        " /tmp/": f" {tmp_path}/",
        "api:8080": f"127.0.0.1:{behind}",
        "listen 8443": f"listen 127.0.0.1:{port}",
        "/run/secrets/tls_certificate": str(certificate),
        "/run/secrets/tls_key": str(certificate),
    }
    text = shipped
    for written, meant in here.items():
        assert written in text
        text = text.replace(written, meant)
    file = tmp_path / "nginx.conf"
    file.write_text(text, encoding="utf-8")
    with subprocess.Popen([program, "-c", str(file), "-g", "daemon off;"]) as running:
        try:
            wait_open(port)
            yield f"127.0.0.1:{port}"
        finally:
            running.terminate()


@pytest.fixture
def client(address: str, authority: Authority) -> Iterator[httpx.Client]:
    trusting = ssl.create_default_context(cafile=authority.path)
    with httpx.Client(base_url=f"https://{address}", verify=trusting, trust_env=False) as opened:
        yield opened


def wait_open(port: int) -> None:
    """Return once a port takes connections."""
    pause = threading.Event()
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.05)
    pytest.fail("the proxy does not listen")


def test_an_upload_over_tls_is_taken_and_comes_back(client: httpx.Client, database: Database) -> None:
    headers = {"X-API-Key": ApiKeys(database).create("platform", [Scope.ADMIN]).key, "Content-Type": "image/png"}
    accepted = client.post("/v1/images", content=PNG, headers=headers)
    assert accepted.status_code == 202
    assert accepted.headers["strict-transport-security"] == "max-age=31536000"
    assert client.get(accepted.headers["location"], headers=headers).json()["image_id"] == accepted.json()["image_id"]


def test_a_stranger_s_certificate_is_refused_by_name(address: str, tmp_path: Path) -> None:
    others = ssl.create_default_context(cafile=Authority(tmp_path, "stranger").path)
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(f"https://{address}/health/live", verify=others, trust_env=False)


def test_who_comes_without_tls_is_shown_the_way(address: str) -> None:
    answer = httpx.get(f"http://{address}/console?x=1", trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (308, f"https://{address}/console?x=1")


def test_the_console_s_cookie_goes_over_tls_alone(client: httpx.Client, database: Database) -> None:
    key = ApiKeys(database).create("anna", [Scope.READ, Scope.REVIEW]).key
    signed_in = client.post("/console/sign-in", data={"key": key}, headers={"Origin": str(client.base_url)})
    cookie = signed_in.headers["set-cookie"]
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert "; Secure" in cookie
    assert client.get("/console").status_code == 200


def test_metrics_stay_inside(client: httpx.Client) -> None:
    assert client.get("/metrics").status_code == 404


def test_wrong_keys_count_against_who_sent_them_whatever_they_say(client: httpx.Client, guesses: Guesses) -> None:
    statuses = [
        client.get("/v1/stats", headers={"X-API-Key": "wrong", "X-Forwarded-For": address}).status_code
        for address in ("203.0.113.1", "203.0.113.2, 203.0.113.3")
    ]
    assert statuses == [401, 401]
    assert guesses.counted == ["127.0.0.1", "127.0.0.1"]


def test_compose_believes_the_proxy_s_own_address_and_no_other(repository: Path) -> None:
    override = yaml.safe_load((repository / "infra" / "docker" / "tls.override.yml").read_text())["services"]
    own = override["proxy"]["networks"]["edge"]["ipv4_address"]
    assert override["api"]["environment"] == {"FORWARDED_ALLOW_IPS": own}
