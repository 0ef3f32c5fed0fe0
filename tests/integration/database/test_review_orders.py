"""What the desk offers besides uncertain images: disputes, the audit slice, appeals and clusters of look-alikes."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.label_agreement import LabelTerms
from worker.database.labels import Labels
from worker.database.look_alikes import LookAlikes
from worker.database.review import ReviewQueue
from worker.database.review_orders import ReviewOrder
from worker.database.session import Database
from worker.database.tables import LabelValue
from worker.decisions.near_hashes import bands_of
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(database: Database) -> ReviewQueue:
    return ReviewQueue(database, LabelTerms(audit_share=0.5))


@pytest.fixture
def team(database: Database) -> list[Actor]:
    keys = ApiKeys(database)
    return [Actor(name, keys.create(name, [Scope.REVIEW]).id) for name in ("anna", "ben", "carla")]


def held(queue: ReviewQueue, actor: Actor, order: ReviewOrder, **options: Any) -> list[str]:
    assert actor.api_key_id is not None
    claims = queue.claim(actor.api_key_id, most=10, order=order, **options)
    for claim in claims:
        queue.put_back(actor.api_key_id, claim.image_pk)
    return [claim.image_id for claim in claims]


def says(database: Database, actor: Actor, image_id: str, value: LabelValue) -> None:
    assert Labels(database).add(actor, image_id, value, reviewer=actor.name, reason="because")


AI, NOT = LabelValue.AI_GENERATED, LabelValue.NOT_AI_GENERATED


def test_people_who_disagree_make_a_dispute_and_who_spoke_first_may_think_again(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    anna, ben, carla = team
    rows.verdict(rows.image("cat", sha256=uuid4().hex))
    says(database, anna, "cat", AI)
    assert held(queue, ben, ReviewOrder.DISPUTED) == []
    says(database, ben, "cat", NOT)
    offered = {actor.name: held(queue, actor, ReviewOrder.DISPUTED) for actor in team}
    assert offered == {"anna": ["cat"], "ben": [], "carla": ["cat"]}
    assert held(queue, carla, ReviewOrder.UNCERTAIN) == []
    says(database, anna, "cat", NOT)
    assert held(queue, carla, ReviewOrder.DISPUTED) == []


def test_a_third_word_leaves_the_dispute_to_whoever_has_not_spoken_since(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    anna, ben, carla = team
    rows.verdict(rows.image("cat", sha256=uuid4().hex))
    says(database, anna, "cat", AI)
    says(database, ben, "cat", NOT)
    says(database, carla, "cat", AI)
    assert [held(queue, actor, ReviewOrder.DISPUTED) for actor in team] == [["cat"], [], []]


def test_a_dispute_is_about_the_bytes_whichever_copy_was_labelled(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    content = uuid4().hex
    for name in ("cat", "copy"):
        rows.verdict(rows.image(name, sha256=content))
    says(database, team[0], "cat", AI)
    says(database, team[1], "copy", NOT)
    assert held(queue, team[2], ReviewOrder.DISPUTED) == ["copy"]
    assert Erasure(database, "artifacts").erase(team[0], "copy")
    assert held(queue, team[2], ReviewOrder.DISPUTED) == []


def test_a_new_scan_of_a_disputed_image_leaves_the_dispute(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    image = rows.image("cat", sha256=uuid4().hex)
    rows.verdict(image)
    says(database, team[0], "cat", AI)
    says(database, team[1], "cat", NOT)
    rows.verdict(image, policy_version=rows.policy(), verdict=VerdictValue.AI_GENERATED)
    assert held(queue, team[2], ReviewOrder.DISPUTED) == ["cat"]


def test_the_audit_slice_is_offered_by_its_hashes_until_somebody_labels_it(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    places = {"second": "40000000", "first": "00000001", "outside": "90000000", "labelled": "00000000"}
    for name, place in places.items():
        rows.verdict(rows.image(name, sha256=uuid4().hex + place), verdict=VerdictValue.NOT_AI_GENERATED)
    rows.image("without-verdict", sha256=uuid4().hex + "00000002")
    says(database, team[0], "labelled", NOT)
    assert held(queue, team[0], ReviewOrder.AUDIT) == ["first", "second"]
    says(database, team[0], "first", NOT)
    assert held(queue, team[1], ReviewOrder.AUDIT) == ["second"]


def test_two_reviewers_never_hold_the_same_image_of_the_audit_slice(
    queue: ReviewQueue, rows: Rows, team: list[Actor]
) -> None:
    for name in ("first", "second", "third"):
        rows.verdict(rows.image(name, sha256=uuid4().hex + "00000000"), verdict=VerdictValue.NOT_AI_GENERATED)
    keys = [actor.api_key_id or 0 for actor in team]
    claims = [queue.claim(key, most=2, order=ReviewOrder.AUDIT) for key in keys]
    assert [len(one) for one in claims] == [2, 1, 0]
    assert len({claim.image_pk for one in claims for claim in one}) == 3
    # An image that is only held is in no queue of uncertain ones.
    assert queue.claim(keys[0], most=5) == []


def test_appeals_are_offered_by_their_dates_to_whoever_did_not_decide_before(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    appeals = Appeals(database)
    for name in ("flagged", "by-anna"):
        rows.verdict(rows.image(name, sha256=uuid4().hex), verdict=VerdictValue.AI_GENERATED)
    says(database, team[0], "by-anna", AI)
    for name in ("by-anna", "flagged"):
        assert appeals.add(Actor("platform"), name, reason="it is mine", contact=None)
    offered = {actor.name: held(queue, actor, ReviewOrder.APPEALS) for actor in team[:2]}
    assert offered == {"anna": ["flagged"], "ben": ["by-anna", "flagged"]}
    assert queue.figures(team[1].api_key_id or 0, "ben", order=ReviewOrder.APPEALS).waiting == 2


def hash_of(flipped: int, first: str = "01") -> dict[str, Any]:
    bits = "".join("1" if place < flipped else bit for place, bit in enumerate(first * 128))
    return {"pdq": bits, "pdq_bands": bands_of(bits)}


def detectors(low: float, high: float) -> dict[str, Any]:
    return {"clip": {"logit": 0, "probability": low}, "convnext": {"logit": 0, "probability": high}}


def clusters(database: Database) -> list[tuple[int, float]]:
    with database.transaction() as session:
        rows = session.execute(text("SELECT images, disagreement FROM review_cluster ORDER BY images DESC"))
        return [(row.images, round(row.disagreement, 3)) for row in rows]


def test_look_alikes_of_the_queue_come_together_the_most_first(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    alike = LookAlikes(database)
    for number, name in enumerate(("wave-1", "wave-2", "wave-3")):
        rows.verdict(rows.image(name, **hash_of(8 * number)), detectors=detectors(0.1, 0.9))
    for name in ("pair-1", "pair-2"):
        rows.verdict(rows.image(name, **hash_of(0, "10")), detectors=detectors(0.4, 0.5))
    rows.verdict(rows.image("plain"))
    clear = rows.image("clear", **hash_of(4))
    rows.verdict(clear, verdict=VerdictValue.AI_GENERATED)
    assert alike.compare(most=100) == 6
    assert alike.compare(most=100) == 0
    assert clusters(database) == [(3, 0.8), (2, 0.1)]
    offered = held(queue, team[0], ReviewOrder.CLUSTERS)
    assert set(offered[:3]) == {"wave-1", "wave-2", "wave-3"}
    assert set(offered[3:]) == {"pair-1", "pair-2"}
    assert held(queue, team[0], ReviewOrder.CLUSTERS, source="other") == []


def test_two_clusters_that_turn_out_to_be_one_are_merged(rows: Rows, database: Database) -> None:
    alike = LookAlikes(database)
    # Ends are 60 bits apart, and what joins them is within 31 of both.
    for name, flipped in (("left-1", 0), ("left-2", 2), ("right-1", 120), ("right-2", 118)):
        rows.verdict(rows.image(name, **hash_of(flipped)))
    alike.compare(most=10)
    assert sorted(images for images, _ in clusters(database)) == [2, 2]
    rows.verdict(rows.image("between", **hash_of(60)))
    alike.compare(most=10)
    assert clusters(database) == [(5, 0.0)]


def test_images_that_are_only_held_are_tidied_away_once_nobody_holds_them(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    rows.verdict(rows.image("audit", sha256=uuid4().hex + "00000000"), verdict=VerdictValue.NOT_AI_GENERATED)
    rows.verdict(rows.image("waits"))
    assert queue.claim(team[0].api_key_id or 0, most=1, order=ReviewOrder.AUDIT)
    with database.transaction() as session:
        session.execute(text("UPDATE review_item SET claimed_until = now() - interval '1 minute' WHERE NOT uncertain"))
    LookAlikes(database).tidy()
    with database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM review_item")) == 1


def test_a_persons_verdict_ends_the_waiting_of_an_image_in_a_cluster(
    queue: ReviewQueue, rows: Rows, team: list[Actor], database: Database
) -> None:
    images = {name: rows.image(name, **hash_of(0)) for name in ("one", "two")}
    for image in images.values():
        rows.verdict(image)
    LookAlikes(database).compare(most=10)
    rows.verdict(images["one"], DecidedBy.HUMAN, verdict=VerdictValue.AI_GENERATED)
    assert held(queue, team[0], ReviewOrder.CLUSTERS) == ["two"]
