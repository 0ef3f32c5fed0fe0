"""What Assay judges is what a browser shows: pixels compared with Chromium's rendering, a file of each kind."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.files_as_sent import FILES, HALF_SHOWN, NOT_SHOWN
from worker.images.decode import decode

# Mean difference over all channels, of 255.
MOST_DISTANCE = 3.0


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    return browser.new_page(viewport={"width": 300, "height": 300})


def shown(page: Page, data: bytes) -> Image.Image:
    """Return what Chromium paints of a file on white."""
    address = "data:;base64," + base64.b64encode(data).decode()
    page.set_content('<body style="margin:0;background:white"><img></body>')
    size = page.evaluate(
        """async address => {
            const image = document.querySelector("img");
            await new Promise(done => { image.onload = image.onerror = done; image.src = address; });
            await image.decode().catch(() => null);
            return [image.naturalWidth, image.naturalHeight];
        }""",
        address,
    )
    clip = {"x": 0, "y": 0, "width": max(1, size[0]), "height": max(1, size[1])}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")  # type: ignore[arg-type]


@pytest.mark.browser
@pytest.mark.parametrize("name", [name for name, sent in FILES.items() if sent.browser != NOT_SHOWN])
def test_a_file_is_judged_as_chromium_shows_it(page: Page, name: str) -> None:
    data = FILES[name].make()
    theirs, ours = shown(page, data), decode(data, max_pixels=1_000_000).image
    assert theirs.size == ours.size
    # Of a JPEG or GIF that breaks off, Chromium leaves out the last blocks that are there.
    rows = ours.height * 2 // 3 if FILES[name].browser == HALF_SHOWN else ours.height
    distance = np.abs(np.asarray(theirs).astype(int) - np.asarray(ours))[:rows].mean()
    assert distance < MOST_DISTANCE
