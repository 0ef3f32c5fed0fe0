"""Two reviewers are two keys: whoever holds one key has one voice, whatever names it sends."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Actor, Audit
from worker.database.label_agreement import LabelTerms
from worker.database.label_pages import LabelPages
from worker.database.labels import Labels
from worker.database.session import Database
from worker.database.tables import LabelValue

pytestmark = pytest.mark.integration

Say = Callable[..., str | None]


@pytest.fixture
def app(services: Services) -> Iterator[TestClient]:
    with TestClient(create_app(replace(services, registry=CollectorRegistry()))) as client:
        yield client


@pytest.fixture
def say(app: TestClient, rows: Rows) -> Say:
    """Labels the image `cat` with a key; gives the warning that the answer carries."""
    rows.image("cat", sha256="00" * 32)

    def label(key: str, reviewer: str | None = None) -> str | None:
        body = {"label": "ai_generated", "reason": "hands"} | ({"reviewer": reviewer} if reviewer else {})
        answer = app.post("/v1/images/cat/labels", json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 201
        assert answer.json()["reviewer"] == (reviewer or answer.json()["reviewer"])
        return answer.headers.get("Warning")

    return label


def voices(database: Database) -> int:
    (standing,) = LabelPages(database, LabelTerms()).page(limit=9).items
    return standing.ai_generated


def key(database: Database, name: str, *scopes: Scope) -> str:
    return ApiKeys(database).create(name, scopes or [Scope.REVIEW]).key


def test_two_keys_are_two_reviewers_and_one_key_under_two_names_is_one(database: Database, say: Say) -> None:
    anna, ben = key(database, "anna"), key(database, "ben")
    assert say(anna) is None
    warning = say(anna, "somebody else")
    assert warning is not None
    assert "review:delegate" in warning
    assert voices(database) == 1
    say(ben)
    assert voices(database) == 2


def test_two_keys_of_one_name_are_two_reviewers(database: Database, say: Say) -> None:
    say(key(database, "moderator"))
    say(key(database, "moderator"))
    assert voices(database) == 2


def test_a_rotated_key_is_the_same_reviewer(database: Database, say: Say) -> None:
    keys = ApiKeys(database)
    first = keys.create("anna", [Scope.REVIEW])
    second = keys.rotate(first.id, keep=timedelta(hours=1))
    assert second is not None
    third = keys.rotate(second.id, keep=timedelta(hours=1))
    assert third is not None
    for one in (first, second, third):
        say(one.key)
    assert voices(database) == 1


def test_a_backend_speaks_for_registered_reviewers_and_for_itself_in_place_of_others(
    app: TestClient, database: Database, say: Say
) -> None:
    backend = key(database, "desk", Scope.DELEGATE)
    admin = {"Authorization": f"Bearer {key(database, 'admin', Scope.ADMIN)}"}
    for name in ("Maria", "ali"):
        assert app.post("/v1/reviewers", json={"name": name}, headers=admin).status_code == 201

    assert [say(backend, name) for name in ("maria", "MARIA", "ali")] == [None, None, None]
    assert voices(database) == 2
    assert [say(backend, name) is None for name in ("stranger", "another stranger")] == [False, False]
    assert voices(database) == 3

    assert app.delete("/v1/reviewers/ali", headers=admin).status_code == 204
    assert app.delete("/v1/reviewers/ali", headers=admin).status_code == 404
    assert voices(database) == 3


def test_labels_of_an_older_release_keep_what_they_counted(database: Database, say: Say) -> None:
    for name in ("anna", "maria"):  # as an older release wrote them, and the command line does
        Labels(database).add(Actor("cli"), "cat", LabelValue.AI_GENERATED, reviewer=name, reason="hands")
    assert voices(database) == 2
    say(key(database, "anna"))
    assert voices(database) == 2
    say(key(database, "somebody"), "maria")
    assert voices(database) == 3


def test_the_audit_trail_names_the_reviewer(database: Database, say: Say) -> None:
    say(key(database, "desk"), "maria")
    (entry,) = Audit(database).page(limit=1, action="label.add")
    assert (entry.actor, entry.detail["reviewer"]) == ("desk", "maria")
