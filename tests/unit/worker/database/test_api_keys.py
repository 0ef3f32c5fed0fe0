from hashlib import sha256
from unittest.mock import create_autospec

import pytest

from worker.database.api_keys import ApiKeys, Principal, Scope, fingerprint
from worker.database.session import Database


def test_what_is_kept_of_a_key_is_its_sha_256() -> None:
    assert sha256(b"assay_x").hexdigest() == fingerprint("assay_x")


@pytest.mark.parametrize("key", ["", "ü", "\udcff", "x" * 10_000])
def test_whatever_is_shown_has_a_fingerprint(key: str) -> None:
    assert len(fingerprint(key)) == 64


def test_a_key_may_do_what_its_scopes_say() -> None:
    principal = Principal(1, "feed", frozenset({Scope.READ, Scope.INGEST}))
    assert [scope for scope in Scope if principal.may(scope)] == [Scope.READ, Scope.INGEST]


def test_admin_may_do_everything() -> None:
    assert all(Principal(1, "ops", frozenset({Scope.ADMIN})).may(scope) for scope in Scope)


def test_who_operates_may_do_everything_but_review() -> None:
    operator = Principal(1, "emil", frozenset({Scope.OPERATE}))
    refused = {Scope.REVIEW, Scope.DELEGATE, Scope.LEAD, Scope.ADMIN}
    assert {scope for scope in Scope if not operator.may(scope)} == refused
    assert (operator.may_all([Scope.READ, Scope.OPERATE]), operator.may_all([Scope.READ, Scope.REVIEW])) == (
        True,
        False,
    )


def test_a_key_without_a_scope_or_with_an_unknown_one_is_not_made() -> None:
    keys = ApiKeys(create_autospec(Database))
    with pytest.raises(ValueError, match="at least one scope"):
        keys.create("feed", [])
    with pytest.raises(ValueError, match="everything"):
        keys.create("feed", ["everything"])  # type: ignore[list-item]


def test_what_is_no_key_of_ours_is_refused_without_asking_postgres() -> None:
    database = create_autospec(Database)
    assert ApiKeys(database).verify("sk_live_x") is None
    database.transaction.assert_not_called()
