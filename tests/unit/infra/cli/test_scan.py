from pathlib import Path

from rich.console import Console

from infra.cli.scan import files_of, result_table


def test_folders_are_walked_in_a_stable_order_without_hidden_entries(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg", "sub/c.jpg", ".hidden.jpg", ".cache/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in files_of([tmp_path])]
    assert found == ["a.jpg", "b.jpg", "sub/c.jpg"]


def test_a_file_named_outright_is_scanned_even_if_hidden(tmp_path: Path) -> None:
    hidden = tmp_path / ".hidden.jpg"
    hidden.touch()
    assert list(files_of([hidden])) == [hidden]


def test_the_table_shows_paths_with_brackets_as_they_are() -> None:
    row = {"path": "cats [old]/a.jpg", "verdict": None, "state": "rejected", "probability": None, "reason": "gone"}
    console = Console(width=100)
    with console.capture() as printed:
        console.print(result_table([row]))
    assert "cats [old]/a.jpg" in printed.get()
