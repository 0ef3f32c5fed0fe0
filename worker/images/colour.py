"""Colours to sRGB, as browsers do: embedded profiles, the code points of HEVC and AV1 (CICP), and PNG's own chunks."""

import io
import struct
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from worker.images.cicp import HDR_TRANSFERS, SRGB_LIKE, hdr_to_srgb, matrix_profile

# Pixel modes that a transform takes as they are; alpha is handed through.
_MODES = {"RGB": "RGB", "RGBA": "RGBA", "CMYK": "CMYK", "L": "L"}
_SPACES = {"RGB": "RGB ", "RGBA": "RGB ", "CMYK": "CMYK", "L": "GRAY"}
# A profile that moves no colour further than this is sRGB by another name.
_SAME = 2
_STEPS = 9
# What writers mean by gAMA alone is sRGB where it is about 1/2.2.
_USUAL_GAMMA, _GAMMA_TOLERANCE = 0.45455, 0.0005
_PNG_START = 8


def to_srgb(image: Image.Image, opened: Image.Image, data: bytes) -> Image.Image:
    """Return the picture in sRGB; RGB or RGBA where a transform was needed, else as it is.

    Args:
        image: pixels of any mode of 8 bits a channel.
        opened: what the reader said of them.
        data: the whole file.
    """
    points = cicp_of(opened.format, data, has_profile="icc_profile" in opened.info)
    if points is not None and points[1] in HDR_TRANSFERS:
        return hdr_to_srgb(_channels(image), *points)
    profile = None if points is not None and opened.format == "PNG" else opened.info.get("icc_profile")
    if not profile:
        profile = _stated_profile(points, opened)
    return _transformed(image, profile) if profile else image


def cicp_of(form: str | None, data: bytes, *, has_profile: bool) -> tuple[int, int] | None:
    """Return colour primaries and transfer function by H.273 where the file states them and they are heeded.

    Those of a PNG win over its profile, those of an AVIF or HEIC do not.
    """
    if form == "PNG":
        return _png_cicp(data)
    if form not in {"AVIF", "HEIF"} or has_profile:
        return None
    at = data.find(b"colrnclx", 0, 65_536)
    if at < 0:
        return None
    primaries, transfer = struct.unpack_from(">HH", data, at + 8)
    # Browsers show the curves of video as they show sRGB's.
    return primaries, 13 if transfer in SRGB_LIKE else transfer


def _png_cicp(data: bytes) -> tuple[int, int] | None:
    at = _PNG_START
    while at + 10 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"cICP":
            return data[at + 8], data[at + 9]
        if kind == b"IDAT":
            break
        at += 12 + length
    return None


def _stated_profile(points: tuple[int, int] | None, opened: Image.Image) -> bytes | None:
    if points is not None:
        return matrix_profile(*points)
    if opened.format == "PNG" and "srgb" not in opened.info:
        return _gamma_profile(opened.info)
    return None


def _gamma_profile(info: Mapping[str | tuple[int, int], object]) -> bytes | None:
    """Return the profile that gAMA and cHRM of a PNG make together; chromaticities alone are not heeded."""
    gamma, chromaticities = info.get("gamma"), info.get("chromaticity")
    if not isinstance(gamma, float) or gamma <= 0:
        return None
    if not isinstance(chromaticities, tuple):
        return None if abs(gamma - _USUAL_GAMMA) < _GAMMA_TOLERANCE else matrix_profile(1, 13, gamma=1 / gamma)
    return matrix_profile(1, 13, gamma=1 / gamma, chromaticities=chromaticities)


def _channels(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that transforms take: colours and, if there is any, alpha."""
    if image.mode in _MODES:
        return image if not ("transparency" in image.info and image.mode == "RGB") else image.convert("RGBA")
    if image.mode == "LA":
        return image.convert("RGBA")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _transformed(image: Image.Image, profile: bytes) -> Image.Image:
    usable = _channels(image)
    grey_with_alpha = image.mode == "LA"
    transform = _transform(profile, "L" if grey_with_alpha else usable.mode)
    if transform is None:
        return image
    if grey_with_alpha:
        colours = transform.apply(image.getchannel("L"))
        colours.putalpha(image.getchannel("A"))
        return colours
    return transform.apply(usable)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what brings pixels of a mode to sRGB; None where nothing changes or the profile does not fit them."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if own.profile.xcolor_space != _SPACES[mode]:
            return None
        target = "RGBA" if mode == "RGBA" else "RGB"
        made = ImageCms.ImageCmsTransform(own, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")), mode, target)
        return None if mode != "CMYK" and _changes_nothing(made, mode) else made
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, _STEPS).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 1, 3)
    if mode == "L":
        probe = Image.fromarray(grid[:, :, 0].copy())
        before = np.repeat(grid[:, :, :1], 3, axis=2)
    else:
        probe, before = Image.fromarray(grid).convert(mode), grid
    after = np.asarray(transform.apply(probe))[:, :, :3]
    return bool(np.abs(after.astype(int) - before).max() <= _SAME)
