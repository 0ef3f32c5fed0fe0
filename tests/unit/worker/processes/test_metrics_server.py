"""What a process serves beside its work: metrics, and whether it goes round."""

import httpx2
import pytest
from prometheus_client import REGISTRY

from worker.processes.metrics_server import Rounds, serve_observed


def test_a_loop_is_alive_until_its_last_round_is_too_long_ago() -> None:
    now = [100.0]
    rounds = Rounds("test-loop", 30.0, lambda: now[0])
    assert rounds.alive()
    now[0] = 129.9
    assert rounds.alive()
    now[0] = 130.0
    assert not rounds.alive()
    rounds.note()
    assert rounds.alive()


def test_every_round_is_a_metric() -> None:
    Rounds("test-metric", 30.0, lambda: 0.0)
    value = REGISTRY.get_sample_value("assay_last_round_timestamp_seconds", {"process": "test-metric"})
    assert value is not None
    assert value > 1e9


@pytest.mark.parametrize(("alive", "status"), [(True, 200), (False, 503)])
def test_the_server_tells_life_at_one_path_and_metrics_at_another(*, alive: bool, status: int) -> None:
    base = f"http://127.0.0.1:{serve_observed('127.0.0.1', 0, lambda: alive)}"
    assert httpx2.get(f"{base}/health/live", timeout=5).status_code == status
    metrics = httpx2.get(f"{base}/metrics", timeout=5)
    assert metrics.status_code == 200
    assert "assay_last_round_timestamp_seconds" in metrics.text
