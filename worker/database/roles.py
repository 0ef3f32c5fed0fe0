"""Roles of the database: what each kind of process may do there; only who migrates owns tables, triggers and functions.

Triggers that write to tables of others run with their owner's rights, so no role needs more than its own work.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import URL, func, select, text
from sqlalchemy.orm import Session

from worker.database.session import Database
from worker.errors import AssayError

_SECRETS = ("api_key", "console_session", "idempotency", "image_context", "sign_in", "webhook_endpoint")
_ERASED = "reviewer, reason, provenance, content, frame_key"


class Role(StrEnum):
    """A role that processes sign in with."""

    API = "assay_api"
    WORKER = "assay_worker"
    DISPATCHER = "assay_dispatcher"
    TRAINING = "assay_training"


class RolesError(AssayError):
    """The roles cannot be made: ASSAY_DATABASE_URL needs a role that owns the tables and may create roles."""


@dataclass(frozen=True)
class Rights:
    """What a role may do.

    Attributes:
        hidden: tables that it may not read.
        inserts: tables that it may add rows to.
        updates: tables whose rows it may change, all columns of them or those in brackets.
        deletes: tables that it may delete rows of.
        shown: columns in brackets of hidden tables that it may read all the same.
    """

    hidden: tuple[str, ...]
    inserts: str
    updates: str
    deletes: str
    shown: str = ""


# One line a role and right; a table that is not named is read only.
RIGHTS: Mapping[Role, Rights] = {
    # People and platforms: everything but what machines say. An operator's commands run with it, too.
    Role.API: Rights(
        hidden=(),
        inserts="api_key appeal audit bundle callback change console_session doomed_object export idempotency image "
        "image_context label url_fetch platform_decision policy promotion rescan retention review_item review_pass "
        "review_terms reviewer saved_view scan sign_in training_event training_run verdict webhook_delivery "
        "webhook_endpoint",
        updates="api_key appeal audit(detail) bundle url_fetch idempotency image image_context rescan review_item "
        f"review_pass review_terms scan training_run verdict({_ERASED}) webhook_delivery webhook_endpoint",
        deletes="callback console_session export feature url_fetch heatmap idempotency image_context label "
        "platform_decision review_item review_pass review_terms reviewer saved_view sign_in thumbnail "
        "webhook_delivery webhook_endpoint",
    ),
    Role.WORKER: Rights(
        hidden=_SECRETS,
        inserts="audit bundle feature heatmap image promotion scan thumbnail verdict worker",
        updates="bundle export feature url_fetch image scan thumbnail worker",
        deletes="worker",
    ),
    # The listener's, too. It sends webhooks, keeps retention and erases what is too old.
    Role.DISPATCHER: Rights(
        hidden=("api_key", "console_session", "sign_in"),
        inserts="audit doomed_object drift image rescan review_cluster schedule scan webhook_delivery",
        updates="appeal audit(detail) change(number) doomed_object drift image rescan review_cluster "
        f"review_item(cluster, compared_at) schedule scan verdict({_ERASED}) webhook_delivery webhook_endpoint worker",
        deletes="callback change doomed_object export feature url_fetch heatmap idempotency image_context label "
        "platform_decision review_cluster review_item thumbnail webhook_delivery worker",
    ),
    Role.TRAINING: Rights(
        hidden=_SECRETS,
        inserts="audit bundle training_event",
        updates="bundle training_run",
        deletes="",
        shown="api_key(id, name)",  # whose word a label is
    ),
}


def password_of(role: Role, owner_password: str) -> str:
    """Return a role's password, which follows from the owner's and does not give it away."""
    return hmac.new(owner_password.encode(), role.encode(), "sha256").hexdigest()


def url_of(role: Role, owner: URL) -> URL:
    """Return the address by which processes of a role reach the owner's database."""
    return owner.set(username=role, password=password_of(role, str(owner.password or "")))


def establish_roles(database: Database) -> None:
    """Make the roles, or bring their passwords and rights up to date; doing it again changes nothing.

    Args:
        database: migrated, and reached by the role that owns its tables.

    Raises:
        RolesError: that role may not create roles.
        DatabaseDownError: the server is out of reach.
    """
    password = str(database.engine.url.password or "")
    with database.transaction() as session:
        # Roles belong to the server, not to a database: one process at a time, over all of them.
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext('assay.roles'))"))
        able = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        if not session.scalar(text(able)):
            raise RolesError
        for role, rights in RIGHTS.items():
            _make(session, role, password_of(role, password))
            _grant(session, role, rights)


def _make(session: Session, role: Role, password: str) -> None:
    exists = session.scalar(text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"), {"role": role})
    act = "ALTER" if exists else "CREATE"
    # A statement of this kind takes no parameters, so the server itself quotes them.
    statement = session.scalar(select(func.format(f"{act} ROLE %I LOGIN PASSWORD %L", role.value, password)))
    session.execute(text(str(statement)))


def _grant(session: Session, role: Role, rights: Rights) -> None:
    statements = [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        *(f"REVOKE SELECT ON {table} FROM {role}" for table in rights.hidden),  # noqa: S608  # nosec B608 (names of this file)
        *(f"GRANT SELECT {columns} ON {table} TO {role}" for table, columns in _by_table(rights.shown)),
        *(f"GRANT INSERT ON {table} TO {role}" for table in rights.inserts.split()),
        *(f"GRANT UPDATE {columns} ON {table} TO {role}" for table, columns in _by_table(rights.updates)),
        *(f"GRANT DELETE ON {table} TO {role}" for table in rights.deletes.split()),
    ]
    for statement in statements:
        session.execute(text(statement))


def _by_table(updates: str) -> list[tuple[str, str]]:
    """Part `one two(a, b)` into tables, and columns in brackets."""
    parts = updates.replace(", ", ",").split()
    return [(part.partition("(")[0], part[len(part.partition("(")[0]) :]) for part in parts]
