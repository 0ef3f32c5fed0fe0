import json
import socket
from pathlib import Path

import pytest

from infra.stack import AssayStack, metrics_targets
from worker.settings import Settings


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ("http://127.0.0.1:9/queue", ["worker", "dispatcher", "training-worker", "listener", "api", "flower"]),
        ("", ["worker", "dispatcher", "training-worker", "api", "flower"]),
    ],
)
def test_the_listener_starts_only_where_there_is_a_queue(tmp_path: Path, queue: str, expected: list[str]) -> None:
    settings = Settings(data_dir=tmp_path, s3_endpoint_url="http://127.0.0.1:9", sqs_queue_url=queue)
    processes = AssayStack(settings, report=print).processes(settings, 8080, 5555)
    assert [process.name for process in processes] == expected


def test_worker_and_dispatcher_tell_their_metrics_where_prometheus_finds_them(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, s3_endpoint_url="http://127.0.0.1:9")
    processes = AssayStack(settings, report=print).processes(settings, 8080, 5555)
    targets = {one["labels"]["job"]: one["targets"] for one in json.loads(metrics_targets(processes, 8080))}
    assert set(targets) == {"worker", "dispatcher", "api"}
    assert targets["api"] == ["127.0.0.1:8080"]
    assert len({*targets["worker"], *targets["dispatcher"], "127.0.0.1:8080", "127.0.0.1:5555"}) == 4


def test_a_port_that_somebody_else_has_is_lines_and_another_is_taken(tmp_path: Path) -> None:
    lines: list[str] = []
    stack = AssayStack(Settings(data_dir=tmp_path), report=lines.append)
    with socket.create_server(("127.0.0.1", 0)) as other:
        preferred = other.getsockname()[1]
        port = stack._port("the API", preferred, avoid=[])
    assert port != preferred
    assert len(lines) == 1
    assert lines[0].startswith(f"port {preferred} is taken by pid ")
    assert lines[0].endswith(f"; the API is on {port}")
