"""The review desk's server side: claims, decisions, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.api.conftest import SITE, Rows, SignIn
from worker.database.api_keys import Scope
from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.served import Queries
from worker.database.session import Database
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration

Post = Callable[..., Any]


@pytest.fixture
def desk(sign_in: SignIn) -> Callable[[], Post]:
    """Opens the desk for another reviewer each time; gives a function that sends its forms."""

    def opened() -> Post:
        client, token = sign_in(Scope.READ, Scope.REVIEW)

        def post(path: str, **fields: Any) -> Any:
            return send(client, token, path, **fields)

        return post

    return opened


def send(client: TestClient, token: str, path: str, **fields: Any) -> Any:
    headers = {"Origin": SITE, "X-Requested-With": "assay"}
    return client.post(f"/console/review/{path}", data={"csrf": token, **fields}, headers=headers)


def images(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["image_id"] for item in answer.json()["items"]]


def test_the_desk_shows_the_image_its_thresholds_in_words_and_its_detectors(
    desk: Callable[[], Post], rows: Rows
) -> None:
    detectors = {"clip": {"logit": 0.1, "probability": 0.52}}
    rows.verdict(rows.image("cat"), probability=0.5, lower_threshold=0.2, upper_threshold=0.9, detectors=detectors)
    (item,) = desk()("next").json()["items"]
    assert item["detectors"] == [["CLIP", "52.0\N{NO-BREAK SPACE}%"]]
    assert item["standing"].startswith("Between 20.0")
    assert "neither accuses nor clears" in item["standing"]


def test_what_machines_accuse_is_flagged(desk: Callable[[], Post], rows: Rows, database: Database) -> None:
    detectors = {"clip": {"logit": 2.0, "probability": 0.9}}
    rows.verdict(rows.image("cat"), verdict=VerdictValue.AI_GENERATED, detectors=detectors)
    Appeals(database).add(Actor("anna"), "cat", reason="mine", contact=None)
    (item,) = desk()("next", order="appeals").json()["items"]
    assert item["flagged"] is True


def test_a_decision_is_a_human_verdict_with_its_reason(desk: Callable[[], Post], rows: Rows, queries: Queries) -> None:
    image = rows.image("cat")
    rows.verdict(image)
    anna = desk()
    (item,) = anna("next").json()["items"]
    answer = anna("decide", image_pk=item["image_pk"], image_id="cat", act="ai_generated", reason="six fingers")
    assert answer.json()["figures"] == {"waiting": 0, "own": 1, "team": 1}
    served = queries.served("cat")
    assert served is not None
    assert served.verdict is not None
    assert (served.verdict.verdict, served.verdict.decided_by, served.verdict.reason) == (
        VerdictValue.AI_GENERATED,
        DecidedBy.HUMAN,
        "six fingers",
    )


def test_a_cluster_is_labelled_at_once(desk: Callable[[], Post], rows: Rows, queries: Queries) -> None:
    for image_id in ("cat", "twin", "other"):
        rows.verdict(rows.image(image_id))
    anna = desk()
    item = next(one for one in anna("next").json()["items"] if one["image_id"] == "cat")
    anna("decide", image_pk=item["image_pk"], image_id="cat", act="not_ai_generated", reason="lens", also=["twin"])
    decided = {name: queries.served(name) for name in ("cat", "twin", "other")}
    assert [name for name, one in decided.items() if one and one.verdict and one.verdict.decided_by == "human"] == [
        "cat",
        "twin",
    ]


def test_what_the_page_has_already_is_held_and_not_sent_again(desk: Callable[[], Post], rows: Rows) -> None:
    for number in range(6):
        rows.verdict(rows.image(f"image-{number}"))
    anna = desk()
    known = [item["image_pk"] for item in anna("next").json()["items"]]
    assert (len(known), images(anna("next", known=known))) == (4, [])
    assert [item["image_pk"] for item in anna("next", known=known[1:]).json()["items"]] == known[:1]


def test_two_reviewers_are_shown_different_images(desk: Callable[[], Post], rows: Rows) -> None:
    for number in range(8):
        rows.verdict(rows.image(f"image-{number}"))
    shown = [images(desk()("next")) for _ in range(2)]
    assert len(shown[0]) == len(shown[1]) == 4
    assert set(shown[0]) & set(shown[1]) == set()


def test_what_somebody_decided_meanwhile_is_refused_and_nothing_is_saved(
    desk: Callable[[], Post], rows: Rows, queries: Queries
) -> None:
    image = rows.image("cat")
    rows.verdict(image)
    anna = desk()
    (item,) = anna("next").json()["items"]
    rows.verdict(image, DecidedBy.HUMAN, verdict=VerdictValue.NOT_AI_GENERATED, reviewer="ben", reason="mine")
    answer = anna("decide", image_pk=item["image_pk"], image_id="cat", act="ai_generated", reason="late")
    assert (answer.status_code, "Nothing was saved" in answer.json()["detail"]) == (409, True)
    served = queries.served("cat")
    assert served is not None
    assert served.verdict is not None
    assert served.verdict.reviewer == "ben"


def test_a_label_needs_a_reason_and_an_act_that_is_known(desk: Callable[[], Post], rows: Rows) -> None:
    rows.verdict(rows.image("cat"))
    anna = desk()
    (item,) = anna("next").json()["items"]
    chosen = {"image_pk": item["image_pk"], "image_id": "cat"}
    assert anna("decide", **chosen, act="ai_generated").status_code == 422
    assert anna("decide", **chosen, act="delete", reason="x").status_code == 422


def test_a_pass_can_be_taken_back(desk: Callable[[], Post], rows: Rows) -> None:
    rows.verdict(rows.image("cat"))
    anna = desk()
    (item,) = anna("next").json()["items"]
    anna("decide", image_pk=item["image_pk"], image_id="cat", act="skip")
    assert images(anna("next")) == []
    anna("decide", image_pk=item["image_pk"], image_id="cat", act="undo")
    assert images(anna("next")) == ["cat"]


def test_an_image_that_needs_no_person_any_more_leaves_the_queue(desk: Callable[[], Post], rows: Rows) -> None:
    newer, older = rows.image("cat", stored_at="2999-01-01"), rows.image("cat")
    rows.verdict(older)
    rows.verdict(newer, verdict=VerdictValue.AI_GENERATED)
    anna = desk()
    assert images(anna("next")) == []
    assert anna("next").json()["figures"]["waiting"] == 0


def test_readers_have_no_desk(sign_in: SignIn) -> None:
    client, _ = sign_in(Scope.READ)
    assert client.get("/console/review").status_code == 403
    assert "/console/review" not in client.get("/console").text
