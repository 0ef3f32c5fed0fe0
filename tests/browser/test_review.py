"""The review desk in a real browser: by keyboard alone, two at once, undo."""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import BitString

from tests.browser.conftest import Console, Watched
from tests.support.assay_up import wait_until
from worker.database.api_keys import ApiKeys, Scope
from worker.database.tables import Image, Label, Verdict
from worker.decisions.near_hashes import bands_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MANY = 50


@dataclass(frozen=True)
class Waiting:
    """Images that wait for a person.

    Attributes:
        source: a source that has nothing else.
        names: their image ids.
    """

    source: str
    names: set[str]


@pytest.fixture
def waiting(console: Console) -> Iterator[Waiting]:
    """Fifty images that wait for a person; they are the same picture under fifty ids."""
    # A label stands for ever, so each test brings images of its own.
    source = f"review-{uuid.uuid4().hex[:8]}"
    names = {f"{source}/{number}.jpg" for number in range(MANY)}
    with console.up.database.transaction() as session:
        image = session.scalars(select(Image).where(Image.image_id == console.unflagged)).first()
        verdict = session.scalars(select(Verdict).where(Verdict.bundle_version.is_not(None))).first()
        assert image is not None
        assert verdict is not None
        session.execute(text("DELETE FROM review_item"))
        for name in names:
            # A sha256 of its own, or one label would reach all of them.
            copy = Image(image_id=name, source=source, bucket=image.bucket, key=image.key, version=image.version + name)
            copy.versioned, copy.width, copy.height = image.versioned, image.width, image.height
            session.add(copy)
            session.flush()
            session.add(
                Verdict(
                    image_pk=copy.id,
                    verdict="uncertain",
                    decided_by="machine",
                    probability=0.5,
                    lower_threshold=0.2,
                    upper_threshold=0.8,
                    detectors={"clip": {"logit": 0.0, "probability": 0.5}},
                    provenance={},
                    bundle_version=verdict.bundle_version,
                    policy_version=verdict.policy_version,
                )
            )
    yield Waiting(source, names)
    with console.up.database.transaction() as session:
        session.execute(text("DELETE FROM review_item"))


def reviewer(contexts: Callable[..., BrowserContext], console: Console, name: str, waiting: Waiting) -> Page:
    """Somebody at the desk with a key of their own."""
    watched = Watched(contexts(viewport={"width": 1440, "height": 900}).new_page(), console)
    watched.sign_in(ApiKeys(console.up.database).create(name, [Scope.READ, Scope.REVIEW]).key)
    return watched.open(f"/review?source={waiting.source}")


def reasons(console: Console, waiting: Waiting) -> list[str]:
    """Reasons of the labels, the earliest first."""
    with console.up.database.transaction() as session:
        rows = select(Label.reason).join(Image).where(Image.source == waiting.source).order_by(Label.id)
        return list(session.scalars(rows))


def labels(console: Console, waiting: Waiting) -> list[tuple[str, str, str]]:
    """Who said what of which image."""
    with console.up.database.transaction() as session:
        rows = session.execute(
            text(
                "SELECT image_id, label, reviewer FROM label JOIN image ON image.id = image_pk "
                "WHERE image.source = :source ORDER BY label.id"
            ),
            {"source": waiting.source},
        )
        return [(row.image_id, row.label, row.reviewer) for row in rows]


def test_a_moderator_clears_fifty_images_by_keyboard_alone(
    contexts: Callable[..., BrowserContext], console: Console, waiting: Waiting
) -> None:
    page = reviewer(contexts, console, "anna", waiting)
    shown = page.locator("#page")
    seen: set[str] = set()
    for number in range(MANY):
        expect(shown).to_have_text(re.compile(r"review-\w+/\d+\.jpg"))
        name = shown.text_content() or ""
        assert name not in seen
        seen.add(name)
        page.keyboard.press(str(number % 7 + 1))
        page.keyboard.press("a" if number % 2 else "n")
        if number < MANY - 1:
            expect(shown).not_to_have_text(name)
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    assert seen == waiting.names
    expect(page.locator('[data-figure="own"]')).to_have_text(str(MANY))
    given = labels(console, waiting)
    assert {name for name, _, _ in given} == waiting.names
    assert {who for _, _, who in given} == {"anna"}


def test_two_moderators_never_meet(contexts: Callable[..., BrowserContext], console: Console, waiting: Waiting) -> None:
    anna, ben = (reviewer(contexts, console, name, waiting) for name in ("anna-2", "ben-2"))
    seen: dict[str, set[str]] = {"anna": set(), "ben": set()}
    for _ in range(6):
        for name, page in (("anna", anna), ("ben", ben)):
            shown = page.locator("#page")
            expect(shown).to_have_text(re.compile("review-"))
            before = shown.text_content() or ""
            seen[name].add(before)
            page.keyboard.press("n")
            expect(shown).not_to_have_text(before)
    assert len(seen["anna"]) == len(seen["ben"]) == 6
    assert seen["anna"] & seen["ben"] == set()
    assert seen["anna"] | seen["ben"] <= waiting.names


def test_the_last_decision_can_be_undone_before_it_is_served(
    contexts: Callable[..., BrowserContext], console: Console, waiting: Waiting
) -> None:
    page = reviewer(contexts, console, "careful", waiting)
    shown = page.locator("#page")
    expect(shown).to_have_text(re.compile("review-"))
    name = shown.text_content() or ""
    page.keyboard.press("a")
    expect(shown).not_to_have_text(name)
    page.keyboard.press("z")
    expect(shown).to_have_text(name)
    page.keyboard.press("n")
    expect(shown).not_to_have_text(name)
    page.keyboard.press("s")
    expect(page.locator('[data-figure="own"]')).to_have_text("1")
    assert labels(console, waiting) == [(name, "not_ai_generated", "careful")]


def test_what_was_decided_last_is_saved_when_the_page_is_left(
    contexts: Callable[..., BrowserContext], console: Console, waiting: Waiting
) -> None:
    page = reviewer(contexts, console, "leaver-2", waiting)
    expect(page.locator("#page")).to_have_text(re.compile("review-"))
    page.keyboard.press("a")
    page.goto(console.url)
    expect(page.get_by_role("heading", name="Feed", level=1)).to_be_visible()
    page.goto(f"{console.url}/review?source={waiting.source}")
    expect(page.locator('[data-figure="own"]')).to_have_text("1")
    assert len(labels(console, waiting)) == 1


@pytest.fixture
def unclaimed(console: Console) -> None:
    """Take back what earlier tests' reviewers hold, for there are but two appeals."""
    with console.up.database.transaction() as session:
        session.execute(text("DELETE FROM review_item"))


@pytest.mark.usefixtures("unclaimed")
def test_a_flagged_image_shows_its_heatmap_and_what_the_colours_mean(
    contexts: Callable[..., BrowserContext], console: Console
) -> None:
    watched = Watched(contexts(viewport={"width": 1440, "height": 900}).new_page(), console)
    watched.sign_in(ApiKeys(console.up.database).create("heated", [Scope.READ, Scope.REVIEW]).key)
    page = watched.open("/review?order=appeals")
    heatmap = page.get_by_role("img", name=re.compile("^Heatmap of "))
    expect(heatmap).to_be_visible()
    expect(page.get_by_text("most evidence of this image")).to_be_visible()
    for _ in range(6):  # past the last detector's
        if heatmap.count():
            page.keyboard.press("h")
    expect(heatmap).to_have_count(0)
    expect(page.get_by_text("most evidence of this image")).to_be_hidden()


_HEATMAP = re.compile("/heatmap[?/]")


@pytest.mark.usefixtures("unclaimed")
def test_a_heatmap_that_does_not_come_hides_no_picture(
    contexts: Callable[..., BrowserContext], console: Console
) -> None:
    page = contexts(viewport={"width": 1440, "height": 900}).new_page()
    page.route(_HEATMAP, lambda route: route.fulfill(status=503))
    Watched(page, console).sign_in(ApiKeys(console.up.database).create("unheated", [Scope.READ, Scope.REVIEW]).key)
    with page.expect_response(_HEATMAP):
        page.goto(f"{console.url}/review?order=appeals")
    expect(page.get_by_role("img", name=re.compile("^Heatmap of "))).to_have_count(0)
    expect(page.locator(".frame.broken")).to_have_count(0)
    expect(page.locator("#picture")).to_be_visible()


def test_f_frames_the_crops_that_the_next_detector_looked_at(
    contexts: Callable[..., BrowserContext], console: Console, waiting: Waiting
) -> None:
    page = reviewer(contexts, console, "framer", waiting)
    expect(page.locator("#page")).to_have_text(re.compile("review-"))
    page.keyboard.press("f")
    frames = page.get_by_role("img", name="Crops that CLIP looked at")
    expect(frames).to_be_visible()
    assert frames.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    expect(page.get_by_text("CLIP looked at 3 crops of 64")).to_be_visible()
    expect(page.get_by_role("button", name="Crops")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("f")
    expect(frames).to_have_count(0)


def test_look_alikes_are_labelled_at_once_after_a_preview(
    contexts: Callable[..., BrowserContext], console: Console, waiting: Waiting
) -> None:
    bits = "01" * 128
    with console.up.database.transaction() as session:
        images = session.scalars(select(Image).where(Image.source == waiting.source).order_by(Image.id).limit(4)).all()
        for image in images:
            image.pdq, image.pdq_bands = BitString(bits), bands_of(bits)
        names = {image.image_id for image in images}
    page = reviewer(contexts, console, "bulk", waiting)
    expect(page.locator("#page")).to_have_text(re.compile("review-"))
    page.goto(f"{console.url}/review/alike?id={min(names)}")
    expect(page.locator("input[name=image]")).to_have_count(4)
    page.get_by_label(re.compile(re.escape(max(names)))).uncheck()
    page.get_by_role("radio", name="AI-generated", exact=True).check()
    page.get_by_label("Reason").fill("one prompt")
    page.get_by_role("button", name="Preview what changes").click()
    expect(page.get_by_role("heading", name="What changes")).to_be_visible()
    assert labels(console, waiting) == []
    page.get_by_role("button", name="Label 3 images").click()
    expect(page.get_by_text("Your verdict is served for all of them")).to_be_visible()
    assert {(name, value) for name, value, _ in labels(console, waiting)} == {
        (name, "ai_generated") for name in names - {max(names)}
    }


def test_who_is_signed_out_in_the_middle_loses_nothing(
    contexts: Callable[..., BrowserContext], console: Console, waiting: Waiting
) -> None:
    key = ApiKeys(console.up.database).create("interrupted", [Scope.READ, Scope.REVIEW]).key
    watched = Watched(contexts(viewport={"width": 1440, "height": 900}).new_page(), console)
    watched.sign_in(key)
    page = watched.open(f"/review?source={waiting.source}")
    shown = page.locator("#page")
    expect(shown).to_have_text(re.compile("review-"))
    name = shown.text_content() or ""
    page.keyboard.press("a")
    expect(shown).not_to_have_text(name)
    with console.up.database.transaction() as session:
        session.execute(text("UPDATE console_session SET expires_at = now()"))
    page.get_by_label("Another reason").fill("half a thought")
    page.keyboard.press("Tab")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_label("Another reason")).to_have_value("half a thought")
    expect(page.locator('[data-figure="own"]')).to_have_text("1")
    assert [label[:2] for label in labels(console, waiting)] == [(name, "ai_generated")]


def test_a_reason_is_what_the_moderator_chose_for_this_image_or_none_in_particular(
    contexts: Callable[..., BrowserContext], console: Console, waiting: Waiting
) -> None:
    page = reviewer(contexts, console, "dora", waiting)
    shown = page.locator("#page")
    for keys in ("n", "2a", "n"):
        expect(shown).to_have_text(re.compile(r"review-\w+/\d+\.jpg"))
        name = shown.text_content() or ""
        for key in keys:
            page.keyboard.press(key)
        expect(shown).not_to_have_text(name)

    by_eye = "By eye, without a particular reason"

    def written() -> bool:
        return reasons(console, waiting) == [by_eye, "Text or signs are garbled", by_eye]

    wait_until(written, 30, "three labels")
