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
    DECLARED = "declared"
    DUPLICATE = "duplicate"


# The two that stand on pixels; figures of bundles are made of these alone.
BY_PIXELS = (DecidedBy.MACHINE, DecidedBy.DUPLICATE)


class DeclaredOrigin(StrEnum):
    """What a policy makes of a file that says by itself, without trust in who says it, that it is AI-generated."""

    DECIDES = "decides"  # a strong declaration makes the verdict
    UNCERTAIN = "uncertain"  # a declaration bars clearing, no more
    IGNORE = "ignore"  # the pixels decide as if nothing were declared
