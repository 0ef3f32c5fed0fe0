import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from infra.cli import scan as command
from infra.cli.scan import files_of, origin_in_words, overlay_name, remarks_on, result_table
from worker.bundles.loaded import BundleError


def test_folders_are_walked_in_a_stable_order_without_hidden_entries(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg", "sub/c.jpg", ".hidden.jpg", ".cache/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, skipped = files_of([tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.jpg", "b.jpg", "sub/c.jpg"]
    assert skipped == []


def test_a_file_named_outright_is_scanned_even_if_hidden(tmp_path: Path) -> None:
    hidden = tmp_path / ".hidden.jpg"
    hidden.touch()
    assert files_of([hidden]) == ([hidden], [])


def test_what_is_no_file_is_skipped_with_why_and_never_read(tmp_path: Path) -> None:
    pictures, empty = tmp_path / "pictures", tmp_path / "empty"
    (pictures / "sub").mkdir(parents=True)
    empty.mkdir()
    (pictures / "a.jpg").touch()
    os.mkfifo(pictures / "sub" / "pipe.jpg")
    (pictures / "gone.jpg").symlink_to("nowhere")
    (pictures / "round").symlink_to(pictures)
    found, skipped = files_of([pictures, empty, Path("/dev/null")])
    assert found == [pictures / "a.jpg"]
    assert skipped == [
        (pictures / "gone.jpg", "it is no regular file"),
        (pictures / "round", "it is a link to a folder"),
        (pictures / "sub" / "pipe.jpg", "it is no regular file"),
        (empty, "it holds no files, or hidden ones alone"),
        (Path("/dev/null"), "it is no regular file"),
    ]


def test_a_folder_that_cannot_be_read_is_skipped_with_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permissions bind no root, who may run this.
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    assert files_of([tmp_path]) == ([], [(tmp_path, "Permission denied")])


@pytest.mark.parametrize(
    "stem",
    ["a", "x" * 251, "ä" * 125, os.fsdecode(b"latin\xe9"), "a\x1b"],
    ids=["short", "long", "wide", "odd", "steering"],
)
def test_an_overlay_can_be_written_whatever_its_image_is_called(tmp_path: Path, stem: str) -> None:
    name = overlay_name(Path(f"{stem}.jpg"), "0123456789abcdef", "d" * 63)
    (tmp_path / name).touch()
    assert name.endswith("-01234567-" + "d" * 63 + ".png")
    assert name[0] == stem[0]


ROW = {"verdict": "uncertain", "state": "completed", "probability": 0.5, "reason": None}


def run(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(command.scan)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_nothing_to_scan_is_wrong_usage(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"assay: skipped {tmp_path}: it holds no files" in done.stderr
    assert "there is nothing to scan" in done.stderr


def test_what_was_found_before_trouble_is_still_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(*_: object) -> Iterator[dict[str, Any]]:
        yield ROW | {"path": "first.jpg"}
        raise OSError(28, "No space left on device", "overlay.png")

    monkeypatch.setattr(command, "_scan", scan)
    (tmp_path / "a.jpg").touch()
    done = run(tmp_path)
    assert isinstance(done.exception, OSError)
    assert "first.jpg" in done.stdout
    assert json.loads(run(tmp_path, "--json").stdout)["path"] == "first.jpg"


def test_heatmaps_that_cannot_be_written_are_told_before_the_scan(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    done = run(tmp_path, "--heatmaps", tmp_path / "a.jpg")
    assert "is no folder that can be written to" in str(done.exception)


def test_a_shipped_bundle_wins_over_a_folder_of_pictures_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(folder: Path, *_options: object) -> None:
        asked.append(folder)
        raise BundleError("enough")

    monkeypatch.setattr("worker.bundles.opening.load_bundle", load)
    monkeypatch.setenv("ASSAY_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    Path("wild").mkdir()
    Path("wild/a.jpg").touch()
    run("wild", "--bundle", "wild")
    run("wild", "--bundle", "./wild")
    Path("wild/bundle.json").touch()
    run("wild", "--bundle", "wild")
    assert [folder.is_absolute() for folder in asked] == [True, False, False]


def test_no_name_of_a_file_steers_the_terminal() -> None:
    row = ROW | {"path": "\x1b[2Jcaf\udce9\r.jpg", "provenance": {"camera": "\x1b]0;owned\x07"}}
    console = Console(width=190)
    with console.capture() as printed:
        console.print(result_table([row]))
    assert r"\x1b[2Jcaf\udce9\r.jpg" in printed.get()
    assert not {"\x1b", "\r", "\x07", "\udce9"} & set(printed.get())


def test_the_table_shows_paths_with_brackets_as_they_are() -> None:
    row = {"path": "cats [old]/a.jpg", "verdict": None, "state": "rejected", "probability": None, "reason": "gone"}
    console = Console(width=100)
    with console.capture() as printed:
        console.print(result_table([row]))
    assert "cats [old]/a.jpg" in printed.get()


def test_the_table_says_why_a_file_was_rejected() -> None:
    row = {"path": "a.jpg", "verdict": None, "state": "rejected", "probability": None, "reason": "undecodable"}
    assert remarks_on(row | {"detail": "the object is [red] empty"}) == r"undecodable: the object is \[red] empty"
    assert remarks_on(row) == "undecodable"


def test_every_declared_mark_is_named_with_what_it_is_and_where_it_stands() -> None:
    marks = [
        {"strong": True, "kind": "iptc", "tool": None, "where": "XMP Iptc4xmpExt:DigitalSourceType"},
        {"strong": True, "kind": "tc260", "tool": None, "where": 'PNG text "AIGC"'},
        {"strong": False, "kind": "generator", "tool": "Adobe Firefly", "where": "EXIF Software"},
    ]
    tags = ["iptc:trainedAlgorithmicMedia", "tc260", "firefly"]
    assert origin_in_words({"tags": tags, "marks": marks}) == (
        "declared: trainedAlgorithmicMedia in XMP Iptc4xmpExt:DigitalSourceType; "
        'declared: AI label of GB 45438 in PNG text "AIGC"; '
        "declared: Adobe Firefly in EXIF Software, a hint alone"
    )
