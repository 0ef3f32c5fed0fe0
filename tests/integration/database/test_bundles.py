"""Which bundle serves: one at a time, crowned once, and never replaced by an upgrade."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Scanned
from worker.database.bundles import champion, register_bundle
from worker.database.session import Database
from worker.database.shipped import register_shipped
from worker.database.tables import Bundle, BundleRole

pytestmark = pytest.mark.integration


def serving(database: Database) -> str | None:
    with database.transaction() as session:
        found = champion(session)
        return found.version if found else None


def test_there_is_no_champion_at_first(scanned: Scanned) -> None:
    assert serving(scanned.database) is None


def ship(scanned: Scanned, version: str, name: str = "wild", share: float = 0.1, **card: Any) -> str:
    """Start a worker of a release that ships a bundle; return the champion's version."""
    with scanned.database.transaction() as session:
        return register_shipped(session, version=version, name=name, card=card, shadow_share=share)


def role_of(scanned: Scanned, version: str) -> tuple[str, Any]:
    with scanned.database.transaction() as session:
        found = session.get_one(Bundle, version)
        return found.role, found.gate


def test_the_first_bundle_becomes_champion(scanned: Scanned) -> None:
    assert ship(scanned, "b1") == "b1"
    with scanned.database.transaction() as session:
        found = champion(session)
        assert found is not None
        assert (found.version, found.promoted_at is not None) == ("b1", True)


def test_shipping_twice_changes_nothing(scanned: Scanned) -> None:
    assert [ship(scanned, "b1"), ship(scanned, "b1")] == ["b1", "b1"]


def test_a_newer_release_challenges_the_champion_with_its_gate_report(scanned: Scanned) -> None:
    ship(scanned, "b1")
    report = {"champion": "b1", "passed": True}
    assert ship(scanned, "b2", gate=report) == "b1"
    assert role_of(scanned, "b1")[0] == BundleRole.CHAMPION
    assert role_of(scanned, "b2") == (BundleRole.CHALLENGER, report)


def test_a_gate_report_on_another_champion_does_not_count(scanned: Scanned) -> None:
    ship(scanned, "b1")
    ship(scanned, "b2", gate={"champion": "b0", "passed": True})
    assert role_of(scanned, "b2") == (BundleRole.CHALLENGER, None)


def test_a_newer_release_rests_where_another_bundle_scans_in_shadow_or_none_may(scanned: Scanned) -> None:
    ship(scanned, "b1")
    ship(scanned, "b2")
    ship(scanned, "b3")
    ship(scanned, "b4", share=0)
    assert [role_of(scanned, version)[0] for version in ("b2", "b3", "b4")] == [
        BundleRole.CHALLENGER,
        BundleRole.REGISTERED,
        BundleRole.REGISTERED,
    ]


def test_a_worker_that_restarts_changes_nothing_back(scanned: Scanned) -> None:
    shipped = [ship(scanned, version) for version in ("b1", "b2", "b1", "b2")]
    assert shipped == ["b1", "b1", "b1", "b1"]
    assert serving(scanned.database) == "b1"


def test_another_shipped_bundle_only_rests_beside_the_champion(scanned: Scanned) -> None:
    ship(scanned, "b1", "wild")
    assert ship(scanned, "b2", "cifake") == "b1"
    assert role_of(scanned, "b2")[0] == BundleRole.REGISTERED


def test_workers_that_start_together_agree_on_one_champion(
    scanned: Scanned, together: Callable[..., list[Any]]
) -> None:
    shipped = together(*[lambda number=number: ship(scanned, f"b{number}", f"name-{number}") for number in range(4)])
    assert len(set(shipped)) == 1
    assert serving(scanned.database) == shipped[0]


def test_a_bundle_known_already_is_left_as_it_is(scanned: Scanned) -> None:
    scanned.crown("b1")
    with scanned.database.transaction() as session:
        register_bundle(session, version="b1", name="other", location="elsewhere", card={"new": True})
    with scanned.database.transaction() as session:
        found = champion(session)
        assert found is not None
        assert (found.name, found.location, found.card) == ("wild", "shipped:wild", {})
