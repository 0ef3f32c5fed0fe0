"""An appeal in a real browser: from the platform's request over the decision to what is served."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from infra.demo_images import photographs
from tests.browser.conftest import Console
from worker.database.served import Queries

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_an_appeal_goes_from_the_platform_s_request_to_what_is_served(admin: Page, console: Console) -> None:
    image_id = f"eager/{photographs()[4].name}"
    base = console.url.removesuffix("/console")
    headers = {"Authorization": f"Bearer {console.admin}"}
    body = {"reason": "My own kitchen, 2019.", "contact": "user-7"}
    brought = httpx.post(f"{base}/v1/images/{image_id}/appeals", json=body, headers=headers)
    assert brought.status_code == 201, brought.text
    admin.goto(f"{console.url}/appeals")
    case = admin.get_by_role("article").filter(has_text="My own kitchen, 2019.")
    expect(case).to_contain_text("user-7")
    case.get_by_role("radio", name="Not AI-generated").check()
    case.get_by_label("Reason").fill("The raw file is there.")
    case.get_by_role("button", name="Decide").click()
    expect(admin.get_by_role("status").first).to_contain_text("The appeal is decided")
    admin.get_by_role("link", name="Decided").click()
    expect(admin.get_by_role("article").first).to_contain_text("The raw file is there.")
    appeals = httpx.get(f"{base}/v1/images/{image_id}/appeals", headers=headers).json()["items"]
    assert [(one["verdict"], one["decided_at"] is not None) for one in appeals] == [("not_ai_generated", True)]
    served = Queries(console.up.database).served(image_id)
    assert served is not None
    assert served.verdict is not None
    assert (served.verdict.verdict, served.verdict.decided_by) == ("not_ai_generated", "human")
