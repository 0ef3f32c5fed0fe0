"""An error says what happens next; its docstring is what it says."""

import pytest

from worker.errors import AssayError, GoneError, PermanentError, Reason, TransientError
from worker.objects.trouble import ObjectStoreDownError


def subclasses(kind: type[AssayError]) -> list[type[AssayError]]:
    return [kind, *[found for child in kind.__subclasses__() for found in subclasses(child)]]


def test_the_docstring_is_the_default_message() -> None:
    assert str(GoneError()) == "The object was deleted or overwritten before it could be fetched."
    assert GoneError("a.png at v1").detail == "a.png at v1"


def test_every_permanent_error_has_a_reason_and_no_error_is_both() -> None:
    assert all(
        isinstance(kind.reason, Reason) for kind in subclasses(PermanentError) if issubclass(kind, PermanentError)
    )
    assert set(subclasses(PermanentError)) & set(subclasses(TransientError)) == set()


@pytest.mark.parametrize("kind", [ObjectStoreDownError])
def test_an_outage_says_which_setting_to_look_at(kind: type[TransientError]) -> None:
    assert "ASSAY_" in str(kind())
