"""The doors that people use, asked from outside: console, Flower, Prometheus with its targets, panels and alerts."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from infra.containers.compose_project import API, REPOSITORY, ComposeProject, wait_until

_PROMETHEUS = "http://127.0.0.1:9090"
_FLOWER = "http://127.0.0.1:5555"
# Scraped under these names whenever compose runs without a profile.
_JOBS = frozenset({"api", "dispatcher", "worker", "flower"})
_SECONDS = 10.0
# Panels of what an ordinary run has none of: a GPU, images that are rejected or given up, trainings, webhooks, and
# figures that take days to come.
_NEED_MORE = frozenset({"Device memory", "Rejected by reason", "Dead by reason", "Training runs and webhooks"}) | {
    *("Drift (PSI)", "Uncertain, by source", "Canary photographs flagged")
}
_DASHBOARD = REPOSITORY / "infra" / "monitoring" / "grafana" / "dashboards" / "assay.json"


def check_doors(project: ComposeProject) -> list[str]:
    """Return what is wrong with console and Flower."""
    login = base64.b64encode(project.secret("assay_flower_basic_auth").encode()).decode()
    expected: tuple[tuple[str, dict[str, str], int], ...] = (
        (f"{API}/console", {}, 200),
        (f"{API}/health/ready", {}, 200),
        (f"{_FLOWER}/workers", {}, 401),
        (f"{_FLOWER}/workers", {"Authorization": f"Basic {login}"}, 200),
    )
    answers = [(url, status, _status(url, headers)) for url, headers, status in expected]
    return [f"{url} answers {answer}, not {status}" for url, status, answer in answers if answer != status]


def targets_up() -> dict[str, bool]:
    """Return job → whether every target of it is up, for the targets that Prometheus scrapes."""
    jobs: dict[str, bool] = {}
    for target in _ask("/api/v1/targets")["activeTargets"]:
        job = target["labels"]["job"]
        jobs[job] = jobs.get(job, True) and target["health"] == "up"
    return jobs


def wait_targets(seconds: float) -> int:
    """Wait until every target is up; return how many jobs there are."""

    def all_up() -> bool:
        jobs = targets_up()
        return jobs.keys() >= _JOBS and all(jobs.values())

    wait_until(all_up, seconds, lambda: f"Prometheus' targets: {targets_up()}")
    return len(targets_up())


def wait_panels(seconds: float) -> list[str]:
    """Wait until every panel has something to show; return the titles of those that stay empty."""
    filled = {title: expressions for title, expressions in panels(_DASHBOARD).items() if title not in _NEED_MORE}
    try:
        wait_until(lambda: not _empty(filled), seconds, lambda: "empty")
    except Exception:  # noqa: BLE001 - which they are is the answer
        return _empty(filled)
    return []


def panels(dashboard: Path) -> dict[str, list[str]]:
    """Return title → expressions of a dashboard's panels."""
    described = json.loads(dashboard.read_text(encoding="utf-8"))
    return {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in described["panels"]
        if panel.get("targets")
    }


def alerts_delivered(project: ComposeProject) -> list[str]:
    """Return what Alertmanager has delivered, a line for each alert."""
    return project.engine.run("logs", project.containers("alert-sink")[0]["Id"]).splitlines()


def _empty(filled: Mapping[str, list[str]]) -> list[str]:
    return [title for title, expressions in filled.items() if not any(map(_has_data, expressions))]


def _has_data(expression: str) -> bool:
    return bool(_ask("/api/v1/query", query=expression)["result"])


def _ask(path: str, **parameters: str) -> Any:
    answer = httpx.get(f"{_PROMETHEUS}{path}", params=parameters, timeout=_SECONDS, trust_env=False)
    return answer.raise_for_status().json()["data"]


def _status(url: str, headers: Mapping[str, str]) -> int:
    try:
        return httpx.get(url, headers=headers, timeout=_SECONDS, trust_env=False, follow_redirects=True).status_code
    except httpx.TransportError:
        return 0
