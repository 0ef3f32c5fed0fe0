"""Which images go before others."""

from enum import StrEnum


class Priority(StrEnum):
    """When an image is judged that waits."""

    HIGH = "high"  # before everything that waits
    NORMAL = "normal"
    LOW = "low"  # with history, behind all live images
