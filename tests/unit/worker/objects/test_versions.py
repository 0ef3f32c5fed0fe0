"""How a store's answers spell what names an object: metadata above all."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.objects.versions import encode_metadata, read_head

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60)


def read(value: str) -> str:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return read_head({"Metadata": {"Image-Id": value}, "ContentLength": 1, "LastModified": now}).metadata["image-id"]


@pytest.mark.parametrize(
    ("travels", "text"),
    [
        ("photo-7", "photo-7"),
        ("100%25", "100%25"),
        ("a%20b", "a%20b"),
        ("=?UTF-8?Q?Gr=C3=BC=C3=9Fe_7?=", "Grüße 7"),
        ("=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
        ("=?no-such-charset?B?R3LDvMOfZQ==?=", "=?no-such-charset?B?R3LDvMOfZQ==?="),
        ("=?", "=?"),
    ],
)
def test_metadata_is_decoded_by_rfc_2047_and_percent_signs_stay(travels: str, text: str) -> None:
    assert read(travels) == text


@given(TEXT)
def test_every_text_comes_back_from_the_metadata_it_was_put_into(text: str) -> None:
    (travels,) = encode_metadata({"image-id": text}).values()
    assert travels.isascii()
    assert read(travels) == text
