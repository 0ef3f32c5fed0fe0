"""The champion changes in one transaction, with who and why, and goes back the way it came."""

from collections.abc import Callable
from typing import Any

import pytest

from worker.database.audit import Actor, Audit
from worker.database.bundles import SHIPPED, crown_shipped, register_bundle
from worker.database.promotion import (
    AlreadyChampionError,
    Bundles,
    NothingToRollBackError,
    OtherChampionError,
    UnknownBundleError,
)
from worker.database.session import Database
from worker.database.tables import BundleRole

pytestmark = pytest.mark.integration

ME = Actor("me")


@pytest.fixture
def bundles(database: Database) -> Bundles:
    with database.transaction() as session:
        for version in ("a", "b", "c"):
            register_bundle(session, version=version, name=version, location=SHIPPED + version, card={})
        crown_shipped(session, "a")
    return Bundles(database)


def champion(bundles: Bundles) -> str:
    found = bundles.champion()
    assert found is not None
    return found.version


def test_a_promotion_names_what_it_replaced_and_leaves_a_trace(bundles: Bundles, database: Database) -> None:
    promotion = bundles.promote(ME, "b", "better", force=True)
    assert (promotion.bundle_version, promotion.previous_version, promotion.created_by) == ("b", "a", "me")
    assert {bundle.version: bundle.role for bundle in bundles.all()} == {
        "a": BundleRole.REGISTERED,
        "b": BundleRole.CHAMPION,
        "c": BundleRole.REGISTERED,
    }
    (entry,) = Audit(database).page(limit=9)
    assert (entry.action, entry.target, entry.detail["reason"]) == ("bundle.promote", "bundle:b", "better")


def test_rollbacks_go_back_the_way_the_promotions_came(bundles: Bundles) -> None:
    bundles.promote(ME, "b", "better", force=True)
    bundles.promote(ME, "c", "better still", force=True)
    assert [bundles.roll_back(ME, "worse").bundle_version for _ in range(2)] == ["b", "a"]
    with pytest.raises(NothingToRollBackError):
        bundles.roll_back(ME, "worse")
    assert champion(bundles) == "a"
    assert [(one.bundle_version, one.rollback) for one in bundles.promotions(limit=9)] == [
        ("a", True),
        ("b", True),
        ("c", False),
        ("b", False),
        ("a", False),
    ]


def test_what_cannot_be_promoted_changes_nothing(bundles: Bundles) -> None:
    with pytest.raises(UnknownBundleError):
        bundles.promote(ME, "nobody", "x")
    with pytest.raises(AlreadyChampionError):
        bundles.promote(ME, "a", "x")
    assert champion(bundles) == "a"


def test_promotions_at_the_same_moment_leave_one_champion(bundles: Bundles, together: Callable[..., list[Any]]) -> None:
    together(*[lambda version=version: bundles.promote(ME, version, "race", force=True) for version in ("b", "c")])
    assert [bundle.role for bundle in bundles.all()].count(BundleRole.CHAMPION) == 1


def test_two_who_take_the_same_bundle_back_go_back_one_step(bundles: Bundles) -> None:
    bundles.promote(ME, "b", "better", force=True)
    bundles.promote(ME, "c", "better still", force=True)
    assert bundles.roll_back(ME, "flags jumped", champion="c").bundle_version == "b"
    with pytest.raises(OtherChampionError, match="b serves by now, not c"):
        bundles.roll_back(ME, "flags jumped", champion="c")
    assert champion(bundles) == "b"
