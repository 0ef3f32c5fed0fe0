"""What a compose run takes for proof."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from infra.containers import compose_test
from infra.containers.compose_project import ComposeProject
from infra.containers.compose_test import ComposeRun
from infra.containers.engine import Engine

RANDOM = Random(0)  # noqa: S311 - no secrets


class Frozen(ComposeProject):
    """Parts that are red as soon as they stop, and no engine."""

    @contextmanager
    def freeze(self, *_services: str) -> Iterator[None]:
        yield

    def unhealthy(self, services: Sequence[str]) -> list[str]:
        return list(services)

    def wait_healthy(self, services: Sequence[str], seconds: float) -> None:
        pass


def test_an_alert_of_before_the_freeze_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    firing, resolved = "firing AssayProcessDown", "resolved AssayProcessDown"
    deliveries = iter([[firing], [firing, resolved], [firing, resolved, firing]])
    monkeypatch.setattr(compose_test, "alerts_delivered", lambda _project: next(deliveries))
    monkeypatch.setattr("infra.containers.compose_project._POLL_SECONDS", 0.0)
    ComposeRun(Frozen(Engine("docker"), tmp_path), RANDOM, lambda _line: None).freeze()
    assert list(deliveries) == []
