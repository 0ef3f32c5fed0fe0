"""Logs: one JSON object a line, ids bound for the length of a task, tracebacks included."""

import json
import logging

import pytest
from celery import Celery

from worker.dispatch.celery_app import SCAN_TASK
from worker.dispatch.tasks import register_tasks
from worker.log import configure_logging, get_logger

pytestmark = pytest.mark.usefixtures("logging_restored")


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_object_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    get_logger().info("scan_completed", verdict="uncertain")
    get_logger().debug("unheard")
    [line] = logged(capsys)
    assert (line["event"], line["verdict"], line["level"]) == ("scan_completed", "uncertain", "info")
    assert str(line["timestamp"]).endswith("Z")


def test_the_libraries_logs_look_the_same_and_their_chatter_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    logging.getLogger("celery").warning("lost %s", "broker")  # noqa: TID251 - as that library does.
    logging.getLogger("botocore").info("chatter")  # noqa: TID251 - likewise.
    logging.getLogger("httpx").info("POST https://platform.example/hook/secret")  # noqa: TID251 - likewise.
    [line] = logged(capsys)
    assert (line["event"], line["level"]) == ("lost broker", "warning")


def test_an_exception_comes_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    try:
        raise ValueError("broken")
    except ValueError:
        get_logger().exception("scan_failed")
    [line] = logged(capsys)
    assert "ValueError: broken" in str(line["exception"])


def test_a_task_binds_its_scan_for_as_long_as_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    app = Celery("test", set_as_current=False)
    register_tasks(app, lambda scan_id: get_logger().info("inside", asked=scan_id))
    app.tasks[SCAN_TASK](7)
    get_logger().info("outside")
    inside, outside = logged(capsys)
    assert (inside["scan_id"], inside["asked"]) == (7, 7)
    assert "scan_id" not in outside


def test_people_get_lines_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "console")
    get_logger().warning("scan_fenced", scan_id=7)
    text = capsys.readouterr().err
    assert "scan_fenced" in text
    assert not text.startswith("{")
