"""Colour by code points (ITU-T H.273): profiles for what a screen can show, tone mapping for what is brighter.

HDR is brought to a screen of 203 cd/m² as Chromium does on one without HDR (the reference white operator of SMPTE ST
2094-50 for 1,000 cd/m²): half as bright up to the reference white, then a curve up to white.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

PQ, HLG = 16, 18
HDR_TRANSFERS = {PQ, HLG}
SRGB_LIKE = {1, 6, 14, 15}  # the curves of BT.709 and its kin
_LINEAR, _SRGB = 8, 13
# The curves of BT.709 and its kin are shown as screens for video do (BT.1886).
_GAMMAS = {4: 2.2, 5: 2.8, _LINEAR: 1.0} | dict.fromkeys(SRGB_LIKE, 2.4)
_D65 = (0.3127, 0.3290)
# White, red, green, blue by their x and y.
_PRIMARIES = {
    1: (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    5: (*_D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])
_TABLE = 1024
_REFERENCE_WHITE, _PEAK = 203.0, 1000.0  # cd/m²
_HLG_GAMMA = 1.2
_BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
# The curve from the reference white to the peak: three points of a quadratic Bézier, in multiples of white.
_KNEE, _BEND = (1.0, 0.5), (1.65, 0.825)
_BAND = 256  # rows that are worked on together


@lru_cache(maxsize=32)
def matrix_profile(
    primaries: int, transfer: int, *, gamma: float | None = None, chromaticities: Sequence[float] | None = None
) -> bytes | None:
    """Return an ICC profile of these code points; None where they are sRGB's or unknown.

    Args:
        primaries: H.273 colour primaries.
        transfer: H.273 transfer characteristics; none of HDR.
        gamma: instead of the transfer, the exponent that brings values to light.
        chromaticities: instead of the primaries, x and y of white, red, green and blue.
    """
    points = chromaticities or _PRIMARIES.get(primaries)
    if points is None or (gamma is None and (primaries, transfer) in {(1, _SRGB), (1, 2)}):
        return None
    values = np.linspace(0, 1, _TABLE)
    light = values**gamma if gamma is not None else _light(values, transfer)
    try:
        columns = _to_xyz(points)
    except np.linalg.LinAlgError:
        return None
    curve = struct.pack(">4sII", b"curv", 0, _TABLE) + (light * 65535).round().astype(">u2").tobytes()
    tags = {name: _xyz(columns[:, number]) for number, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= {b"wtpt": _xyz(_D50), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    return _profile(tags)


def hdr_to_srgb(image: Image.Image, primaries: int, transfer: int) -> Image.Image:
    """Return a picture of PQ or HLG as a screen without HDR shows it; alpha, if there is any, stays."""
    colours = np.array(image.convert("RGB"))
    curve = np.asarray(_light(np.arange(256) / 255, transfer), np.float32)
    to_srgb = np.asarray(
        np.linalg.inv(_to_xyz(_PRIMARIES[1])) @ _to_xyz(_PRIMARIES.get(primaries, _PRIMARIES[9])), np.float32
    )
    for top in range(0, len(colours), _BAND):
        light = curve[colours[top : top + _BAND]]
        if transfer == HLG:
            light = light * (light @ _BT2020_LUMINANCE)[..., None] ** (_HLG_GAMMA - 1) * (_PEAK / _REFERENCE_WHITE)
        brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
        shown = (light * (_tone_mapped(brightest) / brightest)) @ to_srgb.T
        colours[top : top + _BAND] = np.rint(_srgb_values(shown) * 255)
    flat = Image.fromarray(colours)
    if image.has_transparency_data:
        flat.putalpha(image.convert("RGBA").getchannel("A"))
    return flat


def _light(values: NDArray[np.float64], transfer: int) -> NDArray[np.float64]:
    """Return light by the transfer's curve: 0 to 1, of PQ in multiples of the reference white."""
    if transfer in _GAMMAS:
        return values ** _GAMMAS[transfer]
    if transfer == PQ:
        power = values ** (32 / 2523)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (16384 / 2610)
        return np.asarray(light * 10_000 / _REFERENCE_WHITE)
    if transfer == HLG:
        return np.where(values <= 0.5, values**2 / 3, (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12)  # noqa: PLR2004
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004


def _tone_mapped(light: Floats) -> Floats:
    (x0, y0), (x1, y1), (x2, y2) = _KNEE, _BEND, (_PEAK / _REFERENCE_WHITE, 1.0)
    steps = np.linspace(0, 1, 256)
    x = (1 - steps) ** 2 * x0 + 2 * steps * (1 - steps) * x1 + steps**2 * x2
    y = (1 - steps) ** 2 * y0 + 2 * steps * (1 - steps) * y1 + steps**2 * y2
    return np.asarray(np.interp(light, [0.0, *x], [0.0, *y]), np.float32)


def _srgb_values(light: Floats) -> Floats:
    light = np.clip(light, 0, 1)
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))  # noqa: PLR2004


def _to_xyz(points: Sequence[float]) -> NDArray[np.float64]:
    """Return the matrix from linear RGB to XYZ under D50, from x and y of white, red, green and blue."""
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in np.reshape(points, (4, 2)))
    columns = np.stack(primaries, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ columns)


def _xyz(values: NDArray[np.float64]) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(float(value) * 65536) for value in values))


def _profile(tags: dict[bytes, bytes]) -> bytes:
    """Return a display profile of version 2 with these tags (ICC.1:2001-04)."""
    at, directory, bodies = 132 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        directory += struct.pack(">4sII", name, at + len(bodies), len(body))
        bodies += body + b"\x00" * (-len(body) % 4)
    size = at + len(bodies)
    head = struct.pack(">I4sI4s4s4s", size, b"\x00" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += b"\x00" * 12 + b"acsp" + b"\x00" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\x00") + struct.pack(">I", len(tags)) + directory + bodies
