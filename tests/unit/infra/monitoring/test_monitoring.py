"""Rules, their own tests, the dashboard, and that they speak of metrics which exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

import worker.metrics
from api.metrics import HttpMetrics
from worker.processes.store_metrics import StoreCollector

_NAME = re.compile(r"\bassay_\w+")


@pytest.fixture(scope="module")
def monitoring(repository: Path) -> Path:
    return repository / "infra" / "monitoring"


@pytest.fixture(scope="module")
def alerts(monitoring: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((monitoring / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_every_alert_is_tested_both_ways(monitoring: Path, alerts: list[dict[str, Any]]) -> None:
    tests = yaml.safe_load((monitoring / "rules_test.yml").read_text())["tests"]
    named = {test["name"] for test in tests}
    wanted = {f"{alert['alert']} {word}" for alert in alerts for word in ("fires", "keeps still")}
    assert len(alerts) > 15
    assert wanted - named == set()
    for test in tests:
        samples = test["promql_expr_test"][0]["exp_samples"]
        assert bool(samples) is not test["name"].endswith("keeps still"), test["name"]


def test_every_alert_says_how_urgent_it_is_and_which_page_helps(repository: Path, alerts: list[dict[str, Any]]) -> None:
    guide = (repository / "docs" / "operations.md").read_text()
    pages = set(re.findall(r"^### (.+)$", guide, re.MULTILINE))
    slugs = {page.lower().replace(" ", "-") for page in pages}
    assert {alert["labels"]["severity"] for alert in alerts} == {"page", "ticket"}
    assert {alert["annotations"]["runbook"] for alert in alerts} - slugs == set()


def test_every_urgency_has_a_receiver_of_its_own(monitoring: Path, alerts: list[dict[str, Any]]) -> None:
    document = yaml.safe_load((monitoring / "alertmanager.yml").read_text())
    assert {one["name"] for one in document["receivers"]} == {"page", "ticket"}
    (urgent,) = document["route"]["routes"]
    assert (urgent["matchers"], urgent["receiver"], document["route"]["receiver"]) == (
        ['severity = "page"'],
        "page",
        "ticket",
    )
    for rule in document["inhibit_rules"]:
        (name,) = re.findall(r'alertname = "(\w+)"', rule["source_matchers"][0])
        assert name in {alert["alert"] for alert in alerts}


def test_prometheus_names_the_alertmanager_of_the_compose_file(monitoring: Path, repository: Path) -> None:
    services = yaml.safe_load((repository / "docker-compose.yml").read_text())["services"]
    document = yaml.safe_load((monitoring / "prometheus.yml").read_text())
    [[target]] = [one["static_configs"][0]["targets"] for one in document["alerting"]["alertmanagers"]]
    assert target.partition(":")[0] in services


def test_every_job_that_a_rule_names_is_one_that_is_scraped(monitoring: Path, repository: Path) -> None:
    rules = (monitoring / "rules.yml").read_text()
    named = {job for found in re.findall(r'job=~?"([^"]+)"', rules) for job in found.split("|")}
    compose = {job["job_name"] for job in yaml.safe_load((monitoring / "prometheus.yml").read_text())["scrape_configs"]}
    # In a cluster a pod's component becomes its job.
    [cluster] = yaml.safe_load((monitoring / "prometheus.kubernetes.yml").read_text())["scrape_configs"]
    component = "__meta_kubernetes_pod_label_app_kubernetes_io_component"
    assert {"source_labels": [component], "target_label": "job"} in cluster["relabel_configs"]
    base = "\n".join(path.read_text() for path in (repository / "infra" / "kubernetes" / "base").glob("*.yaml"))
    components = set(re.findall(r"labels: {app\.kubernetes\.io/component: (\w+)}", base)) - {"setup"}
    assert named == compose | components


def exported() -> Iterator[str]:
    """Yield every name that our processes export."""
    api = CollectorRegistry()
    HttpMetrics(api)
    for registry in (REGISTRY, api):
        for family in registry.collect():
            endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            yield from (family.name + ending for ending in endings)


def test_rules_and_dashboard_ask_for_nothing_that_nobody_tells(monitoring: Path) -> None:
    assert worker.metrics.SCANS
    source = (monitoring.parents[1] / "worker" / "processes" / "store_metrics.py").read_text()
    known = set(exported()) | set(_NAME.findall(source))
    assert StoreCollector.__doc__
    asked = {
        name
        for file in ("rules.yml", "grafana/dashboards/assay.json")
        for name in _NAME.findall((monitoring / file).read_text())
    }
    assert len(asked) > 15
    assert asked - known == set()


def test_the_dashboard_s_panels_lie_beside_each_other_and_each_shows_something(monitoring: Path) -> None:
    panels = json.loads((monitoring / "grafana" / "dashboards" / "assay.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert taken & cells == set(), panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert all(target["expr"] for target in panel["targets"])
    source = yaml.safe_load((monitoring / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ][0]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
