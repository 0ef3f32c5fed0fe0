"""Prometheus' own tool: it takes the configurations and the rules, and runs the rules' tests."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml


@pytest.fixture(scope="module")
def monitoring(repository: Path) -> Path:
    return repository / "infra" / "monitoring"


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")],
)
def test_promtool_is_content(
    monitoring: Path, debian_program: Callable[[str], str], arguments: tuple[str, ...]
) -> None:
    command = [debian_program("promtool"), *arguments]
    done = subprocess.run(command, cwd=monitoring, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_is_content_with_the_cluster_s_scraping(
    monitoring: Path, debian_program: Callable[[str], str], tmp_path: Path
) -> None:
    # Debian's promtool is built without Kubernetes; all else of the file is checked.
    config = yaml.safe_load((monitoring / "prometheus.kubernetes.yml").read_text())
    for job in config["scrape_configs"]:
        assert job.pop("kubernetes_sd_configs")
        job["static_configs"] = [{"targets": ["127.0.0.1:1"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [debian_program("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_reads_every_expression_of_the_dashboard(
    monitoring: Path, debian_program: Callable[[str], str], tmp_path: Path
) -> None:
    # Grafana puts them to Prometheus as they stand; a rule is what promtool reads expressions in.
    board = json.loads((monitoring / "grafana" / "dashboards" / "assay.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [note["expr"] for note in board["annotations"]["list"]]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    command = [debian_program("promtool"), "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(expressions)} rules found" in done.stdout
