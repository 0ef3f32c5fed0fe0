"""Renderings: pictures with shading, outlines and fine patterns that programs make, as negatives beside `drawings`.

Five kinds, each a source of its own: shaded scenes, cartoons with outlines, maps, ornaments and dense plots. Edges are
smooth, for everything is drawn larger and reduced.
"""

# ruff: noqa: PLR2004  (every number here is a rendering's taste, nothing to be named or tuned)

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.data.drawings import colour, font, phrase

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

_LARGER = 3


def scene(size: int, rng: Generator) -> Image.Image:
    """Light some balls on a textured ground, with shadows and a sky."""
    down, across = np.mgrid[0:size, 0:size] / size
    horizon = rng.uniform(0.2, 0.7)
    sky, ground = _ramp(rng, down / max(horizon, 0.1)), _ramp(rng, (down - horizon) / (1.0 - horizon))
    depth = 1.0 / np.clip(down - horizon, 0.02, None)
    squares = (np.floor(across * depth * rng.uniform(0.5, 4)) + np.floor(depth * rng.uniform(0.5, 4))) % 2
    ground = ground * (1.0 - rng.uniform(0.0, 0.6) * squares[..., None])
    pixels = np.where((down < horizon)[..., None], sky, ground)
    light = np.array([rng.uniform(-0.8, 0.8), -0.7, 0.6])
    light /= np.linalg.norm(light)
    for _ in range(int(rng.integers(1, 9))):
        pixels = _with_ball(pixels, across, down, light, rng)
    return _picture(pixels)


def _with_ball(pixels: NDArray[Any], across: NDArray[Any], down: NDArray[Any], light: Any, rng: Generator) -> Any:
    x, y, radius = rng.uniform(0.0, 1.0), rng.uniform(0.1, 1.0), rng.uniform(0.04, 0.35)
    shadow = np.hypot((across - x - radius * 0.6) / 1.6, (down - y - radius * 0.9) / 0.35) / radius
    pixels = pixels * np.clip(0.55 + 0.45 * shadow, 0.55, 1.0)[..., None]
    right, lower = (across - x) / radius, (down - y) / radius
    inside = right**2 + lower**2 < 1.0
    towards = np.sqrt(np.clip(1.0 - right**2 - lower**2, 0.0, 1.0))
    diffuse = np.clip(right * light[0] + lower * light[1] + towards * light[2], 0.0, 1.0)
    shine = rng.uniform(0, 160) * diffuse ** rng.uniform(8, 60)
    ball = np.array(colour(rng)) * (0.2 + 0.8 * diffuse)[..., None] + shine[..., None]
    return np.where(inside[..., None], ball, pixels)


def cartoon(size: int, rng: Generator) -> Image.Image:
    """Draw figures and hills with thick outlines and flat or shaded fills."""
    side = size * _LARGER
    image = _picture(_ramp(rng, np.mgrid[0:side, 0:side][0] / side))
    draw = ImageDraw.Draw(image)
    ink, width = colour(rng, 0, 70), int(rng.integers(2, 6)) * _LARGER // 2
    for _ in range(int(rng.integers(1, 4))):
        top, wave = rng.uniform(0.4, 0.9) * side, rng.uniform(0.02, 0.15) * side
        hill = [(x, top + wave * math.sin(x / side * rng.uniform(2, 7))) for x in range(0, side + 1, side // 12)]
        draw.polygon([*hill, (side, side), (0, side)], fill=colour(rng), outline=ink, width=width)
    for _ in range(int(rng.integers(2, 9))):
        _figure(draw, rng, side, ink, width)
    if rng.random() < 0.4:
        draw.text((side * 0.1, side * 0.05), phrase(rng, 2), fill=ink, font=font(rng, 12 * _LARGER, 28 * _LARGER))
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _figure(draw: ImageDraw.ImageDraw, rng: Generator, side: int, ink: tuple[int, int, int], width: int) -> None:
    x, y, w = (float(v) for v in rng.uniform((0.0, 0.2, 0.08), (0.9, 0.9, 0.3)) * side)
    body, skin = colour(rng), colour(rng, 90)
    draw.rounded_rectangle([x, y, x + w, y + w * 1.5], radius=w / 3, fill=body, outline=ink, width=width)
    draw.ellipse([x + w * 0.1, y - w * 0.8, x + w * 0.9, y + w * 0.1], fill=skin, outline=ink, width=width)
    for eye in (0.35, 0.65):
        draw.ellipse([x + w * eye - w / 12, y - w * 0.45, x + w * eye + w / 12, y - w * 0.28], fill=ink)
    draw.arc([x + w * 0.3, y - w * 0.35, x + w * 0.7, y - w * 0.05], 10, 170, fill=ink, width=width)


def map_sheet(size: int, rng: Generator) -> Image.Image:
    """Draw land, water, roads of two kinds and names, as a street map does."""
    side = size * _LARGER
    image = Image.new("RGB", (side, side), colour(rng, 200))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 9))):
        x, y = rng.uniform(0, side, 2)
        turns = np.sort(rng.uniform(0, 2 * math.pi, 9))
        reach = rng.uniform(0.05, 0.4, 9) * side
        area = [(float(x + r * math.cos(t)), float(y + r * math.sin(t))) for t, r in zip(turns, reach, strict=True)]
        draw.polygon(area, fill=colour(rng, 120))
    for _ in range(int(rng.integers(6, 30))):
        road = [tuple(float(v) for v in point) for point in rng.uniform(0, side, 2) + rng.normal(0, side / 4, (4, 2))]
        wide = int(rng.integers(3, 14))
        draw.line(road, fill=colour(rng, 90, 200), width=wide + 4, joint="curve")
        draw.line(road, fill=colour(rng, 215), width=wide, joint="curve")
    for _ in range(int(rng.integers(3, 14))):
        x, y = (float(v) for v in rng.uniform(0, side, 2))
        draw.text((x, y), phrase(rng, 1), fill=colour(rng, 0, 90), font=font(rng, 8 * _LARGER, 16 * _LARGER))
    return image.resize((size, size), Image.Resampling.LANCZOS)


def ornament(size: int, rng: Generator) -> Image.Image:
    """Repeat a tile, turn petals around a centre, or print dots of a halftone."""
    side = size * _LARGER
    down, across = np.mgrid[0:side, 0:side] / side
    kind = int(rng.integers(3))
    if kind == 0:
        repeats = rng.uniform(3, 14, 2)
        along = np.sin(across * repeats[0] * 6.3) * np.sin(down * repeats[1] * 6.3) + np.sin(
            (across + down) * repeats.sum() * 3
        )
    elif kind == 1:
        x, y = across - rng.uniform(0.3, 0.7), down - rng.uniform(0.3, 0.7)
        along = np.sin(np.arctan2(y, x) * rng.integers(3, 18)) + np.sin(np.hypot(x, y) * rng.uniform(10, 80))
    else:
        dots = rng.uniform(15, 60)
        smooth = np.hypot(across - rng.random(), down - rng.random())
        along = np.cos(across * dots * 6.3) + np.cos(down * dots * 6.3) - 4.0 * smooth + 1.5
    levels = np.digitize(along, np.sort(rng.uniform(-1.5, 1.5, int(rng.integers(1, 6)))))
    palette = np.array([colour(rng) for _ in range(8)])
    return _picture(palette[levels]).resize((size, size), Image.Resampling.LANCZOS)


def plot(size: int, rng: Generator) -> Image.Image:
    """Fill a frame with a heat map, a cloud of points or many thin curves."""
    kind, side = int(rng.integers(3)), size * _LARGER
    image = Image.new("RGB", (side, side), colour(rng, 230) if rng.random() < 0.7 else colour(rng, 0, 50))
    draw = ImageDraw.Draw(image)
    if kind == 0:
        field = Image.fromarray(rng.integers(0, 256, (int(rng.integers(3, 24)),) * 2, dtype=np.uint8))
        values = np.asarray(field.resize((side, side), Image.Resampling(int(rng.choice([0, 3]))))) / 255.0
        image = _picture(np.array(colour(rng)) * values[..., None] + np.array(colour(rng)) * (1.0 - values[..., None]))
        draw = ImageDraw.Draw(image)
    elif kind == 1:
        for _ in range(int(rng.integers(1, 5))):
            ink, radius = colour(rng), float(rng.uniform(2, 9))
            cloud = (
                rng.normal(rng.uniform(0.2, 0.8, 2), rng.uniform(0.03, 0.2, 2), (int(rng.integers(50, 500)), 2)) * side
            )
            for x, y in cloud.tolist():
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=ink)
    else:
        for _ in range(int(rng.integers(5, 30))):
            steps = np.cumsum(rng.normal(0, side / 60, 90)) + rng.uniform(0.1, 0.9) * side
            draw.line([(i * side / 89, float(v)) for i, v in enumerate(steps)], fill=colour(rng), width=3)
    frame = int(rng.integers(0, 30)) * _LARGER
    draw.rectangle([frame, frame, side - frame, side - frame], outline=colour(rng, 0, 120), width=3)
    draw.text((frame, 4), phrase(rng, 3), fill=colour(rng, 0, 160), font=font(rng, 8 * _LARGER, 14 * _LARGER))
    return image.resize((size, size), Image.Resampling.LANCZOS)


def _ramp(rng: Generator, along: NDArray[Any]) -> Any:
    first, last = np.array(colour(rng)), np.array(colour(rng))
    return first + (last - first) * np.clip(along, 0.0, 1.0)[..., None]


def _picture(pixels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


KINDS: dict[str, Callable[[int, Generator], Image.Image]] = {
    "drawn_scenes": scene,
    "drawn_cartoons": cartoon,
    "drawn_maps": map_sheet,
    "drawn_ornaments": ornament,
    "drawn_plots": plot,
}


def render_picture(seed: int, size: int) -> tuple[str, Image.Image]:
    """Render the picture of that seed; kinds take turns. Returns its source and the RGB picture."""
    source = list(KINDS)[seed % len(KINDS)]
    rng = np.random.default_rng((seed, 91))
    picture = KINDS[source](size, rng)
    # A fifth are out of focus, as renderings with a depth of field and pictures of screens are.
    return source, picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.0))) if rng.random() < 0.2 else picture
