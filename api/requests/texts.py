"""Texts that people send: bounded, and without what Postgres or a screen cannot show."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_FORBIDDEN = frozenset({"Cc", "Cs"})  # control characters, and halves of surrogate pairs


def _without_controls(text: str) -> str:
    if any(unicodedata.category(character) in _FORBIDDEN and character not in "\n\t" for character in text):
        raise ValueError("must not hold control characters")
    return text


_readable = AfterValidator(_without_controls)
# A name, an id, a word.
Line = Annotated[str, StringConstraints(min_length=1, max_length=200), _readable]
# A reason, a description.
Words = Annotated[str, StringConstraints(min_length=1, max_length=2000), _readable]
# An image id, or the beginning of a key.
Name = Annotated[str, StringConstraints(min_length=1, max_length=1024), _readable]
