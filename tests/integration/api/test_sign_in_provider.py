"""Signing in through an identity provider: a real one, as a process, with accounts whose tokens must be refused."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from api.identity import IdentityProvider
from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows
from tests.support.provider_process import identity_provider, provider_at
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Actor
from worker.database.people import People
from worker.database.session import Database

pytestmark = pytest.mark.integration

SITE = "http://127.0.0.1:8080"
CALLBACK = "/console/sign-in/callback"
LONG = timedelta(hours=1)
Browser = Callable[..., TestClient]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with identity_provider() as issuer:
        yield issuer


@pytest.fixture
def browser(services: Services, issuer: str) -> Iterator[Browser]:
    """Opens browsers, each with its own cookies, at an Assay that knows the provider."""
    clients = []

    def opened(provider: IdentityProvider | None = None) -> TestClient:
        app = create_app(replace(services, provider=provider or provider_at(issuer), registry=CollectorRegistry()))
        clients.append(TestClient(app, base_url=SITE, follow_redirects=False))
        return clients[-1]

    yield opened
    for client in clients:
        client.close()


def begin(client: TestClient, wanted: str = "/console/review") -> str:
    """Begin a sign-in; give the provider's address."""
    answer = client.get("/console/sign-in/provider", params={"next": wanted})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def choose(address: str, name: str) -> dict[str, str]:
    """Be somebody at the provider; give what it sends back."""
    answer = httpx2.post(address, data={"who": name}, trust_env=False)
    assert answer.status_code == 302, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def sign_in(client: TestClient, name: str) -> tuple[int, str]:
    """Sign in as somebody; give the status of the answer, and where it leads or what it says."""
    answer = client.get(CALLBACK, params=choose(begin(client), name))
    return answer.status_code, answer.headers.get("location") or unescape(answer.text)


@pytest.mark.parametrize(
    ("name", "opens", "refuses"),
    [
        ("Maria Moderator", ["/console", "/console/review", "/console/appeals"], ["/console/keys", "/console/audit"]),
        ("Lena Lead", ["/console/review/team"], ["/console/keys", "/console/audit"]),
        ("Emil Engineer", ["/console/keys", "/console/webhooks", "/console/audit"], ["/console/review"]),
        ("Aya Auditor", ["/console", "/console/audit", "/console/policies"], ["/console/review", "/console/keys"]),
    ],
)
def test_people_see_what_their_role_lets_them(
    browser: Browser, name: str, opens: list[str], refuses: list[str]
) -> None:
    client = browser()
    assert sign_in(client, name) == (303, "/console/review")
    assert {path: client.get(path).status_code for path in opens} == dict.fromkeys(opens, 200)
    assert {path: client.get(path).status_code for path in refuses} == dict.fromkeys(refuses, 403)
    page = client.get("/console").text
    assert name in page
    assert {path for path in refuses if f'href="{path}"' in page} == set()


@pytest.mark.parametrize("name", ["wrong audience", "wrong issuer", "wrong nonce", "too old", "forged"])
def test_a_token_that_is_not_good_signs_nobody_in(browser: Browser, name: str, database: Database) -> None:
    client = browser()
    status, words = sign_in(client, name)
    assert (status, "answer is not good" in words) == (400, True)
    assert client.get("/console").status_code == 303
    assert People(database).list() == []


def test_who_has_no_role_is_told_so(browser: Browser) -> None:
    status, words = sign_in(browser(), "Gast")
    assert (status, "has no role in Assay" in words) == (403, True)


def test_the_request_asks_with_pkce_state_and_nonce(browser: Browser) -> None:
    query = parse_qs(urlsplit(begin(browser())).query)
    assert (query["code_challenge_method"], query["response_type"], query["client_id"]) == (
        ["S256"],
        ["code"],
        ["assay"],
    )
    assert {len(query[name][0]) >= 43 for name in ("state", "nonce", "code_challenge")} == {True}
    assert query["redirect_uri"] == [SITE + CALLBACK]


def test_an_answer_is_good_once_and_in_the_browser_that_asked_alone(browser: Browser) -> None:
    victim, attacker = browser(), browser()
    answer = choose(begin(attacker), "Maria Moderator")
    begin(victim)
    # Somebody else's sign-in is not taken over, nor used up by the attempt.
    assert victim.get(CALLBACK, params=answer).status_code == 400
    assert attacker.get(CALLBACK, params=answer).status_code == 303
    assert attacker.get(CALLBACK, params=answer).status_code == 400
    assert victim.get("/console").status_code == 303


def test_a_state_that_was_never_given_or_is_too_old_is_refused(browser: Browser, database: Database) -> None:
    client = browser()
    answer = choose(begin(client), "Maria Moderator")
    assert client.get(CALLBACK, params={**answer, "state": "invented"}).status_code == 400
    with database.transaction() as session:
        session.execute(text("UPDATE sign_in SET expires_at = now()"))
    assert client.get(CALLBACK, params=answer).status_code == 400


def test_a_code_without_its_verifier_is_refused_by_the_provider(browser: Browser, database: Database) -> None:
    client = browser()
    answer = choose(begin(client), "Maria Moderator")
    with database.transaction() as session:
        session.execute(text("UPDATE sign_in SET verifier = repeat('x', 43)"))
    assert client.get(CALLBACK, params=answer).status_code == 400


def test_what_the_provider_refuses_is_told_in_our_words(browser: Browser) -> None:
    client = browser()
    state = parse_qs(urlsplit(begin(client)).query)["state"][0]
    refused = {"state": state, "error": "access_denied", "error_description": "<b>pay here</b>"}
    answer = client.get(f"{CALLBACK}?{urlencode(refused)}")
    assert (answer.status_code, "signed nobody in" in answer.text, "pay here" in answer.text) == (400, True, False)


def test_a_provider_that_is_away_or_another_is_told_and_keys_still_sign_in(
    browser: Browser, issuer: str, database: Database
) -> None:
    for provider in (provider_at("http://127.0.0.1:9"), provider_at(issuer + "/")):
        client = browser(provider)
        answer = client.get("/console/sign-in/provider")
        assert (answer.status_code, "does not answer" in unescape(answer.text)) == (503, True)
    key = ApiKeys(database).create("anna", [Scope.READ]).key
    assert client.post("/console/sign-in", data={"key": key}, headers={"Origin": SITE}).status_code == 303


def test_a_person_is_the_same_the_next_time_with_the_role_of_that_day(
    browser: Browser, issuer: str, database: Database
) -> None:
    assert sign_in(browser(), "Lena Lead")[0] == 303
    (lena,) = People(database).list()
    assert sign_in(browser(provider_at(issuer, roles={"moderator": "moderator"})), "Lena Lead")[0] == 303
    (again,) = People(database).list()
    assert (again.id, lena.role, again.role) == (lena.id, "lead", "moderator")


def test_who_is_locked_out_loses_the_session_and_comes_back_when_let_in(browser: Browser, database: Database) -> None:
    client = browser()
    assert sign_in(client, "Maria Moderator")[0] == 303
    (maria,) = People(database).list()
    assert ApiKeys(database).revoke(maria.id)
    assert client.get("/console").status_code == 303
    status, words = sign_in(client, "Maria Moderator")
    assert (status, "locked out" in words) == (403, True)
    assert People(database).let_in(maria.id, actor=Actor("anna"))
    assert sign_in(client, "Maria Moderator")[0] == 303


def test_a_persons_row_opens_no_door_as_a_key(browser: Browser, database: Database) -> None:
    sign_in(browser(), "Emil Engineer")
    keys = ApiKeys(database)
    (emil,) = People(database).list()
    assert keys.verify(emil.hash) is None
    assert keys.verify(emil.hash.removeprefix("person:")) is None
    assert keys.list() == []
    assert keys.rotate(emil.id, keep=LONG) is None


def test_a_session_ends_at_its_age_however_it_is_used(browser: Browser, database: Database) -> None:
    client = browser()
    sign_in(client, "Maria Moderator")
    with database.transaction() as session:
        session.execute(text("UPDATE console_session SET expires_at = now() + interval '1 second'"))
    assert client.get("/console").status_code == 200
    with database.transaction() as session:
        assert session.scalar(text("SELECT max(expires_at) < now() + interval '1 minute' FROM console_session"))
        session.execute(text("UPDATE console_session SET expires_at = now()"))
    assert client.get("/console").status_code == 303


def test_a_label_counts_as_the_word_of_the_person(browser: Browser, rows: Rows, database: Database) -> None:
    rows.verdict(rows.image("cat"))
    client = browser()
    sign_in(client, "Maria Moderator")
    page = client.get("/console/image?id=cat").text
    csrf = page.split('name="csrf" value="')[1][:64]
    form = {"csrf": csrf, "label": "ai_generated", "reason": "hands"}
    assert client.post("/console/image/label?id=cat", data=form, headers={"Origin": SITE}).status_code == 303
    (maria,) = People(database).list()
    with database.transaction() as session:
        row = session.execute(text("SELECT reviewer, voice FROM label")).one()
    assert tuple(row) == ("Maria Moderator", f"key:{maria.id}")
