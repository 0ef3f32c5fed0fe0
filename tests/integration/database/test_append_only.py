"""Verdicts and policies are append-only, and it is the database that says so."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.conftest import Scanned

pytestmark = pytest.mark.integration

CHANGES = {
    "update": "UPDATE {table} SET created_at = now()",
    "delete": "DELETE FROM {table}",
    "truncate": "TRUNCATE {table} CASCADE",
}


@pytest.fixture
def decided(scanned: Scanned) -> Scanned:
    """A database with one verdict, of a person."""
    scan_id = scanned.arrive()
    with scanned.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO verdict (image_pk, scan_id, verdict, decided_by, detectors, provenance, reviewer) "
                "SELECT image_pk, id, 'uncertain', 'human', '{}', '{}', 'me' FROM scan WHERE id = :id"
            ),
            {"id": scan_id},
        )
    return scanned


@pytest.mark.parametrize("table", ["verdict", "policy"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_decided_cannot_be_changed(decided: Scanned, table: str, change: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), decided.database.transaction() as session:
        session.execute(text(CHANGES[change].format(table=table)))


def test_images_cannot_be_truncated_away_under_their_verdicts(decided: Scanned) -> None:
    with pytest.raises(DBAPIError, match="append-only"), decided.database.transaction() as session:
        session.execute(text("TRUNCATE image CASCADE"))


def test_an_image_with_a_verdict_cannot_be_deleted(decided: Scanned) -> None:
    with pytest.raises(IntegrityError), decided.database.transaction() as session:
        session.execute(text("DELETE FROM image"))


def test_erasure_may_change_a_verdict_in_its_own_transaction_but_never_delete_it(decided: Scanned) -> None:
    with decided.database.transaction() as session:
        session.execute(text("SET LOCAL assay.erasing = 'on'"))
        session.execute(text("UPDATE verdict SET reviewer = NULL"))
    with pytest.raises(DBAPIError, match="append-only"), decided.database.transaction() as session:
        session.execute(text("SET LOCAL assay.erasing = 'on'; DELETE FROM verdict"))
    with pytest.raises(DBAPIError, match="append-only"), decided.database.transaction() as session:
        session.execute(text("UPDATE verdict SET reviewer = 'me'"))


def test_a_machine_verdict_names_its_bundle_and_its_policy(decided: Scanned) -> None:
    with pytest.raises(IntegrityError, match="machine_named"), decided.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO verdict (image_pk, verdict, decided_by, detectors, provenance) "
                "SELECT id, 'uncertain', 'machine', '{}', '{}' FROM image"
            )
        )
