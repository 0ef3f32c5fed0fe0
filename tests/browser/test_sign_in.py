"""Signing in through the identity provider, in a real browser, at a real provider."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Console, Watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def at_the_provider(visitor: Watched, name: str, wanted: str = "") -> Page:
    """Go where one must sign in, and be somebody at the provider."""
    page = visitor.open(wanted or "/sign-in")
    page.get_by_role("link", name="Sign in with your account").click()
    expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    page.get_by_role("button", name=name).click()
    return page


def test_a_moderator_signs_in_comes_to_the_page_wanted_and_signs_out(visitor: Watched) -> None:
    page = at_the_provider(visitor, "Maria Moderator", "/review?order=newest")
    expect(page).to_have_url(f"{visitor.console.url}/review?order=newest")
    navigation = page.get_by_role("navigation", name="Console")
    expect(navigation).to_contain_text("Maria Moderator")
    expect(navigation.get_by_role("link", name="Review")).to_be_visible()
    expect(navigation.get_by_role("link", name="Keys and people")).to_have_count(0)
    expect(navigation.get_by_role("link", name="Drop an image")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    visitor.open("")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "words"), [("Gast", "has no role in Assay"), ("forged", "answer is not good; begin the sign-in again")]
)
def test_who_may_not_come_in_is_told_why(
    contexts: Callable[..., BrowserContext], console: Console, name: str, words: str
) -> None:
    watched = Watched(contexts().new_page(), console)
    page = at_the_provider(watched, name)
    expect(page.get_by_role("alert")).to_contain_text(words)
    watched.open("")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_admin_makes_a_key_and_locks_a_person_out(
    admin: Page, contexts: Callable[..., BrowserContext], console: Console
) -> None:
    lead = Watched(contexts().new_page(), console)
    page = at_the_provider(lead, "Lena Lead")
    expect(page.get_by_role("heading", name="Feed", level=1)).to_be_visible()
    admin.goto(f"{console.url}/keys")
    admin.get_by_label("Name").fill("a script")
    admin.get_by_label("read", exact=True).check()
    admin.get_by_role("button", name="Make key").click()
    key = admin.locator("code.secret").text_content() or ""
    assert key.startswith("assay_")
    admin.get_by_role("button", name="Lock out Lena Lead").click()
    expect(admin.get_by_text("It opens nothing any more")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Feed", level=1)).to_be_visible()
    admin.get_by_role("button", name="Let in Lena Lead").click()
    expect(admin.get_by_text("They may sign in again.")).to_be_visible()
