"""What went wrong, named by what happens next.

A transient error is tried again later; a permanent one rejects the image with
a reason and stops. Everything else is a defect: it is logged with its
traceback and counted as an attempt.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a scan ended without a verdict; stored with the scan and shown to users."""

    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_COMPLEX = "too_complex"
    UNSUPPORTED_TYPE = "unsupported_type"
    GONE = "gone"
    CRASHES_DECODER = "crashes_decoder"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    WITHDRAWN = "withdrawn"  # of a scan in shadow: its bundle challenges no longer


class AssayError(Exception):
    """Something went wrong; the docstring of the subclass is the default message."""

    def __init__(self, detail: str | None = None) -> None:
        """Keep ``detail``, or the first line of the class's docstring."""
        self.detail = detail or public(self)
        super().__init__(self.detail)


def public(error: Exception) -> str:
    """Return what users may read of an error: no addresses, no names of inner parts; the log has the rest."""
    if isinstance(error, AssayError):
        return (type(error).__doc__ or "").strip().splitlines()[0]
    return type(error).__name__


class TransientError(AssayError):
    """A part that Assay needs did not answer; the scan is tried again later."""


class PermanentError(AssayError):
    """The image itself cannot be scanned; the scan is rejected with a reason."""

    reason: Reason = Reason.UNDECODABLE


class UndecodableError(PermanentError):
    """The bytes are no complete image of the type they claim to be."""

    reason = Reason.UNDECODABLE


class TooLargeError(PermanentError):
    """The object has more bytes than the limit allows."""

    reason = Reason.TOO_LARGE


class TooManyPixelsError(PermanentError):
    """The image has more pixels than the limit allows."""

    reason = Reason.TOO_MANY_PIXELS


class TooComplexError(PermanentError):
    """The image takes more parts, time or memory to decode than any picture needs."""

    reason = Reason.TOO_COMPLEX


class UnsupportedTypeError(PermanentError):
    """The object is no image of a type that Assay decodes."""

    reason = Reason.UNSUPPORTED_TYPE


class GoneError(PermanentError):
    """The object was deleted or overwritten before it could be fetched."""

    reason = Reason.GONE


class CrashesDecoderError(PermanentError):
    """The image kills the process that decodes it."""

    reason = Reason.CRASHES_DECODER


class LeaseLostError(AssayError):
    """Another worker holds this scan now; what this one computed is dropped."""


class WedgedError(AssayError):
    """The device thread has not answered within its deadline."""
