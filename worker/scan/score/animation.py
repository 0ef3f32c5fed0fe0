"""What a bundle makes of the frames of an animation: one score for each, the gravest of them named."""

from collections.abc import Sequence

from PIL import Image

from worker.decisions.frames import Frames, FrameScore
from worker.decoders.look import Look


def weigh_frames(look: Look, probabilities: Sequence[float]) -> Frames | None:
    """Return what was judged of an animation; None for still pictures.

    Args:
        look: what was kept of its pixels.
        probabilities: of the pictures of the look, in their order.
    """
    moving = look.animation
    if moving is None:
        return None
    deciding = FrameScore(moving.number, moving.at_ms, probabilities[0])
    pairs = zip(moving.others, probabilities[1:], strict=True)
    others = [FrameScore(frame.number, frame.at_ms, probability) for frame, probability in pairs]
    return Frames.of(moving.count, deciding, others, first_alone=moving.first_alone)


def preview_of(look: Look, number: int) -> Image.Image:
    """Return the preview of a frame that was judged."""
    others = look.animation.others if look.animation else ()
    return next((frame.preview for frame in others if frame.number == number), look.preview)
