"""The words that verdicts are written in; pure modules and tables share them."""

from enum import StrEnum


class VerdictValue(StrEnum):
    """What Assay says of an image."""

    AI_GENERATED = "ai_generated"
    UNCERTAIN = "uncertain"
    NOT_AI_GENERATED = "not_ai_generated"


class DecidedBy(StrEnum):
    """Who or what decided a verdict."""

    MACHINE = "machine"
    HUMAN = "human"
    PROVENANCE = "provenance"
    DUPLICATE = "duplicate"
