"""Labels reach every image of the same bytes, and train once reviewers agree; the audit slice never does."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text

from tests.integration.api.conftest import Rows
from worker.database import label_pages
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.label_agreement import LabelledContents, LabelState, LabelTerms, exact_interval
from worker.database.label_pages import LabelPages
from worker.database.labels import Labels
from worker.database.served import Queries
from worker.database.session import Database
from worker.database.tables import Label, LabelValue, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration

ME = Actor("me")
AI, NOT_AI = LabelValue.AI_GENERATED, LabelValue.NOT_AI_GENERATED
SAME = "ab" * 32
IN_AUDIT, NOT_IN_AUDIT = "f" * 56 + "00000001", "0" * 56 + "ffffffff"


def say(database: Database, image_id: str, value: LabelValue, reviewer: str = "maria") -> int:
    """Label an image; return how many others it reached."""
    given = Labels(database).add(ME, image_id, value, reviewer=reviewer, reason="seen")
    assert given is not None
    return given.duplicates


def served(database: Database, image_id: str) -> tuple[str, str]:
    found = Queries(database).served(image_id)
    assert found is not None
    assert found.verdict is not None
    return found.verdict.verdict, found.verdict.decided_by


def test_a_label_reaches_images_of_the_same_bytes_at_once(database: Database, rows: Rows) -> None:
    for image_id, sha in (("a", SAME), ("b", SAME), ("other", "cd" * 32)):
        rows.verdict(rows.image(image_id, sha256=sha))
    assert say(database, "a", AI) == 1
    assert served(database, "a") == served(database, "b") == (AI, DecidedBy.HUMAN)
    assert served(database, "other") == (VerdictValue.UNCERTAIN, DecidedBy.MACHINE)
    copies = Labels(database).of("b", limit=9) or []
    assert [(copy.reviewer, copy.reason, copy.of_duplicate) for copy in copies] == [("maria", "seen", True)]


def test_an_image_whose_bytes_become_known_later_inherits_what_people_say(database: Database, rows: Rows) -> None:
    rows.image("first", sha256=SAME)
    say(database, "first", NOT_AI)
    say(database, "first", AI, "ali")
    late = rows.image("late")
    rows.verdict(late)
    with database.transaction() as session:
        session.execute(text("UPDATE image SET sha256 = :sha WHERE id = :id"), {"sha": SAME, "id": late})
        session.execute(text("UPDATE image SET sha256 = :sha WHERE id = :id"), {"sha": SAME, "id": late})
    assert served(database, "late") == (AI, DecidedBy.HUMAN)
    assert len(Labels(database).of("late", limit=9) or []) == 2


def test_an_erased_image_neither_gets_nor_hands_on_labels(database: Database, rows: Rows) -> None:
    rows.image("gone", sha256=SAME)
    rows.image("stays", sha256=SAME)
    say(database, "gone", AI)
    Erasure(database, "artifacts").erase(ME, "gone")
    assert say(database, "stays", NOT_AI, "ali") == 0
    with database.transaction() as session:
        assert {label.reviewer for label in session.scalars(select(Label))} == {"maria", "ali"}
        erased = session.scalars(select(Verdict).where(Verdict.reviewer.is_(None))).all()
    assert [verdict.decided_by for verdict in erased] == [DecidedBy.HUMAN]
    Erasure(database, "artifacts").erase(ME, "stays")
    rows.image("new", sha256=SAME)
    assert Labels(database).of("new", limit=9) == []


def test_a_label_and_a_duplicate_that_come_at_the_same_moment_find_each_other(
    database: Database, rows: Rows, together: Callable[..., list[Any]]
) -> None:
    for turn in range(8):
        sha = f"{turn:064x}"
        rows.image(f"old-{turn}", sha256=sha)
        new = rows.image(f"new-{turn}")

        def learn(new: int = new, sha: str = sha) -> None:
            with database.transaction() as session:
                session.execute(text("UPDATE image SET sha256 = :sha WHERE id = :id"), {"sha": sha, "id": new})

        together(learn, lambda turn=turn: say(database, f"old-{turn}", AI))
        assert [label.label for label in Labels(database).of(f"new-{turn}", limit=9) or []] == [AI]


@pytest.mark.parametrize(
    ("opinions", "state", "label"),
    [
        ([("maria", AI)], LabelState.QUARANTINED, None),
        ([("maria", AI), ("maria", AI)], LabelState.QUARANTINED, None),
        ([("maria", AI), ("Maria ", AI)], LabelState.QUARANTINED, None),
        ([("maria", AI), ("ali", AI)], LabelState.AGREED, AI),
        ([("maria", AI), ("ali", NOT_AI)], LabelState.DISPUTED, None),
        ([("maria", AI), ("ali", AI), ("eve", NOT_AI)], LabelState.DISPUTED, None),
        ([("maria", AI), ("ali", NOT_AI), ("maria", NOT_AI)], LabelState.AGREED, NOT_AI),
    ],
)
def test_a_content_trains_once_two_reviewers_agree_and_none_disagrees(
    database: Database, rows: Rows, opinions: list[tuple[str, LabelValue]], state: LabelState, label: LabelValue | None
) -> None:
    rows.image("cat", sha256=SAME)
    for reviewer, value in opinions:
        say(database, "cat", value, reviewer)
    contents = LabelPages(database, LabelTerms(2, 0.02))
    (standing,) = contents.page(limit=9).items
    assert (standing.state, standing.label) == (state, label)
    assert [other for other in LabelState if contents.page(limit=9, state=other).items] == [state]


def test_reviewers_of_different_copies_speak_of_one_content(database: Database, rows: Rows) -> None:
    rows.image("a", sha256=SAME)
    rows.image("b", sha256=SAME)
    say(database, "a", AI, "maria")
    say(database, "b", AI, "ali")
    (standing,) = LabelPages(database, LabelTerms()).page(limit=9).items
    assert (standing.state, standing.ai_generated) == (LabelState.AGREED, 2)


def test_a_copy_that_comes_later_makes_no_content_newly_labelled(database: Database, rows: Rows) -> None:
    rows.image("first", sha256=SAME)
    rows.image("other", sha256="cd" * 32)
    say(database, "first", AI)
    say(database, "other", AI)
    contents = LabelPages(database, LabelTerms(1))
    before = {standing.image.sha256: standing.newest_id for standing in contents.page(limit=9).items}
    rows.image("copy", sha256=SAME)
    after = {standing.image.sha256: standing.newest_id for standing in contents.page(limit=9).items}
    assert after == before
    Erasure(database, "artifacts").erase(ME, "first")
    (_, kept) = sorted(contents.page(limit=9).items, key=lambda standing: standing.image.image_id, reverse=True)
    assert (kept.image.image_id, kept.label) == ("copy", AI)


def test_contents_are_listed_page_by_page(database: Database, rows: Rows) -> None:
    for name in "abc":
        rows.image(name, sha256=name * 64)
        say(database, name, AI)
    say(database, "a", AI, "ali")
    contents = LabelPages(database, LabelTerms(1))
    first = contents.page(limit=2)
    rest = contents.page(limit=2, before=first.before)
    assert [standing.image.image_id for standing in (*first.items, *rest.items)] == ["a", "c", "b"]
    assert (rest.before, contents.page(limit=3).before) == (None, None)


def test_every_content_is_listed_once_however_few_labels_a_step_looks_at(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_pages, "_FIRST_STEP", 1)
    monkeypatch.setattr(label_pages, "_STEP", 2)
    monkeypatch.setattr(label_pages, "_MOST_EXAMINED", 4)
    for number in range(6):
        rows.image(f"{number}", sha256=f"{number}" * 64)
        for reviewer in ("maria", "ali", "eve"):
            say(database, f"{number}", NOT_AI if (number, reviewer) == (0, "eve") else AI, reviewer)
    contents = LabelPages(database, LabelTerms(2))

    def all_of(**wanted: Any) -> tuple[list[str], int]:
        page, listed, pages = contents.page(limit=1, **wanted), [], 1
        listed += [standing.image.image_id for standing in page.items]
        while page.before is not None:
            page, pages = contents.page(limit=1, before=page.before, **wanted), pages + 1
            listed += [standing.image.image_id for standing in page.items]
        return listed, pages

    assert all_of()[0] == ["5", "4", "3", "2", "1", "0"]
    listed, pages = all_of(state=LabelState.DISPUTED)
    assert listed == ["0"]
    assert pages > 2


def test_rates_come_from_the_audit_slice_alone(database: Database, rows: Rows) -> None:
    accused = rows.image("accused", sha256=IN_AUDIT)
    rows.verdict(accused, verdict=VerdictValue.AI_GENERATED)
    elsewhere = rows.image("elsewhere", sha256=NOT_IN_AUDIT)
    rows.verdict(elsewhere, verdict=VerdictValue.AI_GENERATED)
    rows.image("nobody-looked", sha256="f" * 56 + "00000002")
    for image_id in ("accused", "elsewhere"):
        say(database, image_id, NOT_AI)
    contents = LabelledContents(database, LabelTerms(1, 0.02))
    rates = contents.rates()
    assert (rates["contents"], rates["labelled"]) == (2, 1)
    assert rates["overall"]["not_ai_generated"]["wrongly_accused"] == 1.0
    assert rates["overall"]["ai_generated"]["images"] == 0
    assert rates["by_source"].keys() == {"s"}
    listed = LabelPages(database, LabelTerms(1, 0.02)).page(limit=9, audit=True).items
    assert [standing.image.image_id for standing in listed] == ["accused"]
    assert [image.image_id for _, image in contents.unlabelled(limit=9)] == ["nobody-looked"]
    assert LabelledContents(database, LabelTerms(1, 0.0)).rates()["contents"] == 0


@pytest.mark.parametrize("decided_by", [DecidedBy.DECLARED, DecidedBy.PROVENANCE])
def test_rates_are_of_verdicts_that_pixels_decided(database: Database, rows: Rows, decided_by: DecidedBy) -> None:
    rows.verdict(rows.image("declared", sha256=IN_AUDIT), decided_by, verdict=VerdictValue.AI_GENERATED)
    say(database, "declared", NOT_AI)
    rates = LabelledContents(database, LabelTerms(1, 0.02)).rates()
    assert rates["overall"]["not_ai_generated"]["images"] == 0


def test_the_interval_of_a_rate_is_the_exact_one() -> None:
    # As scipy gives it for 3 in 100.
    assert exact_interval(3, 100) == pytest.approx((0.006229972, 0.085176053), abs=1e-6)
