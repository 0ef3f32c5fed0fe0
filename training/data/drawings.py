"""Drawings: pictures made by programs, which are neither photographs nor AI-generated and must not be accused.

Five kinds, each a source of its own, so that whole kinds can be held out: charts, text pages, gradients with
patterns, flat shapes, and windows like those of a screenshot.
"""

# ruff: noqa: PLR2004  (every number here is a drawing's taste, nothing to be named or tuned)

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

PARAGRAPH = (
    "account above answer april balance between button cancel chart city close column date delete drawing edit file "
    "first folder green growth help index invoice january letter market menu message month number open order page "
    "paper percent price report result river save search share size sky sold station table total train type update "
    "user value view water week window winter word year"
)
WORDS = tuple(PARAGRAPH.split())


def colour(rng: Generator, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    """Draw a colour whose red, green and blue lie from `low` to below `high`."""
    red, green, blue = (int(c) for c in rng.integers(low, high, 3))
    return red, green, blue


def _paper(rng: Generator) -> tuple[int, int, int]:
    return colour(rng, 225) if rng.random() < 0.7 else colour(rng, 0, 60)


def phrase(rng: Generator, words: int) -> str:
    """Draw that many words."""
    return " ".join(rng.choice(WORDS, size=words).tolist())


def font(rng: Generator, low: int = 9, high: int = 26) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Give the default font, of a size from `low` to below `high`."""
    return ImageFont.load_default(size=float(rng.integers(low, high)))


def chart(size: int, rng: Generator) -> Image.Image:
    """Draw bars, a line or a pie with axes and labels."""
    image = Image.new("RGB", (size, size), _paper(rng))
    draw = ImageDraw.Draw(image)
    kind, count = int(rng.integers(3)), int(rng.integers(3, 14))
    heights = rng.uniform(0.1, 0.85, count) * size
    if kind == 0:
        step = size / (count + 1)
        for i, height in enumerate(heights):
            draw.rectangle([step * (i + 0.6), size * 0.92 - height, step * (i + 1.3), size * 0.92], fill=colour(rng))
    elif kind == 1:
        for _ in range(int(rng.integers(1, 4))):
            points = [(size * (i + 0.5) / count, float(h)) for i, h in enumerate(rng.uniform(0.1, 0.9, count) * size)]
            draw.line(points, fill=colour(rng), width=int(rng.integers(1, 5)))
    else:
        edges = np.concatenate([[0.0], np.cumsum(heights) / heights.sum() * 360.0])
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            draw.pieslice([size * 0.15, size * 0.15, size * 0.85, size * 0.85], begin, end, fill=colour(rng))
    for i in range(int(rng.integers(0, 7))):
        draw.line([0, size * i / 7, size, size * i / 7], fill=(200, 200, 200))
    draw.text((size * 0.1, 3), phrase(rng, 3), fill=colour(rng, 0, 256), font=font(rng))
    return image


def text(size: int, rng: Generator) -> Image.Image:
    """Set lines of words on plain paper."""
    paper = _paper(rng)
    ink = colour(rng, 0, 110) if sum(paper) > 380 else colour(rng, 150)
    image = Image.new("RGB", (size, size), paper)
    draw = ImageDraw.Draw(image)
    font_size = int(rng.integers(8, 30))
    set_in = ImageFont.load_default(size=float(font_size))
    left, top = float(rng.integers(-20, 30)), float(rng.integers(-20, 20))
    while top < size:
        draw.text((left, top), phrase(rng, int(rng.integers(1, 10))), fill=ink, font=set_in)
        top += font_size * float(rng.uniform(1.1, 1.6))
    return image


def gradient(size: int, rng: Generator) -> Image.Image:
    """Fill with a smooth ramp, waves, a checkerboard or plain noise."""
    down, across = np.mgrid[0:size, 0:size] / size
    angle = rng.uniform(0, 2 * math.pi)
    along = across * math.cos(angle) + down * math.sin(angle)
    kind = int(rng.integers(5))
    if kind == 1:
        along = 0.5 + 0.5 * np.sin(along * rng.uniform(5, 120))
    elif kind == 2:
        along = (np.floor(along * rng.uniform(3, 40)) + np.floor((across - down) * rng.uniform(3, 40))) % 2
    elif kind == 3:
        along = np.hypot(across - rng.random(), down - rng.random())
    first, last = np.array(colour(rng)), np.array(colour(rng))
    pixels = first + (last - first) * along[..., None]
    if kind == 4:
        pixels = rng.normal(first, rng.uniform(5, 80), size=(size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def shapes(size: int, rng: Generator) -> Image.Image:
    """Scatter flat figures, as in a logo or a simple drawing."""
    image = Image.new("RGB", (size, size), colour(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 40))):
        x, y = (float(v) for v in rng.uniform(-0.2, 1.0, 2) * size)
        w, h = (float(v) for v in rng.uniform(0.03, 0.6, 2) * size)
        outline = colour(rng) if rng.random() < 0.4 else None
        kind = int(rng.integers(4))
        if kind == 0:
            draw.ellipse([x, y, x + w, y + h], fill=colour(rng), outline=outline, width=2)
        elif kind == 1:
            draw.rounded_rectangle([x, y, x + w, y + h], radius=min(w, h) / 4, fill=colour(rng), outline=outline)
        elif kind == 2:
            corners = [(float(px), float(py)) for px, py in rng.uniform(0, 1, (3, 2)) * (w, h) + (x, y)]
            draw.polygon(corners, fill=colour(rng), outline=outline)
        else:
            draw.arc(
                [x, y, x + w, y + h], 0, float(rng.uniform(90, 360)), fill=colour(rng), width=int(rng.integers(1, 8))
            )
    return image


def window(size: int, rng: Generator) -> Image.Image:
    """Draw what a screenshot shows: a bar, a list, fields, buttons."""
    back = colour(rng, 235) if rng.random() < 0.6 else colour(rng, 15, 55)
    ink = (30, 30, 35) if sum(back) > 380 else (225, 225, 230)
    accent = colour(rng)
    image = Image.new("RGB", (size, size), back)
    draw = ImageDraw.Draw(image)
    bar = int(rng.integers(0, 40))
    draw.rectangle([0, 0, size, bar], fill=accent)
    side = int(rng.integers(0, size // 3))
    draw.rectangle([0, bar, side, size], fill=colour(rng, 60, 240))
    row = int(rng.integers(16, 42))
    for top in range(bar + 4, size, row):
        small = font(rng, 9, 15)
        if rng.random() < 0.3:
            draw.rounded_rectangle([side + 6, top, side + 60, top + row - 6], radius=4, fill=accent)
            draw.text((side + 12, top + 2), phrase(rng, 1), fill=back, font=small)
        else:
            draw.text((side + 8, top + 2), phrase(rng, int(rng.integers(2, 8))), fill=ink, font=small)
        draw.line([side, top + row - 2, size, top + row - 2], fill=(180, 180, 185))
    return image


KINDS: dict[str, Callable[[int, Generator], Image.Image]] = {
    "drawn_charts": chart,
    "drawn_text": text,
    "drawn_gradients": gradient,
    "drawn_shapes": shapes,
    "drawn_windows": window,
}


def draw_picture(seed: int, size: int) -> tuple[str, Image.Image]:
    """Draw the picture of that seed; kinds take turns. Returns its source and the RGB picture."""
    source = list(KINDS)[seed % len(KINDS)]
    rng = np.random.default_rng((seed, 90))
    large = KINDS[source](size * 2 if seed % 3 == 0 else size, rng)
    # A third are drawn at twice the size and reduced, as screenshots are when they are shared.
    return source, large.resize((size, size), Image.Resampling.LANCZOS) if seed % 3 == 0 else large
