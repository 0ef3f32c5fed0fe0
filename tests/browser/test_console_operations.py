"""What operators do in the console: runs, promotions, policies and replays."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_a_training_run_is_started_watched_and_cancelled(admin: Page, visitor: Watched) -> None:
    visitor.open("/training")
    admin.get_by_label("Recipe", exact=True).fill("cifake")
    admin.get_by_label("Minutes a detector").fill("600")
    admin.get_by_role("button", name="Start the run").click()
    expect(admin.get_by_role("heading", name=re.compile(r"Run \d+: cifake"))).to_be_visible()
    progress = admin.get_by_role("region", name="Progress")
    expect(progress).to_contain_text(re.compile("Queued|Running|Failed"))
    cancel = admin.get_by_role("button", name="Cancel the run")
    if cancel.is_visible():  # unless a worker took it and found nothing to train on
        cancel.click()
        expect(admin.get_by_role("region", name="Progress")).to_contain_text(re.compile("Cancelled|heartbeat|Failed"))


def test_a_run_shows_its_losses_its_gate_and_its_curves(admin: Page, visitor: Watched) -> None:
    visitor.open(f"/training/{visitor.console.finished_run}")
    expect(admin.get_by_role("region", name="Gate", exact=True)).to_contain_text("Not passed")
    for chart in ("ConvNeXt", "CLIP", "ROC", "Precision and recall", "Reliability"):
        drawn = admin.get_by_role("img", name=re.compile(f"^{chart}")).locator("canvas")
        expect(drawn).to_be_visible()
    missed = admin.get_by_role("region", name="Confusion").get_by_role("row", name=re.compile("^AI-generated 97"))
    expect(missed).to_have_count(2)  # the champion's and the challenger's


def test_a_bundle_is_promoted_with_a_reason_and_rolled_back(admin: Page, visitor: Watched) -> None:
    challenger = visitor.console.challenger
    visitor.open("/bundles")
    admin.get_by_role("link", name=challenger).click()
    admin.get_by_text("Promote …").click()
    admin.get_by_label("Reason").first.fill("Tried on last week's uploads")
    admin.get_by_label(re.compile("Even without a passed gate")).check()
    admin.get_by_label(re.compile("Yes, make")).check()
    admin.get_by_role("button", name="Promote", exact=True).click()
    expect(admin.get_by_role("status").first).to_contain_text("serves from now on")
    expect(admin.locator(".panel.hero")).to_contain_text(challenger)
    admin.get_by_text("Roll back …").click()
    admin.get_by_label("Reason").fill("Too many complaints")
    admin.get_by_label("Yes, take the champion back").check()
    admin.get_by_role("button", name="Roll back", exact=True).click()
    expect(admin.locator(".panel.hero")).to_contain_text("wild")
    changes = admin.get_by_role("region", name="Promotions and rollbacks").get_by_role("listitem")
    expect(changes.first).to_contain_text("Too many complaints")


def test_a_promotion_that_gate_and_shadow_bar_is_refused_in_words(admin: Page, visitor: Watched) -> None:
    visitor.open(f"/bundles/one?version={visitor.console.challenger}")
    admin.get_by_text("Promote …").click()
    admin.get_by_label("Reason").first.fill("Just so")
    admin.get_by_label(re.compile("Yes, make")).check()
    admin.get_by_role("button", name="Promote", exact=True).click()
    expect(admin.get_by_role("heading", name="Conflict")).to_be_visible()
    assert [complaint for complaint in visitor.complaints if "409" not in complaint] == []
    visitor.complaints.clear()


def test_a_policy_is_previewed_without_changing_anything(visitor: Watched) -> None:
    page = visitor.sign_in(visitor.console.reader)
    visitor.open("/policies")
    before = page.get_by_role("heading", name=re.compile(r"^Version \d+")).inner_text()
    page.get_by_label("May be accused, %").fill("90")
    page.get_by_role("button", name="Preview what changes").click()
    expect(page.get_by_role("heading", name=re.compile(r"It would change \d+ of \d+ verdicts"))).to_be_visible()
    expect(page.get_by_role("region", name="Thresholds")).to_contain_text("uploads/feed")
    expect(page.get_by_role("button", name="Make it count")).to_have_count(0)
    visitor.open("/policies")
    expect(page.get_by_role("heading", name=re.compile(r"^Version \d+"))).to_have_text(before)


def test_a_dead_scan_is_replayed(admin: Page, visitor: Watched) -> None:
    visitor.open("/scans")
    box = admin.get_by_label(f"of {visitor.console.dead}")
    expect(box).to_be_checked()
    admin.get_by_role("button", name="Replay the chosen").click()
    expect(admin.get_by_role("status").first).to_contain_text("Queued again")
    expect(box).to_have_count(0)
    # The object was never there, which is the outcome of its next attempt.
    visitor.console.up.wait_ended([visitor.console.dead], 60)
    visitor.open("/scans?state=rejected")
    expect(admin.get_by_role("row").filter(has_text=visitor.console.dead)).to_contain_text("Gone")
