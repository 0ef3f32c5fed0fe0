"""What the compose run writes for Prometheus and Alertmanager, reads of containers, and cuts."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.containers import networks
from infra.containers.compose_project import LASTING, ComposeProject, wait_until, write_configurations
from infra.containers.doors import panels
from infra.containers.engine import Engine, EngineError
from infra.containers.inside import secret_values, status_of
from infra.containers.upgrade_test import lend_owner


def test_a_broker_of_another_kind_joins_what_stays_up(tmp_path: Path) -> None:
    assert ComposeProject(Engine("docker"), tmp_path, more=["rabbitmq"]).lasting == (*LASTING, "rabbitmq")


class Pods(ComposeProject):
    """Two containers with addresses, and no engine."""

    def containers(self, *services: str) -> list[dict[str, Any]]:
        address = {"worker": "172.20.0.4", "postgres": "172.20.0.2"}
        return [
            {
                "State": {"Pid": 41, "Health": {"Status": "healthy" if name == "postgres" else "starting"}},
                "NetworkSettings": {"Networks": {"assay": {"IPAddress": address[name]}}},
            }
            for name in services
        ]


@pytest.fixture
def pods(tmp_path: Path) -> Pods:
    return Pods(Engine("docker"), tmp_path)


def test_the_shipped_line_on_alerts_is_all_that_prometheus_needs_for_an_alertmanager(tmp_path: Path) -> None:
    write_configurations(tmp_path)
    written = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    [target] = written["alerting"]["alertmanagers"][0]["static_configs"]
    assert target == {"targets": ["alertmanager:9093"]}
    assert {job["job_name"] for job in written["scrape_configs"]} >= {"api", "worker"}


def test_a_service_is_healthy_once_every_container_is(pods: Pods) -> None:
    assert pods.unhealthy(["postgres", "worker"]) == ["worker"]


def test_a_wait_in_vain_says_for_what() -> None:
    with pytest.raises(EngineError, match="the worker is red"):
        wait_until(lambda: False, 0, lambda: "the worker is red")


def test_a_cut_drops_both_ways_and_is_taken_back(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[list[str]] = []

    def note(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        run.append(command[2:])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("shutil.which", lambda _name, **_options: "/usr/sbin/iptables")
    monkeypatch.setattr(subprocess, "run", note)
    with networks.cut(pods, "worker", "postgres"):
        put = [command[-5:] for command in run]
    assert put == [["OUTPUT", "-d", "172.20.0.2", "-j", "DROP"], ["INPUT", "-s", "172.20.0.2", "-j", "DROP"]]
    assert all(command[0] == "41" for command in run)
    assert [command[4] for command in run] == ["-I", "-I", "-D", "-D"]


def test_every_pair_that_is_cut_are_services_of_the_file(pods: Pods) -> None:
    named = {part for one, other, _ in (*networks.PAIRS, *networks.LOSSY) for part in (one, other)}
    assert named <= set(LASTING)
    faults = networks.network_faults(pods)
    assert len({fault.name for fault in faults}) == len(faults) == 14


def test_every_panel_with_figures_is_asked_about(repository: Path) -> None:
    found = panels(repository / "infra" / "monitoring" / "grafana" / "dashboards" / "assay.json")
    assert found["Dead"] == ["sum(max by (reason) (assay_dead_scans)) or vector(0)"]
    assert all(found.values())


def test_short_files_are_no_secrets_to_look_for(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a-long-secret-value\n")
    (tmp_path / "port").write_text("5432")
    assert secret_values(tmp_path) == {"key": "a-long-secret-value"}


def test_the_status_of_a_process_is_read_by_field() -> None:
    assert status_of("CapEff:\t0000000000000000\nNoNewPrivs:\t1\n") == {"CapEff": "0" * 16, "NoNewPrivs": "1"}


def test_before_there_were_roles_every_process_was_the_owner(tmp_path: Path) -> None:
    kept = lend_owner(tmp_path)
    owner = (tmp_path / "assay_database_url").read_text()
    assert len(kept) == 4
    assert {path.read_text() for path in kept} == {owner}
    assert owner not in kept.values()
