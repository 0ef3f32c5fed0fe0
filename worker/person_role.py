"""What somebody who signs in through the identity provider is here. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any


class PersonRole(StrEnum):
    """What people do with Assay, the least first."""

    AUDITOR = "auditor"
    MODERATOR = "moderator"
    LEAD = "lead"
    ENGINEER = "engineer"


def role_in(claims: Mapping[str, Any], claim: str, roles: Mapping[str, str]) -> PersonRole | None:
    """Return the role that a claim gives, of several the one that may most; None where it gives none.

    Args:
        claims: of the ID token.
        claim: name of the one that tells, such as `roles`; dots lead into objects, as in `realm_access.roles`.
        roles: value of that claim -> role.
    """
    value = claims.get(claim)
    if value is None:
        value = claims
        for part in claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    roles_given = {roles[one] for one in values if isinstance(one, str) and one in roles}
    return next((role for role in reversed(PersonRole) if role in roles_given), None)
