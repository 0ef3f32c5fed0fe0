"""Bulk labels with their preview, what leads set for the desk, and how reviewers fare."""

from collections.abc import Callable
from html import unescape
from re import search
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.api.conftest import SITE, Rows, SignIn
from worker.database.api_keys import ApiKeys, Scope
from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.labels import Labels
from worker.database.review_statistics import ReviewStatistics
from worker.database.served import Queries
from worker.database.session import Database
from worker.database.tables import LabelValue
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration

AI, NOT = LabelValue.AI_GENERATED, LabelValue.NOT_AI_GENERATED
Send = Callable[..., Any]


@pytest.fixture
def send(sign_in: SignIn) -> Callable[..., Send]:
    """Signs somebody in; gives a function that sends their forms, or gets their pages where there is none."""

    def signed_in(*scopes: Scope) -> Send:
        client, token = sign_in(Scope.READ, *scopes)

        def sent(path: str, **fields: Any) -> Any:
            if not fields:
                return client.get(f"/console/review/{path}".replace("/?", "?"))
            return client.post(f"/console/review/{path}", data={"csrf": token, **fields}, headers={"Origin": SITE})

        return sent

    return signed_in


def verdict_of(queries: Queries, image_id: str) -> tuple[str, str]:
    served = queries.served(image_id)
    assert served is not None
    assert served.verdict is not None
    return served.verdict.verdict, served.verdict.decided_by


def upto(page: str) -> str:
    found = search('name="upto" value="([0-9]+)"', page)
    assert found is not None
    return found.group(1)


def test_a_selection_is_labelled_after_a_preview_that_tells_what_changes(
    send: Callable[..., Send], rows: Rows, queries: Queries, database: Database
) -> None:
    content = uuid4().hex
    for name in ("one", "two", "copy of two"):
        rows.verdict(rows.image(name, sha256=content if "two" in name else None))
    rows.verdict(rows.image("decided"), DecidedBy.HUMAN, verdict=VerdictValue.NOT_AI_GENERATED, reviewer="ben")
    anna = send(Scope.REVIEW)
    chosen = {"image": ["one", "two", "decided", "gone"], "label": "ai_generated", "reason": "one prompt"}
    preview = anna("preview", **chosen)
    words = " ".join(unescape(search("<main.*</main>", preview.text.replace("\n", " ")).group()).split())  # type: ignore[union-attr]
    assert "<dt>Images labelled</dt><dd>3</dd>" in words
    assert "<dt>Served verdict changes</dt><dd>3</dd>" in words
    assert "<dt>Other images of the same bytes</dt><dd>1</dd>" in words
    assert "<dt>A person said otherwise</dt><dd>1</dd>" in words
    assert "1 of the chosen images are unknown" in words
    assert verdict_of(queries, "one") == ("uncertain", "machine")
    answer = anna("bulk", **chosen, upto=upto(preview.text))
    assert answer.status_code == 303
    assert {verdict_of(queries, name) for name in ("one", "two", "copy of two", "decided")} == {
        ("ai_generated", "human")
    }
    labels = Labels(database).of("copy of two", limit=5)
    assert labels is not None
    assert [(label.reason, label.of_duplicate) for label in labels] == [("one prompt", True)]


def test_nothing_is_saved_where_somebody_decided_one_of_them_since_the_preview(
    send: Callable[..., Send], rows: Rows, queries: Queries
) -> None:
    images = {name: rows.image(name) for name in ("one", "two")}
    for image in images.values():
        rows.verdict(image)
    anna = send(Scope.REVIEW)
    chosen = {"image": list(images), "label": "ai_generated", "reason": "one prompt"}
    newest = upto(anna("preview", **chosen).text)
    rows.verdict(images["two"], DecidedBy.HUMAN, verdict=VerdictValue.NOT_AI_GENERATED, reviewer="ben")
    answer = anna("bulk", **chosen, upto=newest)
    assert (answer.status_code, "Nothing was saved" in answer.text) == (409, True)
    assert verdict_of(queries, "one") == ("uncertain", "machine")


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"image": [], "label": "ai_generated", "reason": "x"}, "choose 1 to 200"),
        ({"image": [str(n) for n in range(201)], "label": "ai_generated", "reason": "x"}, "choose 1 to 200"),
        ({"image": ["one"], "label": "maybe", "reason": "x"}, "no label"),
        ({"image": ["one"], "label": "ai_generated", "reason": " "}, "reason"),
    ],
)
def test_a_selection_that_cannot_be_labelled_is_refused_in_words(
    send: Callable[..., Send], rows: Rows, fields: dict[str, Any], detail: str
) -> None:
    rows.verdict(rows.image("one"))
    answer = send(Scope.REVIEW)("preview", **fields)
    assert (answer.status_code, detail in unescape(answer.text)) == (422, True)


def test_a_selection_of_images_that_are_all_gone_is_told_so(send: Callable[..., Send]) -> None:
    answer = send(Scope.REVIEW)("preview", image=["gone"], label="ai_generated", reason="x")
    assert answer.status_code == 404


def test_look_alikes_are_shown_to_be_chosen(send: Callable[..., Send], rows: Rows) -> None:
    content = uuid4().hex
    for name in ("a & b", "twin"):
        rows.verdict(rows.image(name, sha256=content))
    page = send(Scope.REVIEW)("alike?id=a%20%26%20b").text
    assert 'value="a &amp; b" checked' in page
    assert 'value="twin" checked' in page
    assert send(Scope.REVIEW)("alike?id=gone").status_code == 404


def test_leads_set_reasons_and_goals_for_all_and_for_a_source(send: Callable[..., Send], rows: Rows) -> None:
    for name, source in (("cat", "posts"), ("dog", "chat")):
        rows.verdict(rows.image(name, source=source), source=source)
    lead, anna = send(Scope.LEAD), send(Scope.REVIEW)
    assert lead("terms", source="", reason=["Hands", "", "Text"], daily_goal="40").status_code == 303
    assert lead("terms", source="posts", reason=["A wave"], daily_goal="").status_code == 303
    items = {item["image_id"]: item["reasons"] for item in anna("next", order="oldest").json()["items"]}
    assert items == {"cat": ["A wave"], "dog": ["Hands", "Text"]}
    page = anna("?source=posts").text
    assert ('value="A wave"' in page, 'max="40"' in page) == (True, True)
    assert lead("terms", source="posts", reason=[""]).status_code == 303
    assert 'value="Hands"' in anna("?source=posts").text
    assert anna("terms", source="", reason=["x"]).status_code == 403


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"source": "", "reason": [""]}, "1 to 9 reasons"),
        ({"source": "", "reason": ["x"] * 10}, "1 to 9 reasons"),
        ({"source": "", "reason": ["x" * 201]}, "1 to 200 characters"),
        ({"source": "", "reason": ["x"], "daily_goal": "many"}, "a number of images"),
        ({"source": "", "reason": ["x"], "daily_goal": "0"}, "from 1 to"),
    ],
)
def test_terms_that_cannot_be_are_refused_in_words(
    send: Callable[..., Send], fields: dict[str, Any], detail: str
) -> None:
    answer = send(Scope.LEAD)("terms", **fields)
    assert (answer.status_code, detail in answer.text) == (422, True)


def test_the_audit_slice_is_shown_without_what_machines_say(send: Callable[..., Send], rows: Rows) -> None:
    rows.verdict(
        rows.image("cat", sha256=uuid4().hex + "00000000"), detectors={"clip": {"logit": 1, "probability": 0.7}}
    )
    anna = send(Scope.REVIEW)
    (item,) = anna("next", order="audit").json()["items"]
    assert (item["probability"], item["detectors"], item["heatmaps"]) == ("", [], [])
    answer = anna("decide", image_pk=item["image_pk"], image_id="cat", act="ai_generated", reason="x", order="audit")
    assert answer.json()["figures"] == {"waiting": 0, "own": 1, "team": 1}


def test_a_dispute_shows_who_said_what(send: Callable[..., Send], rows: Rows, database: Database) -> None:
    rows.verdict(rows.image("cat"))
    keys = ApiKeys(database)
    for name, value, why in (("ben", AI, "hands"), ("carla", NOT, "lens")):
        actor = Actor(name, keys.create(name, [Scope.REVIEW]).id)
        Labels(database).add(actor, "cat", value, reviewer=name, reason=why)
    (item,) = send(Scope.REVIEW)("next", order="disputed").json()["items"]
    assert item["words"] == [["carla", "Not AI-generated", "lens"], ["ben", "AI-generated", "hands"]]


def test_an_appeal_is_decided_at_the_desk(send: Callable[..., Send], rows: Rows, database: Database) -> None:
    rows.verdict(rows.image("cat"), verdict=VerdictValue.AI_GENERATED)
    appeals = Appeals(database)
    brought = appeals.add(Actor("platform"), "cat", reason="<b>mine</b>", contact=None)
    assert brought is not None
    anna = send(Scope.REVIEW)
    (item,) = anna("next", order="appeals").json()["items"]
    assert item["appeal"]["reason"] == "<b>mine</b>"
    chosen = {"image_pk": item["image_pk"], "image_id": "cat", "act": "not_ai_generated", "reason": "lens"}
    answer = anna("decide", **chosen, order="appeals", appeal=item["appeal"]["id"])
    assert answer.json()["figures"]["waiting"] == 0
    case = appeals.get(brought.appeal.id)
    assert case is not None
    assert case.appeal.state == "upheld"
    assert Labels(database).of("cat", limit=1) == []


def test_an_order_that_does_not_exist_is_refused_in_words(send: Callable[..., Send]) -> None:
    answer = send(Scope.REVIEW)("next", order="loudest")
    assert (answer.status_code, "there is no order" in unescape(answer.text)) == (422, True)


def test_agreement_counts_others_newest_words_on_the_same_images(rows: Rows, database: Database) -> None:
    keys, labels = ApiKeys(database), Labels(database)
    anna, ben = (Actor(name, keys.create(name, [Scope.REVIEW]).id) for name in ("anna", "ben"))
    for name in ("same", "changed", "other", "alone"):
        rows.image(name, sha256=uuid4().hex)
    for actor, image_id, value in (
        (anna, "same", AI),
        (ben, "same", AI),
        (anna, "changed", NOT),
        (ben, "changed", AI),
        (ben, "changed", NOT),
        (anna, "other", AI),
        (ben, "other", NOT),
        (anna, "alone", AI),
    ):
        labels.add(actor, image_id, value, reviewer=actor.name, reason="x")
    everybody = {one.reviewer: one for one in ReviewStatistics(database).by_reviewer()}
    assert (everybody["anna"].reviewed, everybody["anna"].today, everybody["ben"].reviewed) == (4, 4, 3)
    assert (everybody["anna"].compared, everybody["anna"].same) == (3, 2)
    assert everybody["ben"].agreement == pytest.approx(2 / 3)
    assert everybody["anna"].seconds is not None
    assert [one.reviewer for one in ReviewStatistics(database).by_reviewer("ben")] == ["ben"]


def test_moderators_see_themselves_and_leads_see_everybody(
    send: Callable[..., Send], rows: Rows, database: Database
) -> None:
    rows.image("cat")
    actor = Actor("somebody else", ApiKeys(database).create("somebody else", [Scope.REVIEW]).id)
    Labels(database).add(actor, "cat", AI, reviewer=actor.name, reason="x")
    assert "somebody else" in send(Scope.LEAD)("team").text
    page = send(Scope.REVIEW)("team").text
    assert ("somebody else" in page, "<dt>Reviewed today</dt><dd>1</dd>" in page) == (False, True)
    assert send(Scope.REVIEW)("standing").json() == {"agreement": "\N{EN DASH}", "speed": "\N{EN DASH}"}
