"""The review queue: what enters and leaves it, and that two reviewers never hold the same image."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.labels import Labels
from worker.database.review import ReviewQueue
from worker.database.review_orders import ReviewOrder
from worker.database.session import Database
from worker.database.tables import LabelValue
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration

ANNA = Actor("anna")


@pytest.fixture
def queue(database: Database) -> ReviewQueue:
    return ReviewQueue(database)


@pytest.fixture
def reviewers(database: Database) -> tuple[int, int]:
    """The ids of two keys."""
    keys = ApiKeys(database)
    return keys.create("anna", [Scope.REVIEW]).id, keys.create("ben", [Scope.REVIEW]).id


def held(queue: ReviewQueue, key_id: int, most: int = 10, **options: Any) -> list[str]:
    return [claim.image_id for claim in queue.claim(key_id, most=most, **options)]


def test_the_most_uncertain_comes_first(queue: ReviewQueue, rows: Rows, reviewers: tuple[int, int]) -> None:
    for image_id, probability in (("far", 0.9), ("near", 0.52), ("middle", 0.3)):
        rows.verdict(rows.image(image_id), probability=probability)
    assert held(queue, reviewers[0]) == ["near", "middle", "far"]
    queue.put_back(reviewers[0], queue.claim(reviewers[0], most=1)[0].image_pk)
    assert held(queue, reviewers[0], order=ReviewOrder.NEWEST)[0] in {"middle", "far", "near"}


@pytest.mark.parametrize("verdict", [VerdictValue.AI_GENERATED, VerdictValue.NOT_AI_GENERATED])
def test_an_image_with_a_clear_verdict_does_not_wait(
    queue: ReviewQueue, rows: Rows, reviewers: tuple[int, int], verdict: VerdictValue
) -> None:
    image = rows.image("clear")
    rows.verdict(image)
    rows.verdict(image, verdict=verdict, policy_version=1, bundle_version="api-tests", shadow=True)
    assert held(queue, reviewers[0]) == ["clear"]
    rows.verdict(image, DecidedBy.HUMAN, verdict=verdict)
    assert held(queue, reviewers[0]) == []


def test_a_label_takes_an_image_out_and_a_later_scan_does_not_bring_it_back(
    queue: ReviewQueue, rows: Rows, reviewers: tuple[int, int], database: Database
) -> None:
    image = rows.image("labelled")
    rows.verdict(image)
    assert Labels(database).add(ANNA, "labelled", LabelValue.AI_GENERATED, reviewer="anna", reason="hands")
    assert held(queue, reviewers[0]) == []
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO policy (prior_shift, false_positive_budget, miss_budget, by_source, created_by) "
                "VALUES (0, 0.02, 0.05, '{}', 'anna')"
            )
        )
    rows.verdict(image, policy_version=2)
    assert held(queue, reviewers[0]) == []


def test_two_reviewers_never_hold_the_same_image(
    queue: ReviewQueue, rows: Rows, reviewers: tuple[int, int], together: Callable[..., list[Any]]
) -> None:
    for number in range(40):
        rows.verdict(rows.image(f"image-{number}"), probability=0.5 + number / 100)
    anna, ben = reviewers
    claims = together(*[lambda key=key: held(queue, key, most=20) for key in (anna, ben)])
    assert set(claims[0]) & set(claims[1]) == set()
    assert len(set(claims[0]) | set(claims[1])) == 40


def test_a_claim_that_ran_out_is_offered_to_others(
    queue: ReviewQueue, rows: Rows, reviewers: tuple[int, int], database: Database
) -> None:
    rows.verdict(rows.image("forgotten"))
    anna, ben = reviewers
    (claim,) = queue.claim(anna, most=1)
    assert held(queue, ben) == []
    with database.transaction() as session:
        session.execute(text("UPDATE review_item SET claimed_until = now() - interval '1 second'"))
    assert not queue.holds(anna, claim.image_pk)
    assert held(queue, ben) == ["forgotten"]


@pytest.mark.parametrize("cannot_tell", [True, False])
def test_who_passes_on_an_image_is_not_asked_again_but_others_are(
    queue: ReviewQueue, rows: Rows, reviewers: tuple[int, int], *, cannot_tell: bool
) -> None:
    rows.verdict(rows.image("hard"))
    anna, ben = reviewers
    (claim,) = queue.claim(anna, most=1)
    queue.put_back(anna, claim.image_pk, cannot_tell=cannot_tell)
    assert held(queue, anna) == []
    assert held(queue, ben) == ["hard"]
    queue.put_back(ben, claim.image_pk)
    queue.take_back_pass(anna, claim.image_pk)
    assert queue.holds(anna, claim.image_pk)


def test_an_erased_image_leaves_the_queue(
    queue: ReviewQueue, rows: Rows, reviewers: tuple[int, int], database: Database
) -> None:
    rows.verdict(rows.image("erased"))
    assert Erasure(database, "artifacts").erase(ANNA, "erased")
    assert held(queue, reviewers[0]) == []


def test_images_of_one_source_can_be_asked_for(queue: ReviewQueue, rows: Rows, reviewers: tuple[int, int]) -> None:
    for source in ("avatars", "posts"):
        rows.verdict(rows.image(source, source=source), source=source)
    assert queue.sources(10) == ["avatars", "posts"]
    assert held(queue, reviewers[0], source="posts") == ["posts"]


def test_figures_count_the_day_s_labels(
    queue: ReviewQueue, rows: Rows, database: Database, reviewers: tuple[int, int]
) -> None:
    for number in range(3):
        rows.verdict(rows.image(f"image-{number}"))
    Labels(database).add(ANNA, "image-0", LabelValue.AI_GENERATED, reviewer="anna", reason="hands")
    Labels(database).add(ANNA, "image-1", LabelValue.AI_GENERATED, reviewer="ben", reason="text")
    figures = queue.figures(reviewers[0], "anna")
    assert (figures.waiting, figures.own, figures.team) == (1, 1, 2)
