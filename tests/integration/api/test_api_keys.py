from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def keys(database: Database) -> ApiKeys:
    return ApiKeys(database)


def last_used(keys: ApiKeys, key_id: int) -> datetime | None:
    return next(row.last_used_at for row in keys.list() if row.id == key_id)


def test_a_key_is_good_from_the_moment_it_is_made(keys: ApiKeys) -> None:
    made = keys.create("feed", [Scope.READ, Scope.INGEST, Scope.READ])
    principal = keys.verify(made.key)
    assert principal is not None
    assert (made.id, "feed", {"read", "ingest"}) == (principal.key_id, principal.name, set(principal.scopes))
    assert made.key.startswith("assay_")
    assert len(made.key) >= len("assay_") + 43


def test_the_key_itself_is_kept_nowhere(database: Database, keys: ApiKeys) -> None:
    made = keys.create("feed", [Scope.READ])
    with database.transaction() as session:
        kept = session.execute(text("SELECT api_key::text FROM api_key WHERE id = :id"), {"id": made.id}).scalar_one()
    assert made.key not in kept
    assert made.key.removeprefix("assay_") not in kept


def test_keys_that_were_never_made_are_refused(keys: ApiKeys) -> None:
    made = keys.create("feed", [Scope.READ])
    assert [keys.verify(key) for key in ("", "assay_", made.key[:-1], made.key + "x")] == [None] * 4


def test_a_revoked_key_is_refused_and_revoking_again_changes_nothing(keys: ApiKeys) -> None:
    made = keys.create("feed", [Scope.READ])
    assert keys.revoke(made.id)
    assert keys.verify(made.key) is None
    assert not keys.revoke(made.id)
    assert not keys.revoke(2**62)


def test_an_expired_key_is_refused(keys: ApiKeys) -> None:
    now = datetime.now(UTC)
    old = keys.create("old", [Scope.READ], expires_at=now - timedelta(seconds=1))
    young = keys.create("young", [Scope.READ], expires_at=now + timedelta(days=1))
    assert keys.verify(old.key) is None
    assert keys.verify(young.key) is not None


def test_use_is_noted_at_most_once_a_minute(database: Database, keys: ApiKeys) -> None:
    made = keys.create("feed", [Scope.READ])
    assert last_used(keys, made.id) is None
    keys.verify(made.key)
    first = last_used(keys, made.id)
    keys.verify(made.key)
    assert first is not None
    assert first == last_used(keys, made.id)
    with database.transaction() as session:
        session.execute(
            text("UPDATE api_key SET last_used_at = last_used_at - interval '61 seconds' WHERE id = :id"),
            {"id": made.id},
        )
    keys.verify(made.key)
    assert (later := last_used(keys, made.id)) is not None
    assert later >= first


def test_all_keys_are_listed_by_name_without_their_secret(keys: ApiKeys) -> None:
    name = uuid4().hex
    made = keys.create(name, [Scope.REVIEW])
    (row,) = [row for row in keys.list() if row.name == name]
    assert (made.id, ["review"]) == (row.id, row.scopes)
