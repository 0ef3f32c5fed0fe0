"""What goes wrong with encoders."""

from worker.errors import AssayError


class EncoderError(AssayError):
    """An encoder's file is missing, damaged or of another network; the message says what to do."""
