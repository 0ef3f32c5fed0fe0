"""An image that kills whoever decodes it is found out, isolated and rejected; its neighbours get their verdicts."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from infra.demo_images import as_jpeg
from tests.support.assay_up import AssayUp

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

# Found by every Python process that has this folder on its path: Pillow's PNG reader kills the process at a marked
# file, as a bug in a decoder's C code would.
SABOTAGE = """
import os, signal
from PIL import PngImagePlugin

def chunk_dieE(self, pos, length):
    os.kill(os.getpid(), signal.SIGKILL)

PngImagePlugin.PngStream.chunk_dieE = chunk_dieE
"""


def deadly_png() -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(encoded, "PNG")
    data, chunk = encoded.getvalue(), b"dieE"
    return data[:33] + struct.pack(">I", 0) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def test_a_deadly_image_is_rejected_and_its_neighbours_are_not(
    start_assay: Callable[..., AssayUp], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SABOTAGE)
    assay = start_assay(PYTHONPATH=str(tmp_path))
    neighbours = [f"neighbours/{number}.jpg" for number in range(12)]
    for key in neighbours[:6]:
        assay.put(key, as_jpeg(Image.effect_noise((64, 64), 40).convert("RGB")))
    assay.put("deadly.png", deadly_png())
    for key in neighbours[6:]:
        assay.put(key, as_jpeg(Image.effect_noise((64, 64), 60).convert("RGB")))
    ended = assay.wait_ended([*neighbours, "deadly.png"], 240)
    assert (ended["deadly.png"].state, ended["deadly.png"].reason) == ("rejected", "crashes_decoder")
    assert {ended[key].state for key in neighbours} == {"completed"}
    assert {ended[key].attempts for key in neighbours} == {0}
