"""CONTRIBUTING's table of ten changes is true: each place is there, the counts fit, and lists are kept once."""

import re
from pathlib import Path

import pytest

from api.reference import webhook_bodies
from worker.database import event_messages
from worker.database.webhook_endpoints import Event
from worker.detectors.names import TITLES, DetectorName

ROW = re.compile(r"^\| ([^|]+) \| (\d+) \| ([^|]+) \|$", re.MULTILINE)
# What the plan of the house allows.
MOST = {"another object store that speaks S3": 4, "a fourth detector": 3, "a field of the verdict's JSON": 6}
MOST_ELSE = 4


@pytest.fixture(scope="module")
def rows(repository: Path) -> dict[str, tuple[int, list[str]]]:
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("## Ten changes") :]
    return {change: (int(count), re.findall(r"`([^`]+)`", places)) for change, count, places in ROW.findall(table)}


def test_there_are_ten_and_each_place_is_there(rows: dict[str, tuple[int, list[str]]], repository: Path) -> None:
    assert len(rows) == 10
    assert [place for _, places in rows.values() for place in places if not (repository / place).exists()] == []


def test_each_count_is_that_of_the_places_and_within_the_plan(rows: dict[str, tuple[int, list[str]]]) -> None:
    assert {change for change, (count, places) in rows.items() if count != len(places)} == set()
    assert {change for change, (count, _) in rows.items() if count > MOST.get(change, MOST_ELSE)} == set()
    assert rows["how `uncertain` is decided"][0] == 1


def test_no_other_file_lists_the_detectors(repository: Path) -> None:
    quoted = re.compile(rf"""["']({"|".join(DetectorName)})["']""")
    files = [file for house in ("worker", "api", "infra") for file in (repository / house).rglob("*.py")]
    lines = {(file.name, line) for file in files for line in file.read_text("utf-8").splitlines()}
    assert len(files) > 300
    assert [(name, line) for name, line in lines if len(set(quoted.findall(line))) >= 3] == []
    assert TITLES.keys() == set(DetectorName)


def test_each_webhook_event_has_its_words_and_its_sender() -> None:
    assert webhook_bodies.EVENTS.keys() == webhook_bodies.EXAMPLES.keys() == event_messages._DATA.keys() == set(Event)
