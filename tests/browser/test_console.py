"""What people do in the console, done in a real browser on the whole of Assay."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from infra.demo_images import ai_pictures, photographs
from tests.browser.conftest import Console, Watched
from worker.database.api_keys import ApiKeys, Scope

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def image_page(console: Console, page: Page, image_id: str) -> None:
    """Find an image as people do: by its id, from the feed."""
    page.goto(console.url)
    page.get_by_role("searchbox", name="Image id").fill(image_id)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(image_id)


def test_a_wrong_key_opens_nothing(visitor: Watched) -> None:
    page = visitor.open("/scans?state=rejected")
    page.get_by_label("API key").fill("assay_of-nobody")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    assert page.context.cookies() == []
    # The browser itself tells of every 401; nothing else was said.
    assert [told for told in visitor.complaints if "401" not in told] == []
    visitor.complaints.clear()


def test_signing_in_leads_to_the_page_asked_for_and_leaves_a_cookie_that_scripts_cannot_read(visitor: Watched) -> None:
    page = visitor.open("/scans?state=rejected")
    page.get_by_label("API key").fill(visitor.console.reader)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{visitor.console.url}/scans?state=rejected")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/console")
    assert visitor.console.reader not in cookie["value"]
    assert page.evaluate("document.cookie") == ""


def test_the_keyboard_alone_is_enough_to_sign_in_and_to_reach_the_content(visitor: Watched) -> None:
    page = visitor.open("")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(visitor.console.admin)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Feed", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_session_ends_with_sign_out_and_with_its_key(visitor: Watched) -> None:
    keys = ApiKeys(visitor.console.up.database)
    made = keys.create("leaver", [Scope.READ])
    page = visitor.sign_in(made.key)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status").first).to_have_text("You are signed out.")
    visitor.open("/bundles")
    expect(page).to_have_url(re.compile("/console/sign-in"))
    visitor.sign_in(made.key)
    keys.revoke(made.id)
    visitor.open("/bundles")
    expect(page).to_have_url(re.compile("/console/sign-in"))


def test_a_dropped_image_gets_its_verdict_and_its_heatmap(admin: Page, visitor: Watched, tmp_path: Path) -> None:
    (dream,) = ai_pictures(1)
    picture = tmp_path / "dropped.jpg"
    picture.write_bytes(dream.data)
    visitor.open("/policies")
    # Uploads through the API have a source of their own; nearly all of them may be accused now.
    admin.get_by_label("Source 2", exact=True).fill("uploads/api")
    admin.get_by_label("May be accused in source 2, percent").fill("98")
    admin.get_by_role("button", name="Make it count").click()
    expect(admin.get_by_role("status").first).to_contain_text("The new policy counts")
    visitor.open("/drop")
    admin.set_input_files("#file", picture)
    row = admin.get_by_role("listitem").filter(has_text="dropped.jpg")
    expect(row.locator(".pill")).to_have_text("AI-generated")
    row.get_by_role("link", name="Evidence").click()
    expect(admin.get_by_role("region", name="Verdict", exact=True)).to_contain_text(
        "calibrated probability of AI-generated"
    )
    heatmap = admin.get_by_role("img", name="Heatmap of ConvNeXt")
    expect(heatmap).to_be_hidden()
    admin.get_by_text("ConvNeXt", exact=True).first.click()
    expect(heatmap).to_be_visible()
    assert heatmap.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    admin.get_by_label("Opacity").fill("40")
    expect(heatmap).to_have_css("opacity", "0.4")


def test_heatmaps_of_an_image_that_was_not_flagged_are_drawn_when_asked_for(admin: Page, console: Console) -> None:
    image_page(console, admin, console.unflagged)
    expect(admin.get_by_role("group", name="Heatmap")).to_have_count(0)
    admin.get_by_role("button", name="Draw heatmaps").click()
    admin.get_by_role("radio", name="CLIP").check(force=True)
    expect(admin.get_by_role("img", name="Heatmap of CLIP")).to_be_visible()
    expect(admin.locator("#announce")).to_contain_text("with heatmaps")


def test_images_that_look_alike_are_shown(admin: Page, console: Console) -> None:
    image_page(console, admin, console.unflagged)
    alike = admin.get_by_role("region", name="Looks alike")
    expect(alike.get_by_role("listitem").first).to_contain_text("the very same file")


def test_what_is_no_image_is_refused_with_its_reason(admin: Page, visitor: Watched, tmp_path: Path) -> None:
    page = tmp_path / "page.jpg"
    page.write_text("<html>This is no image.</html>")
    visitor.open("/drop")
    admin.set_input_files("#file", page)
    row = admin.get_by_role("listitem").filter(has_text="page.jpg")
    expect(row).to_contain_text("no image of a type that Assay knows")
    assert [told for told in visitor.complaints if "415" not in told] == []
    visitor.complaints.clear()


def test_the_feed_shows_an_image_that_lands_in_the_bucket_by_itself(admin: Page, console: Console) -> None:
    admin.goto(console.url)
    console.up.put("feed/just landed.jpg", photographs()[3].data)
    card = admin.get_by_role("listitem").filter(has_text="feed/just landed.jpg")
    expect(card).to_be_visible()
    expect(admin.locator("#announce")).to_contain_text("verdicts shown")


def test_the_feed_is_searched_by_verdict_and_probability(admin: Page, console: Console) -> None:
    admin.goto(console.url)
    admin.get_by_label("Verdict").select_option("ai_generated")
    expect(admin).to_have_url(f"{console.url}?verdict=ai_generated")
    assert set(admin.locator(".card .pill").all_inner_texts()) == {"AI-generated"}
    admin.get_by_label("At least").fill("99.99")
    admin.get_by_label("At most").fill("100")
    admin.get_by_role("button", name="Apply").click()
    expect(admin.get_by_role("heading", name="Nothing matches")).to_be_visible()
    admin.get_by_role("link", name="Clear the filters").click()
    expect(admin.locator(".card").first).to_be_visible()


def test_an_unknown_id_is_told_so(admin: Page, visitor: Watched) -> None:
    admin.get_by_role("searchbox", name="Image id").fill("nobody has/this id")
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("heading", name="No image of this id")).to_be_visible()
    assert [told for told in visitor.complaints if "404" not in told] == []
    visitor.complaints.clear()


def test_a_moderators_verdict_is_served_at_once_and_stands_in_the_history(visitor: Watched) -> None:
    page = visitor.sign_in(visitor.console.reviewer)
    image_page(visitor.console, page, visitor.console.flagged)
    page.get_by_role("radio", name="Not AI-generated").check()
    page.get_by_label("Reason").fill("Taken by our own photographer")
    # Nobody names a reviewer here: the key that signed in is the reviewer.
    expect(page.get_by_label("Reviewer")).to_have_count(0)
    page.get_by_role("button", name="Save verdict").click()
    expect(page.get_by_role("status").first).to_contain_text("served from now on")
    verdict = page.get_by_role("region", name="Verdict", exact=True)
    expect(verdict).to_contain_text("Not AI-generated")
    expect(verdict).to_contain_text("Decided by moderator")
    history = page.get_by_role("region", name="History", exact=True).get_by_role("row")
    expect(history.nth(1)).to_contain_text("Taken by our own photographer")
    expect(history.nth(2)).to_contain_text("AI-generated")
    expect(page.get_by_role("heading", name="Erase")).to_have_count(0)


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
    assert [told for told in visitor.complaints if "409" not in told] == []
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


def test_an_image_is_erased_once_its_id_is_typed(admin: Page, visitor: Watched) -> None:
    visitor.console.up.put("feed/of a minor.jpg", photographs()[2].data)
    visitor.console.up.wait_ended(["feed/of a minor.jpg"], 60)
    image_page(visitor.console, admin, "feed/of a minor.jpg")
    admin.get_by_text("Erase this image …").click()
    admin.get_by_label("Type the image's id to confirm").fill("feed/of a minor.jpg")
    admin.get_by_role("button", name="Erase for good").click()
    expect(admin.get_by_role("status").first).to_contain_text("The image was erased")
    expect(admin.get_by_role("listitem").filter(has_text="of a minor")).to_have_count(0)


def test_a_read_key_sees_everything_and_has_no_buttons(visitor: Watched) -> None:
    page = visitor.sign_in(visitor.console.reader)
    navigation = page.get_by_role("navigation", name="Console")
    expect(navigation.get_by_role("link", name="Bundles")).to_be_visible()
    for hidden in ("Drop an image", "Keys", "Webhooks", "Audit trail"):
        expect(navigation.get_by_role("link", name=hidden)).to_have_count(0)
    image_page(visitor.console, page, visitor.console.flagged)
    expect(page.get_by_role("button", name="Save verdict")).to_have_count(0)
    expect(page.get_by_text("Erase this image …")).to_have_count(0)
    visitor.open(f"/bundles/one?version={visitor.console.challenger}")
    expect(page.get_by_text("Promote …")).to_have_count(0)
    visitor.open("/training")
    expect(page.get_by_role("button", name="Start the run")).to_have_count(0)


def test_colours_are_switched_by_hand_and_stay_so(admin: Page, visitor: Watched) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = admin.evaluate(ground)
    admin.get_by_role("button", name="Dark colours").click()
    dark = admin.evaluate(ground)
    assert dark != light
    visitor.open("/bundles")
    assert admin.evaluate(ground) == dark


def test_a_phone_has_the_navigation_behind_a_button(contexts: Callable[..., BrowserContext], console: Console) -> None:
    watched = Watched(contexts(viewport={"width": 390, "height": 844}, has_touch=True).new_page(), console)
    page = watched.sign_in(console.admin)
    navigation = page.get_by_role("navigation", name="Console")
    expect(navigation).to_be_hidden()
    page.get_by_role("button", name="Menu").tap()
    expect(navigation).to_be_visible()
    page.keyboard.press("Escape")
    expect(navigation).to_be_hidden()
    page.get_by_role("button", name="Menu").tap()
    navigation.get_by_role("link", name="Scans").tap()
    expect(page.get_by_role("heading", name="Scans", level=1)).to_be_visible()
    assert watched.complaints == []
