"""Where commands write to, and what they show."""

from pathlib import Path

import pytest

from infra.cli.output import printable, writable_file, writable_folder
from worker.errors import AssayError


def test_a_folder_to_write_to_is_made_and_left_empty(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "b")
    assert list(folder.iterdir()) == []
    assert writable_folder(folder) == folder


def test_what_is_no_folder_to_write_to_is_named_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/x"), tmp_path / ("x" * 300)):
        with pytest.raises(AssayError, match="is no folder that can be written to") as refused:
            writable_folder(place)
        assert str(place) in refused.value.detail


def test_a_file_to_write_is_not_touched_before_it_is_written(tmp_path: Path) -> None:
    new, old = tmp_path / "new" / "page.html", tmp_path / "old.html"
    old.write_text("old")
    assert (writable_file(new), writable_file(old)) == (new, old)
    assert (new.exists(), old.read_text()) == (False, "old")


def test_what_is_no_file_to_write_is_named_before_the_work(tmp_path: Path) -> None:
    for place in (tmp_path, Path("/proc/x"), Path("/proc/version"), tmp_path / ("x" * 300)):
        with pytest.raises(AssayError) as refused:
            writable_file(place)
        assert str(place.parent) in refused.value.detail


def test_what_steers_a_terminal_is_shown_and_everything_else_stays_as_it_is() -> None:
    assert printable("cats [old]/ä 猫.jpg") == "cats [old]/ä 猫.jpg"
    assert printable("a\x1b[2J\r\nb\u202e\udce9") == r"a\x1b[2J\r\nb\u202e\udce9"
