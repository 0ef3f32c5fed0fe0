"""Which bundle serves: one at a time, crowned once, replaced by its own newer release only."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Scanned
from worker.database.bundles import champion, register_bundle
from worker.database.session import Database

pytestmark = pytest.mark.integration


def serving(database: Database) -> str | None:
    with database.transaction() as session:
        found = champion(session)
        return found.version if found else None


def test_there_is_no_champion_at_first(scanned: Scanned) -> None:
    assert serving(scanned.database) is None


def test_the_first_bundle_becomes_champion(scanned: Scanned) -> None:
    assert scanned.crown("b1") == "b1"
    with scanned.database.transaction() as session:
        found = champion(session)
        assert found is not None
        assert (found.version, found.promoted_at is not None) == ("b1", True)


def test_crowning_twice_changes_nothing(scanned: Scanned) -> None:
    assert [scanned.crown("b1"), scanned.crown("b1")] == ["b1", "b1"]


def test_a_newer_release_of_the_champion_takes_its_place(scanned: Scanned) -> None:
    scanned.crown("b1")
    assert scanned.crown("b2") == "b2"
    assert serving(scanned.database) == "b2"


def test_an_older_release_that_restarts_crowns_nothing_back(scanned: Scanned) -> None:
    crowned = [scanned.crown(version) for version in ("b1", "b2", "b1", "b2")]
    assert crowned == ["b1", "b2", "b2", "b2"]
    assert serving(scanned.database) == "b2"


def test_another_shipped_bundle_does_not_depose_the_champion(scanned: Scanned) -> None:
    scanned.crown("b1", "wild")
    assert scanned.crown("b2", "cifake") == "b1"
    assert serving(scanned.database) == "b1"


def test_workers_that_start_together_agree_on_one_champion(
    scanned: Scanned, together: Callable[..., list[Any]]
) -> None:
    crowned = together(*[lambda number=number: scanned.crown(f"b{number}", f"name-{number}") for number in range(4)])
    assert len(set(crowned)) == 1
    assert serving(scanned.database) == crowned[0]


def test_a_bundle_known_already_is_left_as_it_is(scanned: Scanned) -> None:
    scanned.crown("b1")
    with scanned.database.transaction() as session:
        register_bundle(session, version="b1", name="other", location="elsewhere", card={"new": True})
    with scanned.database.transaction() as session:
        found = champion(session)
        assert found is not None
        assert (found.name, found.location, found.card) == ("wild", "shipped:wild", {})
