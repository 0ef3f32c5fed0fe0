import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.console import Console

from infra.cli.demo_report import outcome_rows, outcome_table, totals
from infra.demo_images import DemoImage
from infra.stack import Doors
from worker.database.outcomes import Outcome

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
DOORS = Doors("http://127.0.0.1:8080", "http://127.0.0.1:5555", "assay:password", "key")


@dataclass(frozen=True)
class Sent:
    image: DemoImage
    at: datetime = AT


def outcome(**changes: object) -> Outcome:
    plain: dict[str, object] = {
        "key": "demo/a.jpg",
        "image_id": "demo/a.jpg",
        "state": "completed",
        "reason": None,
        "detail": None,
        "attempts": 0,
        "lease_expiries": 0,
        "timings": {},
        "created_at": AT,
        "ended_at": AT + timedelta(milliseconds=1234),
        "verdict": "ai_generated",
        "probability": 0.98765,
        "detectors": {"clip": {"logit": 1.0, "probability": 0.7}, "convnext": {"logit": 2.0, "probability": 0.9}},
        "heatmaps": {"clip": "heatmaps/1/b/clip.png"},
    }
    return Outcome(**{**plain, **changes})  # type: ignore[arg-type]


GOOD = (Sent(DemoImage("a.jpg", b"", "photograph")), outcome())
REJECTED = (
    Sent(DemoImage("b.jpg", b"", "no image")),
    outcome(state="rejected", reason="unsupported_type", verdict=None, probability=None, detectors={}, heatmaps={}),
)
PENDING = (Sent(DemoImage("c [old].jpg", b"", "")), None)


def test_the_table_says_what_the_file_itself_decided() -> None:
    rows = outcome_rows([(Sent(DemoImage("d.jpg", b"", "AI-generated")), outcome(decided_by="declared"))])
    console = Console(width=200, record=True, quiet=False, file=io.StringIO())
    console.print(outcome_table(rows))
    assert "ai_generated (declared)" in console.export_text()


def test_a_row_counts_milliseconds_from_the_put_to_the_end() -> None:
    assert outcome_rows([GOOD])[0]["ms"] == 1234


def test_the_table_shows_verdict_detectors_heatmap_and_reason() -> None:
    console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(outcome_table(outcome_rows([GOOD, REJECTED, PENDING])))
    console.file.close()
    printed = console.export_text()
    for expected in ("ai_generated", "0.988", "0.700", "0.900", "heatmaps/1/b/clip.png", "1234"):
        assert expected in printed
    assert "rejected (unsupported_type)" in printed
    assert "pending" in printed
    assert "c [old].jpg" in printed
    assert "ask for an image by its id, such as demo/a.jpg" in printed


def test_detectors_without_a_vote_come_last_and_another_s_heatmap_is_shown() -> None:
    detectors = {
        "clip": {"logit": 5.0, "probability": 0.99, "weight": 0.0},
        "lite2": {"logit": 2.0, "probability": 0.9, "weight": 0.5},
    }
    maps = {"clip": "heatmaps/1/b/clip.png", "lite2": "heatmaps/1/b/lite2.png"}
    sent = Sent(DemoImage("a.jpg", b"", "photograph"))
    table = outcome_table(outcome_rows([(sent, outcome(detectors=detectors, heatmaps=maps))]))
    assert [column.header for column in table.columns][4:7] == ["lite2", "(clip)", "heatmap"]
    assert list(table.columns[6].cells) == ["heatmaps/1/b/lite2.png"]
    assert "detectors in brackets have no vote" in str(table.caption)


def test_a_table_without_an_outcome_names_no_id() -> None:
    assert outcome_table(outcome_rows([PENDING])).caption is None


def test_the_totals_count_every_kind_of_end() -> None:
    line = totals([GOOD, REJECTED, PENDING], DOORS, stays_up=True)
    assert line.startswith("3 images: 1 ai_generated, 1 rejected, 1 pending")
    assert "password" not in line


def test_addresses_that_nothing_answers_at_any_more_are_not_offered_without_a_word() -> None:
    up, down = (totals([GOOD], DOORS, stays_up=stays).splitlines()[1] for stays in (True, False))
    assert up.startswith("console http://127.0.0.1:8080")
    assert down.startswith("`make up` keeps it up, with these images in it: console http://127.0.0.1:8080")
