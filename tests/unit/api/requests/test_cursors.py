import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors.problems import InvalidError
from api.requests.cursors import MAX_ID, decode_cursor, encode_cursor, next_cursor


@given(st.integers(0, MAX_ID))
def test_a_cursor_leads_back_to_its_id(last_id: int) -> None:
    assert last_id == decode_cursor(encode_cursor(last_id))


@given(st.text())
def test_any_other_text_is_an_invalid_request_and_nothing_worse(text: str) -> None:
    try:
        decoded = decode_cursor(text)
    except InvalidError:
        return
    assert isinstance(decoded, int)


@pytest.mark.parametrize("cursor", ["", "!", "MTo", "Mjo1", encode_cursor(MAX_ID + 1), "ü"])
def test_a_cursor_that_was_never_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidError):
        decode_cursor(cursor)


def test_a_page_has_a_next_one_only_when_more_was_found_than_it_shows() -> None:
    assert next_cursor([9, 8], 2) is None
    assert encode_cursor(8) == next_cursor([9, 8, 7], 2)
