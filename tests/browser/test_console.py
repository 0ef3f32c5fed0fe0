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
    assert [complaint for complaint in visitor.complaints if "401" not in complaint] == []
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
    expect(page.get_by_role("link", name="Sign in with your account")).to_be_focused()
    page.keyboard.press("Tab")
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
    (dream,) = ai_pictures(1, 256)
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
    # What was flagged shows where, without being asked.
    group = admin.get_by_role("group", name="Heatmap")
    group.get_by_text("Off", exact=True).click()
    expect(heatmap).to_be_hidden()
    group.get_by_text("ConvNeXt", exact=True).click()
    expect(heatmap).to_be_visible()
    assert heatmap.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    admin.get_by_label("Opacity").fill("40")
    expect(heatmap).to_have_css("opacity", "0.4")
    admin.get_by_label("Before / after").fill("30")
    expect(heatmap).to_have_css("clip-path", "inset(0px 70% 0px 0px)")
    expect(admin.get_by_role("region", name="Verdict", exact=True)).to_contain_text(
        "photographs in 100 would be accused"
    )


def test_heatmaps_of_an_image_that_was_not_flagged_are_drawn_when_asked_for(admin: Page, console: Console) -> None:
    image_page(console, admin, console.unflagged)
    expect(admin.get_by_role("group", name="Heatmap")).to_have_count(0)
    admin.get_by_role("button", name="Draw heatmaps").click()
    admin.get_by_role("group", name="Heatmap").get_by_role("radio", name="CLIP").check(force=True)
    expect(admin.get_by_role("img", name="Heatmap of CLIP")).to_be_visible()
    expect(admin.locator("#announce")).to_contain_text("with heatmaps")


def test_the_crops_that_a_detector_looked_at_are_framed_on_the_picture(admin: Page, console: Console) -> None:
    image_page(console, admin, console.flagged)
    frames = admin.get_by_role("img", name="Crops that ConvNeXt looked at")
    expect(frames).to_be_hidden()
    group = admin.get_by_role("group", name="Crops")
    group.get_by_role("radio", name="ConvNeXt").check(force=True)
    expect(frames).to_be_visible()
    assert frames.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    picture = admin.get_by_role("img", name=f"The image {console.flagged}")
    assert frames.evaluate("image => image.naturalWidth") == picture.evaluate("image => image.naturalWidth")
    expect(admin.get_by_text("ConvNeXt looked at 3 crops of 64")).to_be_visible()
    group.get_by_role("radio", name="Off").check(force=True)
    expect(frames).to_be_hidden()


def test_the_feed_shows_small_pictures_that_are_made_when_somebody_looks(admin: Page, console: Console) -> None:
    admin.goto(f"{console.url}?source=uploads%2Ffeed")
    thumbnail = admin.locator(".card img").first
    expect(thumbnail).to_have_js_property("complete", value=True)
    admin.wait_for_function(
        "() => [...document.querySelectorAll('.card img')].slice(0, 4).every((i) => i.naturalWidth > 0)"
    )
    address = thumbnail.evaluate("image => image.src")
    answer = admin.request.get(address)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/webp")


def test_a_picture_that_the_browser_cannot_show_gives_way_to_its_thumbnail(
    admin: Page, visitor: Watched, console: Console
) -> None:
    admin.route("**/console/picture**", lambda route: route.fulfill(body=b"no picture", content_type="image/avif"))
    image_page(console, admin, console.unflagged)
    admin.wait_for_function("() => document.querySelector('.frame .base').src.includes('/console/thumbnail')")
    admin.wait_for_function("() => document.querySelector('.frame .base').naturalWidth > 0")
    assert visitor.complaints == []


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
    assert [complaint for complaint in visitor.complaints if "415" not in complaint] == []
    visitor.complaints.clear()


def test_the_feed_shows_an_image_that_lands_in_the_bucket_by_itself(admin: Page, console: Console) -> None:
    admin.goto(console.url)
    console.up.put("feed/just landed.jpg", photographs()[3].data)
    card = admin.get_by_role("listitem").filter(has_text="feed/just landed.jpg")
    expect(card).to_be_visible()
    expect(admin.locator("#announce")).to_contain_text("images shown")


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
    assert [complaint for complaint in visitor.complaints if "404" not in complaint] == []
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
