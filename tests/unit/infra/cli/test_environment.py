import pytest

from infra.cli.environment import adopt, child_environment


def test_what_the_environment_sets_itself_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_BUNDLE", "cifake")
    monkeypatch.setenv("ASSAY_DEVICE", "unset-again-by-the-fixture")
    monkeypatch.delenv("ASSAY_DEVICE")
    adopt({"ASSAY_BUNDLE": "wild", "ASSAY_DEVICE": "cpu"})
    environment = child_environment(ASSAY_API_PORT="1")
    assert environment["ASSAY_BUNDLE"] == "cifake"
    assert environment["ASSAY_DEVICE"] == "cpu"
    assert environment["ASSAY_API_PORT"] == "1"
