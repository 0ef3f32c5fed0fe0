"""Tests that need a Debian package: not run where it is missing, with the command that helps, and a failure in CI."""

from collections.abc import Callable

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
