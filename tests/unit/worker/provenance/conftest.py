"""Whom these tests trust and whom not, and a picture to sign."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tests.support.provenance import Authority, make_authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Whom the tests trust."""
    return make_authority()


@pytest.fixture(scope="session")
def stranger() -> Authority:
    """Whom nobody trusts, though the names are the same."""
    return make_authority()


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Make a small picture with some texture, in any format."""

    def made(form: str = "JPEG", **options: Any) -> bytes:
        buffer = io.BytesIO()
        Image.radial_gradient("L").resize((160, 120)).convert("RGB").save(buffer, form, **options)
        return buffer.getvalue()

    return made
