"""What each role of the console may look at and do: the whole table, and that no role gives away more than it has."""

from collections.abc import Callable, Iterator
from html import unescape

import pytest
from fastapi.testclient import TestClient

from api.console.visitor import COOKIE, Visitor
from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import SITE
from tests.integration.api.console_acts import ACTS
from worker.database.api_keys import ApiKeys, Scope
from worker.database.console_sessions import ConsoleSessions
from worker.database.people import Identity, People
from worker.database.session import Database
from worker.person_role import PersonRole

pytestmark = pytest.mark.integration

LOOKS = {f"/console{page}" for page in ("", "/scans", "/drift", "/transparency", "/policies", "/bundles", "/training")}
DESK, REVIEWS = {"/console/review"}, {"/console/appeals", "/console/review/team"}
TRAIL, OPERATION = {"/console/audit"}, {"/console/keys", "/console/webhooks"}
PAGES = {
    PersonRole.MODERATOR: LOOKS | DESK | REVIEWS,
    PersonRole.LEAD: LOOKS | DESK | REVIEWS,
    PersonRole.ENGINEER: LOOKS | REVIEWS | TRAIL | OPERATION,
    PersonRole.AUDITOR: LOOKS | REVIEWS | TRAIL,
}
# What changes nothing, or their own saved views alone, is open to everybody who may look.
OWN = {Scope.READ}
MAY = {
    PersonRole.MODERATOR: OWN | {Scope.REVIEW},
    PersonRole.LEAD: OWN | {Scope.REVIEW, Scope.LEAD},
    PersonRole.ENGINEER: OWN | {Scope.INGEST, Scope.OPERATE},
    PersonRole.AUDITOR: OWN,
}
As = Callable[[PersonRole], tuple[TestClient, str]]


@pytest.fixture
def as_role(services: Services, database: Database) -> Iterator[As]:
    """Opens the console as somebody of a role; gives the client and what its forms carry."""
    app, clients = create_app(services), []

    def opened(role: PersonRole) -> tuple[TestClient, str]:
        person = People(database).sign_in(Identity("https://login.example", role, f"{role} person", role), None)
        token = ConsoleSessions(database).open(person.key_id)
        client = TestClient(app, base_url=SITE, follow_redirects=False, cookies={f"__Host-{COOKIE}": token})
        clients.append(client)
        return client, Visitor(person, token, "").csrf

    yield opened
    for client in clients:
        client.close()


@pytest.mark.parametrize("role", PersonRole)
def test_a_role_opens_its_pages_is_refused_others_and_is_shown_no_way_there(as_role: As, role: PersonRole) -> None:
    client, _ = as_role(role)
    everything = set().union(*PAGES.values())
    statuses = {path: client.get(path).status_code for path in everything}
    assert statuses == {path: 200 if path in PAGES[role] else 403 for path in everything}
    menu = client.get("/console").text
    assert {path for path in everything - PAGES[role] if f'href="{path}"' in menu} == set()


@pytest.mark.parametrize("role", PersonRole)
def test_a_role_does_what_is_its_own_and_nothing_else(as_role: As, role: PersonRole) -> None:
    client, csrf = as_role(role)
    refused = set()
    for path, scope in ACTS.items():
        answer = client.post(path, data={"csrf": csrf}, headers={"X-Assay-Csrf": csrf})
        if answer.status_code == 403 and f"lacks the scope `{scope}`" in unescape(answer.text):
            refused.add(path)
    assert refused == {path for path, scope in ACTS.items() if scope not in MAY[role]}


def test_an_auditor_sees_appeals_and_how_the_team_fares_but_no_form(as_role: As) -> None:
    client, _ = as_role(PersonRole.AUDITOR)
    for path in REVIEWS:
        page = client.get(path).text
        assert page.count("<form") == 1  # it signs out
    assert 'href="/console/review"' not in page


def test_an_engineer_makes_no_key_that_reviews_and_is_shown_none(as_role: As, database: Database) -> None:
    client, csrf = as_role(PersonRole.ENGINEER)
    keys = ApiKeys(database)
    reviewing = keys.create("desk", [Scope.REVIEW]).id
    everything = keys.create("operator", [Scope.ADMIN]).id
    feed = keys.create("feed", [Scope.INGEST]).id
    for scope in (Scope.REVIEW, Scope.LEAD, Scope.DELEGATE, Scope.ADMIN):
        form = {"csrf": csrf, "name": "mine", "scope": [Scope.READ, scope]}
        assert client.post("/console/keys", data=form).status_code == 403
    rotated = {
        key_id: client.post(f"/console/keys/{key_id}/rotate", data={"csrf": csrf}).status_code
        for key_id in (reviewing, everything, feed)
    }
    assert rotated == {reviewing: 403, everything: 403, feed: 200}
    page = client.get("/console/keys").text
    assert 'value="operate"' in page
    assert {one for one in ("review", "admin") if f'value="{one}"' in page} == set()
    assert (f"/keys/{reviewing}/rotate" in page, f"/keys/{reviewing}/revoke" in page) == (False, True)
