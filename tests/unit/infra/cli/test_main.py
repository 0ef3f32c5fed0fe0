import pytest

from infra.cli import main as command_line
from infra.embedded.errors import StackError


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
