"""The statement of reasons as a page that a platform sends on, at both widths and in both colours."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import Console
from tests.browser.test_every_page import WATCH_POLICY, judged
from tests.unit.worker.database.test_statement import TERMS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_a_platforms_decision_becomes_a_page_to_send_on(
    width: int, colours: str, contexts: Callable[..., BrowserContext], console: Console, repository: Path
) -> None:
    base = console.url.removesuffix("/console")
    address = f"{base}/v1/images/{quote(console.flagged, safe='')}"
    headers = {"Authorization": f"Bearer {console.admin}"}
    decision = httpx.post(f"{address}/decisions", json=TERMS, headers=headers)
    assert decision.status_code == 201, decision.text
    context = contexts(viewport={"width": width, "height": 900}, color_scheme=colours, extra_http_headers=headers)
    context.add_init_script(WATCH_POLICY)
    page = context.new_page()
    page.goto(f"{address}/statement?form=html")
    expect(page.get_by_role("heading", name="Statement of reasons")).to_be_visible()
    expect(page.get_by_role("heading", name="If you do not agree")).to_be_visible()
    screens = repository / ".assay-screens"
    screens.mkdir(exist_ok=True)
    assert judged(page, screens / f"statement-{width}-{colours}.png") == []
