import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from infra.cli import main as command_line
from infra.embedded.errors import StackError
from worker.log import get_logger

pytestmark = pytest.mark.usefixtures("logging_restored")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["assay", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    return ended.value.code


def test_help_ends_with_0_and_names_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    printed = capsys.readouterr().out
    for command in ("demo", "up", "scan", "doctor", "keys", "worker", "dispatcher", "listener", "sweep", "migrate"):
        assert command in printed


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"assay {version('assay')}\n"


@pytest.mark.parametrize(
    "arguments",
    [["scan"], ["scan", "/no/such/file"], ["nonsense"], ["keys", "create"], ["demo", "--images", "/no/such"]],
)
def test_wrong_usage_ends_with_2(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    assert run(monkeypatch, *arguments) == 2


def test_a_wrong_setting_is_one_line_that_names_it_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_MAX_BATCH", "many-secret-things")
    assert run(monkeypatch, "doctor") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "ASSAY_MAX_BATCH" in error
    assert "secret" not in error


def test_expected_trouble_is_one_line_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise StackError("port 5432 is taken")

    monkeypatch.setattr(command_line, "app", fail)
    assert run(monkeypatch, "up") == 1
    assert capsys.readouterr().err == "assay: port 5432 is taken\n"


def test_what_a_command_logs_never_comes_between_its_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        get_logger().warning("pictures_without_class", left_out=1)
        sys.stdout.write(json.dumps({"auroc": 1.0}))
        sys.exit(0)

    monkeypatch.setattr(command_line, "app", command)
    assert run(monkeypatch, "evaluate") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"auroc": 1.0}
    assert json.loads(printed.err)["event"] == "pictures_without_class"


def test_a_list_that_is_no_json_is_one_line_that_shows_how_to_write_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_UPLOAD_BUCKETS", "secret-uploads")
    assert run(monkeypatch, "doctor") == 1
    wrong = 'assay: a setting is wrong: ASSAY_UPLOAD_BUCKETS: give a JSON list, such as ["uploads"]\n'
    assert capsys.readouterr().err == wrong


def _open_folder(folder: Path) -> None:
    folder.write_text("")


def _odd_name(folder: Path) -> None:
    (folder / "a\x1b[31m\udce9").read_bytes()


@pytest.mark.parametrize(
    ("act", "ending"),
    [(_open_folder, ": Is a directory\n"), (_odd_name, "a\\x1b[31m\\udce9: No such file or directory\n")],
)
def test_a_file_that_cannot_be_used_is_one_line_with_its_path(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    act: Callable[[Path], None],
    ending: str,
) -> None:
    monkeypatch.setattr(command_line, "app", lambda: act(tmp_path))
    assert run(monkeypatch, "scan") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"assay: {tmp_path}")
    assert error.endswith(ending)


@pytest.mark.parametrize("option", ["--prior-shift", "--miss-budget", "--false-positive-budget"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_policy_of_no_number_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert run(monkeypatch, "evaluate", "--data", "x", option, value) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["evaluate", "--data", "none"], ["train", "--recipe", "none", "--data", "none", "--out", "out"]]
)
def test_a_device_that_is_not_there_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *command, "--device", "banana") == 1
    ending = "'banana' is no device: set ASSAY_DEVICE or --device to `auto`, `cpu`, `cuda` or `cuda:N`"
    assert capsys.readouterr().err == f"assay: {ending}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        (["evaluate", "--data", "none", "--report", "."], "name a file in it"),
        (["evaluate", "--data", "none", "--report", "/proc/x"], "/proc is no folder that can be written to"),
        (["train", "--recipe", "none", "--data", "none", "--out", "file"], "file is no folder that can be written to"),
    ],
)
def test_output_that_cannot_be_written_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str], ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert run(monkeypatch, *command, "--device", "cpu") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert ending in error
