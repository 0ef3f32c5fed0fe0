"""`assay keys` on a real database."""

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from infra.cli.keys import app
from worker.database.api_keys import ApiKeys
from worker.database.audit import Audit
from worker.database.session import Database

pytestmark = pytest.mark.integration

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ASSAY_DATABASE_URL", database_url)
    monkeypatch.setenv("LOGNAME", "maria")
    return lambda *arguments: CliRunner().invoke(app, arguments)


def create(run: Run, *more: str) -> str:
    return run("create", "--name", "feed", "--scope", "read", "--scope", "ingest", *more).stdout.strip()


def test_a_key_is_printed_once_and_listed_without_its_secret(run: Run, database: Database) -> None:
    key = create(run, "--expires", "2999-01-01")
    listed = run("list", "--json").stdout
    (row,) = map(json.loads, listed.splitlines())
    assert (row["name"], row["scopes"], row["expires_at"][:10]) == ("feed", ["ingest", "read"], "2999-01-01")
    assert key.removeprefix("assay_") not in listed + run("list").stdout
    principal = ApiKeys(database).verify(key)
    assert principal is not None
    (entry,) = Audit(database).page(limit=9)
    assert (entry.actor, entry.action, entry.target) == ("cli:maria", "key.create", f"key:{principal.key_id}")


def test_a_rotated_key_works_beside_the_new_one_for_as_long_as_is_said(run: Run, database: Database) -> None:
    former, keys = create(run), ApiKeys(database)
    new = run("rotate", "1").stdout.strip()
    assert [keys.verify(key) is not None for key in (former, new)] == [True, True]
    newest = run("rotate", "2", "--keep-hours", "0").stdout.strip()
    assert [keys.verify(key) is not None for key in (former, new, newest)] == [True, False, True]
    assert run("rotate", "2").exit_code == 2
    found = keys.verify(newest)
    assert found is not None
    assert found.scopes == {"read", "ingest"}


def test_a_revoked_key_is_refused_and_what_does_not_exist_is_said(run: Run, database: Database) -> None:
    key = create(run)
    assert run("revoke", "1").exit_code == 0
    assert ApiKeys(database).verify(key) is None
    assert [run("revoke", "1").exit_code, run("revoke", "99").exit_code] == [2, 2]


@pytest.mark.parametrize("more", [("--expires", "2001-01-01"), ("--expires", "2999-01-01", "--days", "3")])
def test_an_expiry_that_cannot_be_makes_no_key(run: Run, database: Database, more: tuple[str, ...]) -> None:
    assert run("create", "--name", "x", "--scope", "read", *more).exit_code == 2
    assert ApiKeys(database).list() == []
