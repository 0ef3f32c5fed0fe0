"""A suspect image is decoded in a process of its own; if that dies, hangs or swells, the image is the culprit."""

import io
import signal
import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from worker.errors import CrashesDecoderError, PermanentError, Reason
from worker.images import isolation
from worker.images.decode import Decoded, decode
from worker.images.isolation import DecodingStoppedError

MAX_PIXELS = 1_000_000

# Found by every Python that has this folder on its path: makes Pillow's PNG reader misbehave at a marked file.
SABOTAGE = """
import os, signal, time
from PIL import PngImagePlugin

def chunk_asSb(self, pos, length):
    act = self.fp.read(length)
    if act == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    if act.startswith(b"stop"):
        os.kill(os.getpid(), int(act[4:]))
    if act == b"hang":
        time.sleep(60)
    if act == b"swell":
        bytearray(8 * 1024**3)
    if act == b"quit":
        os._exit(1)
    return act

PngImagePlugin.PngStream.chunk_asSb = chunk_asSb
"""


@pytest.fixture
def sabotage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def picture(act: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(buffer, "PNG")
    data = buffer.getvalue()
    if not act:
        return data
    chunk = b"asSb" + act
    return data[:33] + struct.pack(">I", len(act)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def decode_isolated(data: bytes, *, timeout_seconds: float = 60.0) -> Decoded:
    return isolation.decode_isolated(
        data, max_pixels=MAX_PIXELS, timeout_seconds=timeout_seconds, memory_bytes=2 * 1024**3
    )


def test_a_healthy_picture_decodes_as_it_does_at_home() -> None:
    here, there = decode(picture(), max_pixels=MAX_PIXELS), decode_isolated(picture())
    assert (there.format, there.image.mode, there.image.size) == ("PNG", "RGB", here.image.size)
    assert there.image.tobytes() == here.image.tobytes()


def test_a_bad_picture_is_rejected_for_the_reason_it_has_at_home() -> None:
    with pytest.raises(PermanentError) as at_home:
        decode(b"<html>", max_pixels=MAX_PIXELS)
    with pytest.raises(PermanentError) as isolated:
        decode_isolated(b"<html>")
    assert (isolated.value.reason, isolated.value.detail) == (Reason.UNSUPPORTED_TYPE, at_home.value.detail)


@pytest.mark.usefixtures("sabotage")
def test_a_picture_that_kills_its_decoder_is_the_culprit() -> None:
    with pytest.raises(CrashesDecoderError, match="ended by signal 9"):
        decode_isolated(picture(b"die"))


@pytest.mark.usefixtures("sabotage")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_child_that_is_told_to_stop_accuses_no_picture(number: signal.Signals) -> None:
    with pytest.raises(DecodingStoppedError):
        decode_isolated(picture(b"stop%d" % number))


@pytest.mark.usefixtures("sabotage")
def test_a_picture_that_hangs_its_decoder_is_the_culprit() -> None:
    with pytest.raises(CrashesDecoderError, match=r"took longer than 0\.8 s"):
        decode_isolated(picture(b"hang"), timeout_seconds=0.8)


@pytest.mark.usefixtures("sabotage")
def test_a_picture_that_outgrows_the_memory_is_the_culprit() -> None:
    with pytest.raises(CrashesDecoderError, match="more memory"):
        decode_isolated(picture(b"swell"))


@pytest.mark.usefixtures("sabotage")
def test_a_child_that_fails_for_reasons_of_its_own_accuses_no_picture() -> None:
    with pytest.raises(RuntimeError, match="ended with code 1"):
        decode_isolated(picture(b"quit"))


def test_a_child_that_cannot_start_accuses_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(OSError, match="nonexistent"):
        decode_isolated(picture())
