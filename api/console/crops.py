"""Crops that detectors looked at, framed on the picture: what a bundle's card plans for a picture of this size."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from api import parts
from worker.bundles.card import DetectorFacts, ViewFacts
from worker.database.tables import Image, Verdict
from worker.images.crop_boxes import Box, crop_boxes, limit_crops

# The `kind` of an encoder detector's architecture; it alone heeds ASSAY_MOST_VIEWS.
_ENCODER = "encoder"
_SIZES = {"1": "untouched", "2": "enlarged twice", "3": "enlarged three times", "4": "enlarged four times"}


class Crops(NamedTuple):
    """What a detector looked at of one picture.

    Attributes:
        detector: its name.
        boxes: of native crops, in pixels of the picture.
        words: the same in words.
    """

    detector: str
    boxes: list[Box]
    words: str


@dataclass(frozen=True)
class CropPlans:
    """Says which crops detectors looked at; plans stand in the bundles' cards."""

    bundles: parts.Bundles
    most_views: parts.MostViews

    def of(self, image: Image, verdict: Verdict | None) -> list[Crops]:
        """Return the crops behind a verdict, one entry for each of its detectors whose plan is known."""
        if verdict is None or verdict.bundle_version is None:
            return []
        return self.planned(image, verdict.bundle_version, verdict.detectors)

    def planned(self, image: Image, bundle: str, detectors: Iterable[str]) -> list[Crops]:
        """Return the crops that a bundle's detectors look at, those whose plan and an image whose size is known."""
        if not image.width or not image.height:
            return []
        facts = self.bundles.detectors(bundle)
        return crops_in(facts, detectors, (image.width, image.height), self.most_views)


def crops_in(
    facts: Mapping[str, Any], detectors: Iterable[str], image_size: tuple[int, int], most_views: int
) -> list[Crops]:
    """Return what detectors looked at of a picture; those whose facts a card lacks are left out.

    Args:
        facts: of detectors by name, as cards hold them.
        detectors: names of those that judged.
        image_size: width and height in pixels.
        most_views: that an encoder detector looks at, 0 for as many as it was made for.
    """
    entries = ((name, _facts(facts.get(name))) for name in sorted(detectors))
    return [_crops(name, one, image_size, most_views) for name, one in entries if one is not None]


def _facts(value: Any) -> DetectorFacts | None:
    try:
        return DetectorFacts.model_validate(value)
    except ValidationError:
        return None


def _crops(name: str, facts: DetectorFacts, image_size: tuple[int, int], most_views: int) -> Crops:
    views = facts.views
    most = most_views if facts.architecture.get("kind") == _ENCODER else 0
    mirrored = views.mirrored and (not most or 2 * (views.wholes + views.crops) <= most)
    boxes = crop_boxes(image_size, views.size, limit_crops(views.wholes, views.crops, most))
    size = _SIZES.get(str(facts.architecture.get("enlarge", 1)), "enlarged")
    return Crops(name, boxes, _words(views, boxes, image_size, size, mirrored=mirrored))


def _words(views: ViewFacts, boxes: list[Box], image_size: tuple[int, int], size: str, *, mirrored: bool) -> str:
    square = f"{views.size} \N{MULTIPLICATION SIGN} {views.size} pixels"
    different = len(set(boxes))
    looks = [f"the whole picture, squeezed to {square}"] if views.wholes else []
    if different:
        looks.append(f"{different} crop{'' if different == 1 else 's'} of {square}, {size}")
    words = " and ".join(looks)
    if boxes and min(image_size) < views.size:
        words += "; what the picture lacks is filled with its mirror image"
    return f"{words}; all of it mirrored too" if mirrored else words


def draw(image_size: tuple[int, int], boxes: Iterable[Box]) -> str:
    """Draw frames around crops, and dim the rest: an SVG of the picture's own size."""
    width, height = image_size
    line = max(width, height) / 240  # as wide on a phone as the picture is
    rects = [(left, top, right - left, bottom - top) for left, top, right, bottom in dict.fromkeys(boxes)]
    shapes = "".join(f'<rect x="{x}" y="{y}" width="{w}" height="{h}"/>' for x, y, w, h in rects)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<mask id="rest"><rect width="100%" height="100%" fill="#fff"/><g fill="#000">{shapes}</g></mask>'
        f'<rect width="100%" height="100%" fill="#000" fill-opacity=".5" mask="url(#rest)"/>'
        # A bright line within a dark one stands out on every picture.
        f'<g fill="none" stroke="#111" stroke-width="{2 * line:g}">{shapes}</g>'
        f'<g fill="none" stroke="#ffe14d" stroke-width="{line:g}">{shapes}</g></svg>'
    )
