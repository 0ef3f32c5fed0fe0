"""What unit tests of more than one part need."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Put back what a test's commands configure."""
    root = logging.getLogger()  # noqa: TID251 - what is configured is looked at.
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
