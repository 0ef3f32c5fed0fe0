"""Each role may do its own work and nothing that would forge, hide or destroy what was decided."""

import re
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from tests.conftest import Scanned
from worker.database.label_agreement import LabelTerms, standings
from worker.database.roles import RIGHTS, Role, RolesError, establish_roles, password_of, url_of
from worker.database.session import Database, connect
from worker.database.tables import Base

pytestmark = pytest.mark.integration

INSUFFICIENT_PRIVILEGE = "42501"
WRITES = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE \w+ SET)\b")
FOR_NOBODY = (
    "DROP TABLE verdict",
    "DROP TRIGGER append_only ON verdict",
    "DROP TRIGGER refuse_writer ON verdict",
    "ALTER TABLE verdict DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",
    "TRUNCATE audit",
    "DELETE FROM verdict",
    "DELETE FROM audit",
    "DELETE FROM image",
    "UPDATE verdict SET verdict = 'not_ai_generated'",
    "UPDATE policy SET prior_shift = 1",
    "UPDATE audit SET action = 'nothing'",
    "UPDATE promotion SET withdraws = NULL",
    "UPDATE alembic_version SET version_num = 'none'",
    "CREATE TABLE mine (id int)",
    "CREATE OR REPLACE FUNCTION assay_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "ALTER ROLE assay_api SUPERUSER",
    "SELECT pg_read_file('PG_VERSION')",
)
MACHINE = (
    "INSERT INTO verdict (image_pk, verdict, decided_by, detectors, provenance, source) "
    "VALUES (1, 'not_ai_generated', 'machine', '{}', '{}', 's')"
)
HUMAN = MACHINE.replace("'machine'", "'human'")
LABEL = (
    "INSERT INTO label (image_pk, label, reviewer, reason, of_duplicate) "
    "VALUES (1, 'ai_generated', 'nobody', 'because', false)"
)
KEY = "INSERT INTO api_key (name, hash, scopes) VALUES ('mine', 'h', '{admin}')"
POLICY = "INSERT INTO policy (prior_shift, false_positive_budget, miss_budget, by_source) VALUES (1, 0.5, 0.5, '{}')"
FORBIDDEN = {
    Role.API: (
        MACHINE,
        "INSERT INTO heatmap (verdict_id, detector, key) VALUES (1, 'clip', 'k')",
        "INSERT INTO feature (image_pk, bundle_version) VALUES (1, 'b1')",
        "DELETE FROM scan",
        "INSERT INTO worker (bundles, bulk_scans) VALUES ('{}', 1)",
    ),
    Role.WORKER: (
        LABEL,
        KEY,
        POLICY,
        "SELECT hash FROM api_key",
        "SELECT token_hash FROM console_session",
        "SELECT * FROM webhook_endpoint",
        "UPDATE verdict SET reason = 'x'",
        "DELETE FROM scan",
        "DELETE FROM label",
    ),
    Role.DISPATCHER: (MACHINE, HUMAN, LABEL, KEY, POLICY, "SELECT hash FROM api_key", "DELETE FROM scan"),
    Role.TRAINING: (
        MACHINE,
        HUMAN,
        LABEL,
        KEY,
        POLICY,
        "UPDATE scan SET state = 'dead'",
        "UPDATE image SET sha256 = 'x'",
        "INSERT INTO promotion (bundle_version, created_by, reason) VALUES ('b1', 'me', 'mine')",
        "SELECT * FROM webhook_endpoint",
    ),
}


@pytest.fixture
def sign_in(scanned: Scanned) -> Iterator[Callable[[Role], Database]]:
    scanned.arrive()
    establish_roles(scanned.database)
    opened: list[Database] = []

    def as_role(role: Role) -> Database:
        opened.append(connect(url_of(role, scanned.database.engine.url).render_as_string(hide_password=False)))
        return opened[-1]

    yield as_role
    for database in opened:
        database.engine.dispose()


@pytest.mark.parametrize("role", list(Role))
def test_what_a_role_must_not_do_is_refused_statement_by_statement(
    sign_in: Callable[[Role], Database], role: Role
) -> None:
    database = sign_in(role)
    statements = (*FOR_NOBODY, *FORBIDDEN[role])
    assert {statement: outcome_of(database, statement) for statement in statements} == dict.fromkeys(
        statements, INSUFFICIENT_PRIVILEGE
    )


def outcome_of(database: Database, statement: str) -> str | None:
    """Execute a statement as an erasure would; return what Postgres calls its refusal, None where it was done."""
    try:
        with database.transaction() as session:
            session.execute(text("SET LOCAL assay.erasing = 'on'"))
            session.execute(text(statement))
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", None))
    return None


def test_the_api_writes_what_people_decide(sign_in: Callable[[Role], Database], scanned: Scanned) -> None:
    with sign_in(Role.API).transaction() as session:
        session.execute(text(LABEL))
        session.execute(text(HUMAN))
    assert [verdict.decided_by for verdict in scanned.verdicts()] == ["human"]


def test_training_reads_whose_word_a_label_is_and_no_key(sign_in: Callable[[Role], Database]) -> None:
    database = sign_in(Role.TRAINING)
    with database.transaction() as session:
        assert session.execute(select(standings(LabelTerms(reviewers=1)))).all() == []
    assert outcome_of(database, "SELECT hash FROM api_key") == INSUFFICIENT_PRIVILEGE


def test_every_table_that_rights_name_is_there_and_doing_it_again_changes_nothing(
    sign_in: Callable[[Role], Database], scanned: Scanned
) -> None:
    sign_in(Role.API)
    grants = "SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants ORDER BY 1, 2, 3"
    with scanned.database.transaction() as session:
        before = session.execute(text(grants)).all()
    establish_roles(scanned.database)
    with scanned.database.transaction() as session:
        assert session.execute(text(grants)).all() == before
    assert RIGHTS.keys() == set(Role)


def test_somebody_adds_rows_to_every_table() -> None:
    added = {table for rights in RIGHTS.values() for table in rights.inserts.split()}
    assert added == Base.metadata.tables.keys()


def test_a_role_that_may_create_none_says_what_is_needed(sign_in: Callable[[Role], Database]) -> None:
    with pytest.raises(RolesError):
        establish_roles(sign_in(Role.WORKER))


def test_passwords_follow_from_the_owners_and_differ() -> None:
    assert len({password_of(role, "secret") for role in Role} | {password_of(Role.API, "other"), "secret"}) == 6


def test_every_trigger_that_writes_does_so_with_its_owners_rights(database: Database) -> None:
    """A function that a migration replaces forgets that it is SECURITY DEFINER; then no worker may write a verdict."""
    triggers = text(
        "SELECT DISTINCT proname, prosecdef, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
        "JOIN pg_namespace ON pg_namespace.oid = pronamespace WHERE nspname = current_schema() AND NOT tgisinternal"
    )
    with database.transaction() as session:
        functions = session.execute(triggers).all()
    writing = {name: definer for name, definer, source in functions if WRITES.search(source)}
    assert len(writing) >= 4
    assert [name for name, definer in writing.items() if not definer] == []
