"""Flower never runs open, and shows no metrics at its own door."""

import pytest
from flower.urls import handlers

from infra.flower import NoFlowerPasswordError, close_metrics, run_flower
from worker.settings import Settings


@pytest.mark.parametrize("login", [None, "", "no-password", ":only-a-password", "user:"])
def test_it_does_not_start_without_user_and_password(login: str | None) -> None:
    with pytest.raises(NoFlowerPasswordError):
        run_flower(Settings.model_validate({"flower_basic_auth": login}))


def test_its_open_metrics_are_closed_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flower.urls.handlers", copied := list(handlers))
    close_metrics()
    assert len(copied) == len(handlers) - 1
    left = [handler[0] if isinstance(handler, tuple) else handler.regex.pattern for handler in copied]
    assert "/metrics" not in left
    assert "/healthcheck" in left
