"""Every page at both widths and in both colours: nothing that the content policy forbids, nothing that hinders people.

Each is kept as a picture below ``.assay-screens``, for eyes to judge.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from playwright.sync_api import BrowserContext, Page
from sqlalchemy import select

from tests.browser.conftest import Console, Watched
from worker.database.tables import Image

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# A page's picture is named after it.
PAGES = {
    "feed": "",
    "image": "/image?id={flagged}",
    "unknown-image": "/image?id=nothing",
    "drop": "/drop",
    "review": "/review",
    "review-audit": "/review?order=audit",
    "review-appeals": "/review?order=appeals",
    "review-alike": "/review/alike?id={unflagged}",
    "review-team": "/review/team",
    "feed-choose": "?choose=1",
    "appeals": "/appeals",
    "appeals-decided": "/appeals?state=decided",
    "transparency": "/transparency",
    "scans": "/scans",
    "scans-rejected": "/scans?state=rejected",
    "scans-empty": "/scans?state=leased",
    "drift": "/drift",
    "bundles": "/bundles",
    "bundle": "/bundles/one?version={challenger}",
    "training": "/training",
    "run": "/training/{finished_run}",
    "policies": "/policies",
    "keys": "/keys",
    "webhooks": "/webhooks",
    "webhook": "/webhooks/1",
    "audit": "/audit",
    "error": "/no/such/page",
}
# Reported in the page itself: what the policy stopped, whoever tried.
WATCH_POLICY = """
window.stopped = [];
const note = (event) => window.stopped.push(`${event.violatedDirective} ${event.blockedURI}`);
addEventListener("securitypolicyviolation", note);
"""
# The desk fetches what it shows; a page without one is ready at once.
DESK_READY = "() => !document.querySelector('#desk') || document.querySelector('#loading').hidden"
# Below the fold too; what the browser cannot show (a picture that is gone) is not waited for.
ALL_LOADED = """async () => {
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  await document.fonts.ready;
}"""
# WCAG 2.2 AA and what its authors hold good practice.
AXE = """async () => (await axe.run()).violations.map(
  (found) => `${found.id}: ${found.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`)"""


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_breaks_its_policy_overflows_or_shuts_anybody_out(
    width: int,
    colours: str,
    contexts: Callable[..., BrowserContext],
    console: Console,
    repository: Path,
) -> None:
    screens = repository / ".assay-screens"
    screens.mkdir(exist_ok=True)
    context = contexts(
        viewport={"width": width, "height": 900 if width > 500 else 844},
        color_scheme=colours,
        reduced_motion="reduce",
    )
    context.add_init_script(WATCH_POLICY)
    watched = Watched(context.new_page(), console)
    watched.open("/sign-in")
    found = {"sign-in": judged(watched.page, screens / f"sign-in-{width}-{colours}.png")}
    watched.sign_in(console.admin)
    for name, path in PAGES.items():
        page = watched.open(path.format(**vars(console)))
        found[name] = judged(page, screens / f"{name}-{width}-{colours}.png")
    assert {name: troubles for name, troubles in found.items() if troubles} == {}
    # The browser tells of answers that are errors by design: an unknown image, an unknown page.
    assert [complaint for complaint in watched.complaints if "404" not in complaint] == []


@pytest.mark.parametrize("letters", ["a", "\N{HEBREW LETTER ALEF}", "\N{RIGHT-TO-LEFT OVERRIDE}b/"])
def test_an_id_of_a_thousand_letters_fits_a_phone(
    letters: str, contexts: Callable[..., BrowserContext], console: Console, tmp_path: Path
) -> None:
    image_id = (letters * 1000)[:1000]
    with console.up.database.transaction() as session:
        known = session.scalars(select(Image).where(Image.image_id == console.unflagged)).first()
        assert known is not None
        place = {"bucket": known.bucket, "key": known.key, "version": uuid4().hex, "versioned": True}
        session.add(Image(image_id=image_id, source="long/" + "s" * 300, **place))
    watched = Watched(contexts(viewport={"width": 390, "height": 844}).new_page(), console)
    watched.page.add_init_script(WATCH_POLICY)
    watched.sign_in(console.admin)
    for path in ("", f"/image?id={quote(image_id, safe='')}"):
        assert judged(watched.open(path), tmp_path / "long.png") == []


def judged(page: Page, picture: Path) -> list[str]:
    """Take a picture of a page and return what is wrong with it."""
    page.wait_for_function(DESK_READY)
    page.evaluate(ALL_LOADED)
    page.screenshot(path=picture, full_page=True)
    stopped: Any = page.evaluate("window.stopped")
    wider: Any = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    # From outside the page's policy, as a browser's own tools are.
    page.evaluate((Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8"))
    shut_out: Any = page.evaluate(AXE)
    return [*stopped, *([f"{wider} pixels wider than the screen"] if wider > 0 else []), *shut_out]
