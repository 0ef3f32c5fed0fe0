from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors.problems import InvalidError
from api.requests.image_ids import checked_image_id, checked_source, from_header, image_path

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=100)


@given(TEXT)
def test_every_id_survives_the_header(image_id: str) -> None:
    assert image_id == from_header("Assay-Image-Id", quote(image_id, safe=""))


@given(TEXT)
def test_every_id_survives_the_path(image_id: str) -> None:
    assert image_id == unquote(image_path(image_id).removeprefix("/v1/images/"))


def test_plain_utf_8_in_a_header_is_understood() -> None:
    assert from_header("Assay-Image-Id", "Köln".encode().decode("latin-1")) == "Köln"


def test_a_header_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(InvalidError):
        from_header("Assay-Image-Id", "K%F6ln")


@pytest.mark.parametrize("image_id", ["a", "x" * 512, "dir/a b+ü%.jpg", "日本" * 60, "🙂"])
def test_ordinary_ids_are_taken(image_id: str) -> None:
    assert image_id == checked_image_id(image_id)


@pytest.mark.parametrize("image_id", ["", ".", "..", "x" * 513, "a\nb", "a\x00b", "\x7f", "\ud800", "日" * 200])
def test_ids_that_cannot_be_are_refused(image_id: str) -> None:
    with pytest.raises(InvalidError):
        checked_image_id(image_id)


def test_a_source_is_shorter_than_an_id() -> None:
    assert checked_source("forum/avatars") == "forum/avatars"
    with pytest.raises(InvalidError):
        checked_source("x" * 65)
