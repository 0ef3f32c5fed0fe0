"""A rollback puts into the review queue what is uncertain again, and loses nothing that people dispute."""

import pytest
from sqlalchemy import text

from tests.integration.database.two_bundles import BAD, GOOD, ME, World
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Actor
from worker.database.labels import Labels
from worker.database.review import ReviewQueue
from worker.database.review_orders import ReviewOrder
from worker.database.tables import LabelValue
from worker.decisions.vocabulary import VerdictValue

pytestmark = pytest.mark.integration

AI, NOT_AI, UNCERTAIN = VerdictValue.AI_GENERATED, VerdictValue.NOT_AI_GENERATED, VerdictValue.UNCERTAIN


def reviewer(world: World, name: str) -> Actor:
    return Actor(name, ApiKeys(world.scanned.database).create(name, [Scope.REVIEW]).id)


def offered(world: World, order: ReviewOrder = ReviewOrder.UNCERTAIN) -> list[str]:
    """What somebody new at the desk is offered."""
    key_id = reviewer(world, "somebody").api_key_id
    assert key_id is not None
    queue = ReviewQueue(world.scanned.database)
    claims = queue.claim(key_id, most=10, order=order)
    for claim in claims:
        queue.put_back(key_id, claim.image_pk)
    return sorted(claim.image_id for claim in claims)


def test_what_is_uncertain_again_waits_again_and_what_is_clear_again_does_not(world: World) -> None:
    world.image("again", (GOOD, UNCERTAIN), (BAD, AI))
    world.image("clear", (GOOD, NOT_AI), (BAD, UNCERTAIN))
    assert offered(world) == ["clear"]

    world.bundles.roll_back(ME, "flags jumped")
    assert offered(world) == ["again"]

    world.bundles.promote(ME, BAD, "it was right", force=True)
    assert offered(world) == ["clear"]


def test_an_image_that_only_the_bundle_that_left_has_judged_waits_for_people_once_the_restored_one_is_unsure(
    world: World,
) -> None:
    world.image("only bad", (BAD, UNCERTAIN))
    world.bundles.roll_back(ME, "flags jumped")
    assert offered(world) == []
    world.complete(world.leased("scan.bulk"), UNCERTAIN)
    assert offered(world) == ["only bad"]


@pytest.mark.parametrize("late", [AI, NOT_AI])
def test_a_late_word_of_the_bundle_that_left_takes_nothing_out(world: World, late: VerdictValue) -> None:
    image_pk = world.image("scanned again", (GOOD, UNCERTAIN))
    world.bundles.roll_back(ME, "flags jumped")
    world.say(image_pk, BAD, late)
    assert world.verdict("scanned again") == (GOOD, UNCERTAIN)
    assert offered(world) == ["scanned again"]


def test_a_late_word_of_the_bundle_that_left_puts_nothing_in(world: World) -> None:
    image_pk = world.image("clear", (GOOD, NOT_AI))
    world.bundles.roll_back(ME, "flags jumped")
    world.say(image_pk, BAD, UNCERTAIN)
    assert offered(world) == []


def test_what_people_dispute_goes_on_waiting(world: World) -> None:
    world.image("disputed", (GOOD, UNCERTAIN), (BAD, AI))
    labels = Labels(world.scanned.database)
    for name, value in (("anna", LabelValue.AI_GENERATED), ("ben", LabelValue.NOT_AI_GENERATED)):
        assert labels.add(reviewer(world, name), "disputed", value, reviewer=name, reason="because")
    assert offered(world, ReviewOrder.DISPUTED) == ["disputed"]

    world.bundles.roll_back(ME, "flags jumped")

    assert offered(world, ReviewOrder.DISPUTED) == ["disputed"]
    assert offered(world) == []


def test_an_image_that_somebody_holds_for_another_reason_waits_too(world: World) -> None:
    image_pk = world.image("held", (GOOD, UNCERTAIN), (BAD, AI))
    anna = reviewer(world, "anna")
    assert anna.api_key_id is not None
    with world.scanned.database.transaction() as session:
        # As the orders of appeals and of the audit slice hold it.
        hold = "INSERT INTO review_item (image_pk, source, distance, uncertain, claimed_by, claimed_until)"
        values = "VALUES (:image, 'uploads', 0, false, :key, now() + interval '5 minutes')"
        session.execute(text(f"{hold} {values}"), {"image": image_pk, "key": anna.api_key_id})

    world.bundles.roll_back(ME, "flags jumped")
    ReviewQueue(world.scanned.database).put_back(anna.api_key_id, image_pk)

    assert offered(world) == ["held"]
