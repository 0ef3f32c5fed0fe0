"""Appeals: one at a time, decided by somebody else than before, told to webhooks, gone with image and age."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from tests.integration.api.conftest import BUNDLE, Rows, database, rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.appeals import (
    MOST_OF_CONTACT,
    AlreadyAppealedError,
    AppealCounts,
    Appeals,
    NothingToAppealError,
    NotOpenError,
    SamePersonError,
    TooManyAppealsError,
)
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.event_messages import content_of
from worker.database.labels import Labels
from worker.database.outbox import Outbox
from worker.database.served import Queries
from worker.database.session import Database
from worker.database.tables import Appeal, Label, LabelValue, WebhookDelivery
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.decisions.appeal import AppealState
from worker.decisions.vocabulary import VerdictValue

pytestmark = pytest.mark.integration
__all__ = ["BUNDLE", "database", "rows"]

PLATFORM = Actor("platform")
NOT = LabelValue.NOT_AI_GENERATED


@pytest.fixture
def person(database: Database) -> Callable[[str], Actor]:
    """Gives a reviewer with a key of their own."""

    def made(name: str) -> Actor:
        key_id = ApiKeys(database).create(name, [Scope.REVIEW]).id
        return Actor(name, key_id)

    return made


@pytest.fixture
def appeals(database: Database, rows: Rows) -> Appeals:
    """The table, and one image that a machine accused."""
    rows.verdict(rows.image("cat"), verdict=VerdictValue.AI_GENERATED, probability=0.97)
    return Appeals(database)


def brought(appeals: Appeals, image_id: str = "cat", contact: str | None = "user-42") -> int:
    case = appeals.add(PLATFORM, image_id, reason="I took it myself.", contact=contact)
    assert case is not None
    return case.appeal.id


def test_nothing_that_is_served_changes_until_a_person_decides(
    appeals: Appeals, database: Database, person: Callable[[str], Actor]
) -> None:
    appeal_id = brought(appeals)
    before = Queries(database).served("cat")
    assert before is not None
    assert before.verdict is not None
    assert before.verdict.verdict == VerdictValue.AI_GENERATED
    case = appeals.decide(person("anna"), appeal_id, NOT, reviewer="anna", reason="a second frame")
    assert case is not None
    assert (case.appeal.state, case.decision and case.decision.verdict) == (AppealState.UPHELD, NOT)
    after = Queries(database).served("cat")
    assert after is not None
    assert after.verdict is not None
    assert (after.verdict.verdict, after.verdict.reviewer, after.verdict.reason) == (NOT, "anna", "a second frame")


def test_a_decision_is_no_label_so_it_neither_trains_nor_audits(
    appeals: Appeals, database: Database, person: Callable[[str], Actor]
) -> None:
    appeals.decide(person("anna"), brought(appeals), NOT, reviewer="anna", reason="x")
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Label)) == 0


def test_one_appeal_is_open_for_a_version_however_many_come_at_once(
    appeals: Appeals, database: Database, together: Callable[..., list[Any]]
) -> None:
    outcomes = together(*[lambda: brought(appeals)] * 4)
    assert sum(isinstance(one, AlreadyAppealedError) for one in outcomes) == 3
    assert appeals.counts() == AppealCounts(open=1, overdue=0)
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Appeal)) == 1


def test_a_decided_image_may_be_appealed_again_but_not_decided_by_the_same_person(
    appeals: Appeals, person: Callable[[str], Actor]
) -> None:
    anna, ben = person("anna"), person("ben")
    appeals.decide(anna, brought(appeals), LabelValue.AI_GENERATED, reviewer="anna", reason="x")
    again = brought(appeals)
    with pytest.raises(SamePersonError):
        appeals.decide(anna, again, NOT, reviewer="anna", reason="x")
    with pytest.raises(SamePersonError):
        appeals.decide(anna, again, NOT, reviewer="somebody else", reason="x")
    case = appeals.decide(ben, again, NOT, reviewer="ben", reason="x")
    assert case is not None
    assert case.appeal.state == AppealState.UPHELD


def test_whoever_labelled_an_image_does_not_decide_the_appeal(
    appeals: Appeals, database: Database, person: Callable[[str], Actor]
) -> None:
    anna = person("anna")
    Labels(database).add(anna, "cat", LabelValue.AI_GENERATED, reviewer="anna", reason="hands")
    appeal_id = brought(appeals)
    with pytest.raises(SamePersonError):
        appeals.decide(anna, appeal_id, NOT, reviewer="anna", reason="x")
    assert appeals.decide(person("ben"), appeal_id, NOT, reviewer="ben", reason="x") is not None


def test_two_who_decide_at_once_decide_once(
    appeals: Appeals, person: Callable[[str], Actor], together: Callable[..., list[Any]]
) -> None:
    appeal_id, people = brought(appeals), [person("anna"), person("ben")]
    acts = [lambda who=who: appeals.decide(who, appeal_id, NOT, reviewer=who.name, reason="x") for who in people]
    assert sum(isinstance(one, NotOpenError) for one in together(*acts)) == 1


def test_an_image_without_a_verdict_has_nothing_to_appeal_and_an_unknown_one_is_none(
    appeals: Appeals, rows: Rows
) -> None:
    rows.image("waiting")
    with pytest.raises(NothingToAppealError):
        appeals.add(PLATFORM, "waiting", reason="x", contact=None)
    assert appeals.add(PLATFORM, "nobody", reason="x", contact=None) is None
    assert appeals.of("nobody", limit=1) is None
    assert appeals.decide(PLATFORM, 99, NOT, reviewer="anna", reason="x") is None


def test_one_contact_brings_so_many_a_day(appeals: Appeals, rows: Rows, person: Callable[[str], Actor]) -> None:
    platform = person("platform")
    for number in range(MOST_OF_CONTACT):
        rows.verdict(rows.image(f"image-{number}"))
        assert appeals.add(platform, f"image-{number}", reason="x", contact="user-42") is not None
    with pytest.raises(TooManyAppealsError):
        appeals.add(platform, "cat", reason="x", contact="user-42")
    assert appeals.add(platform, "cat", reason="x", contact="user-43") is not None


def test_what_is_past_its_time_is_counted_and_comes_first(appeals: Appeals, database: Database, rows: Rows) -> None:
    rows.verdict(rows.image("late"))
    late = Appeals(database, timedelta(seconds=-1)).add(PLATFORM, "late", reason="x", contact=None)
    brought(appeals)
    assert late is not None
    assert appeals.counts() == AppealCounts(open=2, overdue=1)
    cases = appeals.page([AppealState.OPEN], limit=9, overdue=True)
    assert [case.image.image_id for case in cases] == ["late"]
    assert [case.image.image_id for case in appeals.page([AppealState.OPEN], limit=9)] == ["late", "cat"]
    assert [case.image.image_id for case in appeals.page([AppealState.OPEN], limit=9, after=late.appeal.id)] == ["cat"]


def test_a_webhook_tells_of_the_decision_and_names_nobody(
    appeals: Appeals, database: Database, person: Callable[[str], Actor]
) -> None:
    WebhookEndpoints(database).add(PLATFORM, "https://platform.example/", [Event.APPEAL_DECIDED])
    appeal_id = brought(appeals)
    appeals.decide(person("anna"), appeal_id, NOT, reviewer="anna", reason="a second frame")
    outbox = Outbox(database)
    (endpoint,) = outbox.endpoints_due()
    (parcel,) = outbox.take(endpoint)
    message = content_of(outbox, parcel.event, parcel.payload, parcel.created_at)
    assert message["type"] == "appeal.decided"
    data = message["data"]
    assert (data["image_id"], data["appeal_id"], data["state"]) == ("cat", appeal_id, "upheld")
    assert (data["appealed_verdict"], data["verdict"]) == ("ai_generated", "not_ai_generated")
    assert [secret for secret in ("user-42", "myself", "anna", "second frame") if secret in str(message)] == []


def test_erasure_takes_what_an_appeal_says_and_tells_nobody(appeals: Appeals, database: Database) -> None:
    WebhookEndpoints(database).add(PLATFORM, "https://platform.example/", [Event.APPEAL_DECIDED])
    appeal_id = brought(appeals)
    Erasure(database, "artifacts").erase(PLATFORM, "cat")
    with database.transaction() as session:
        appeal = session.get_one(Appeal, appeal_id)
        assert (appeal.state, appeal.reason, appeal.contact) == (AppealState.LAPSED, None, None)
        assert session.scalars(select(WebhookDelivery)).all() == []
    assert (appeals.get(appeal_id), appeals.counts().open) == (None, 0)


def test_who_appealed_and_why_is_forgotten_some_time_after_the_decision(
    appeals: Appeals, database: Database, rows: Rows, person: Callable[[str], Actor]
) -> None:
    appeals.decide(person("anna"), brought(appeals), NOT, reviewer="anna", reason="x")
    rows.verdict(rows.image("open"))
    brought(appeals, "open")
    assert appeals.forget(30, most=10) == 0
    with database.transaction() as session:
        session.execute(text("UPDATE appeal SET decided_at = now() - interval '31 days' WHERE state <> 'open'"))
    assert appeals.forget(30, most=10) == 1
    with database.transaction() as session:
        kept = session.execute(select(Appeal.state, Appeal.reason).order_by(Appeal.id)).all()
    assert [tuple(row) for row in kept] == [("upheld", None), ("open", "I took it myself.")]
