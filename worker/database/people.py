"""People who sign in through the platform's identity provider, each a row beside the keys that no key opens.

A person has a number as keys have, so claims, labels, appeals and the audit trail treat both alike. Where a key's hash
stands, a person has the hash of issuer and subject behind a mark that no key's hash begins with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.api_keys import Principal, Scope
from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import ApiKey
from worker.errors import AssayError
from worker.person_role import PersonRole

_MARK = "person:"
_LONGEST_NAME = 200
SCOPES: dict[PersonRole, frozenset[Scope]] = {
    PersonRole.MODERATOR: frozenset({Scope.READ, Scope.REVIEW}),
    PersonRole.LEAD: frozenset({Scope.READ, Scope.REVIEW, Scope.LEAD}),
    PersonRole.ENGINEER: frozenset({Scope.READ, Scope.INGEST, Scope.AUDIT, Scope.OPERATE}),
    PersonRole.AUDITOR: frozenset({Scope.READ, Scope.AUDIT}),
}


class LockedOutError(AssayError):
    """This account was locked out of Assay; whoever administers it can let it in again."""


@dataclass(frozen=True)
class Identity:
    """Who somebody is, as the provider says.

    Attributes:
        issuer: the provider.
        subject: the person there, for good.
        name: shown name.
        role: what they are here.
    """

    issuer: str
    subject: str
    name: str
    role: PersonRole


class People:
    """The people among the rows of keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sign_in(self, identity: Identity, request_id: str | None) -> Principal:
        """Return who signs in, made at the first time; name and role are those of today.

        Raises:
            LockedOutError: an admin locked them out.
        """
        scopes = sorted(SCOPES[identity.role])
        today = {"name": identity.name[:_LONGEST_NAME], "scopes": scopes, "role": identity.role}
        new = upsert(ApiKey).values(hash=_hash(identity), **today)
        person_row = new.on_conflict_do_update(index_elements=[ApiKey.hash], set_={**today, "last_used_at": func.now()})
        with self._database.transaction() as session:
            person = session.execute(person_row.returning(ApiKey.id, ApiKey.name, ApiKey.revoked_at)).one()
            if person.revoked_at is None:
                actor = Actor(person.name, person.id, request_id)
                record(session, actor, "person.sign_in", f"key:{person.id}", role=identity.role)
        if person.revoked_at is not None:
            raise LockedOutError
        return Principal(person.id, person.name, frozenset(scopes))

    def list(self) -> Sequence[ApiKey]:
        """Return everybody who has signed in, by name."""
        with self._database.transaction() as session:
            people = select(ApiKey).where(ApiKey.role.is_not(None)).order_by(func.lower(ApiKey.name), ApiKey.id)
            return session.scalars(people).all()

    def let_in(self, person_id: int, *, actor: Actor) -> bool:
        """Let somebody in again who was locked out; False when there is none of that id."""
        with self._database.transaction() as session:
            person = session.get(ApiKey, person_id)
            if person is None or person.role is None or person.revoked_at is None:
                return False
            person.revoked_at = None
            record(session, actor, "person.let_in", f"key:{person_id}")
        return True


def _hash(identity: Identity) -> str:
    return _MARK + sha256(f"{identity.issuer}\n{identity.subject}".encode()).hexdigest()
