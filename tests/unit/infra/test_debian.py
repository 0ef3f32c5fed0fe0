"""Tests that need a Debian package: not run where it is missing, with the command that helps, and a failure in CI."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from infra import debian


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "find", lambda _program: None)


def test_the_command_names_the_packages_of_all_programs_once() -> None:
    assert debian.command("promtool", "kubectl").endswith("--no-install-recommends kubernetes-client prometheus")


@pytest.mark.usefixtures("nothing_installed")
def test_for_a_person_it_is_not_run_and_the_command_is_said(
    monkeypatch: pytest.MonkeyPatch, debian_program: Callable[[str], str]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"apt-get install .* prometheus"):
        debian_program("promtool")


@pytest.mark.usefixtures("nothing_installed")
def test_in_ci_it_is_a_failure(monkeypatch: pytest.MonkeyPatch, debian_program: Callable[[str], str]) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="needs promtool"):
        debian_program("promtool")


@pytest.mark.usefixtures("nothing_installed")
def test_an_ordinary_user_is_told_and_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert debian.install_missing() == 0
    assert "as root: apt-get install" in capsys.readouterr().err


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(("ci", "code"), [(None, 0), ("1", 1)])
def test_a_package_that_a_mirror_lacks_stops_ci_alone_and_keeps_no_other_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str | None, code: int
) -> None:
    run: list[str] = []

    def fake(line: str) -> int:
        run.append(line)
        return int("kubernetes-client" in line)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(debian, "_run", fake)
    monkeypatch.setattr("shutil.which", lambda *_arguments, **_options: "/usr/bin/apt-get")
    monkeypatch.setattr(debian, "_no_service_starts", nullcontext)
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    assert debian.install_missing() == code
    assert "tests of kubectl are not run" in capsys.readouterr().err
    assert len(run) == 1 + len(debian.PACKAGES)
