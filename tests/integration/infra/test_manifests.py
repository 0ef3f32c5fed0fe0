"""The cluster's manifests: built as operators do, held against Kubernetes' schemas and Assay itself."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it carries none
import pytest
import yaml

from api.main import create_app
from infra.cli.commands import LazyCommands
from tests.support.api_world import fake_world
from tests.support.compose_file import read_services
from worker.settings import Settings

OVERLAYS = ("cpu", "gpu")
VERSIONS = ("1.31", "1.34", "1.37")
OURS = {"api", "dispatcher", "listener", "worker", "training", "flower"}

Manifest = dict[str, Any]


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def built(overlay: str, repository: Path, debian_program: Callable[[str], str]) -> list[Manifest]:
    folder = repository / "infra" / "kubernetes" / "overlays" / overlay
    command = [debian_program("kubectl"), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(built: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {found["metadata"]["name"]: found for found in built if found["kind"] == kind}


def pods(built: list[Manifest]) -> dict[str, Manifest]:
    found = {**of_kind(built, "Deployment"), **of_kind(built, "Job")}
    return {name: manifest["spec"]["template"]["spec"] for name, manifest in found.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_own_schemas_take_every_manifest(built: list[Manifest], version: str) -> None:
    known = [found for found in built if found["kind"] != "ScaledObject"]  # KEDA's own, checked below
    assert len(known) == len(built) - 1
    for manifest in known:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_every_process_is_there_and_runs_a_command_that_exists(built: list[Manifest]) -> None:
    found = pods(built)
    assert found.keys() == OURS | {"setup"}
    commands = set(LazyCommands())
    for spec in found.values():
        [container] = spec["containers"]
        assert container["command"][:3] == ["python", "-m", "infra.cli"]
        assert container["command"][3] in commands


def test_every_process_is_nobody_on_a_read_only_root(built: list[Manifest]) -> None:
    for spec in pods(built).values():
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["automountServiceAccountToken"] is False
        [container] = spec["containers"]
        held = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == held
        assert container["resources"].keys() == {"requests", "limits"}
        assert ":" in container["image"]
        assert not container["image"].endswith(":latest")


def test_every_pod_keeps_to_the_restricted_level_of_pod_security(built: list[Manifest]) -> None:
    """Kubernetes' own list, "Pod Security Standards"; a namespace with its label refuses whatever breaks it."""
    volumes = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    for name, spec in pods(built).items():
        of_host = {key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)}
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert (of_host, kinds - volumes) == (set(), set()), name
        pod = spec["securityContext"]
        assert pod["seccompProfile"]["type"] in {"RuntimeDefault", "Localhost"}, name
        assert (pod["runAsNonRoot"], pod["runAsUser"] > 0, pod.get("sysctls")) == (True, True, None), name
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            held = container["securityContext"]
            assert held["allowPrivilegeEscalation"] is False, name
            assert held["capabilities"] == {"drop": ["ALL"]}, name
            assert held.keys() & {"privileged", "procMount", "seLinuxOptions", "runAsUser"} == set(), name
            assert [port for port in container.get("ports", ()) if "hostPort" in port] == [], name


def test_settings_come_from_one_map_and_secrets_from_one_secret(built: list[Manifest]) -> None:
    known = {f"ASSAY_{name.upper()}" for name in Settings.model_fields}
    secret = {
        f"ASSAY_{name.upper()}" for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
    }
    names = set(of_kind(built, "ConfigMap")["assay"]["data"])
    for spec in pods(built).values():
        [container] = spec["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": "assay"}}]
        assert secret_of(spec)["secretName"] == "assay"
        names |= {variable["name"] for variable in container.get("env", ())}
    assert names - known == set()
    assert names & secret == set()


def secret_of(spec: Manifest) -> Manifest:
    """Return the one secret that a pod has."""
    [secret] = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert secret["defaultMode"] == 0o440
    return dict(secret)


def test_each_process_is_given_its_own_role_in_the_database_and_setup_alone_the_owner(built: list[Manifest]) -> None:
    own = {
        "api": "api",
        "worker": "worker",
        "dispatcher": "dispatcher",
        "listener": "dispatcher",
        "training": "training",
    }
    for name, spec in pods(built).items():
        keys = {item["path"]: item["key"] for item in secret_of(spec).get("items", ())}
        if name == "setup":
            assert keys == {}
        else:
            role = own.get(name)
            assert keys.get("assay_database_url") == (role and f"database_url_{role}")
            assert "assay_database_url" not in keys.values()


def open_ways(built: list[Manifest], component: str, way: str) -> set[tuple[str, int]]:
    """Whom a component may reach (`egress`), or who may reach it (`ingress`), each with its port."""
    ways = set()
    makers = {**of_kind(built, "Deployment"), **of_kind(built, "Job")}
    pods_labels = {name: made["spec"]["template"]["metadata"]["labels"] for name, made in makers.items()}
    for policy in of_kind(built, "NetworkPolicy").values():
        spec, labels = policy["spec"], pods_labels[component]
        chosen = spec["podSelector"]
        wanted = {one["key"]: one["values"] for one in chosen.get("matchExpressions", [])}
        wanted |= {key: [value] for key, value in chosen.get("matchLabels", {}).items()}
        if all(labels.get(key) in values for key, values in wanted.items()):
            assert {"ingress": "Ingress", "egress": "Egress"}.keys() & spec.keys() <= {
                name.lower() for name in spec["policyTypes"]
            }
            for rule in spec.get(way, []):
                who = str(rule.get("from") or rule.get("to") or "anybody")
                ways |= {(who, port["port"]) for port in rule["ports"]}
    return ways


def test_nobody_reaches_or_is_reached_by_more_than_needed(built: list[Manifest]) -> None:
    closed = [policy["spec"] for policy in of_kind(built, "NetworkPolicy").values() if len(policy["spec"]) == 2]
    assert closed == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
    names, broker = {("anybody", 53)}, {("anybody", port) for port in (6379, 5671, 5672)}
    parts = broker | {("anybody", port) for port in (5432, 6432, 443, 9000)}
    for component in (OURS | {"setup"}) - {"flower"}:
        assert open_ways(built, component, "egress") == names | parts
    assert open_ways(built, "flower", "egress") == names | broker
    prometheus = "[{'namespaceSelector': {'matchLabels': {'kubernetes.io/metadata.name': 'monitoring'}}}]"
    for component in (OURS | {"setup"}) - {"api"}:
        assert open_ways(built, component, "ingress") == {(prometheus, 9100)}
    assert open_ways(built, "api", "ingress") == {(prometheus, 9100), ("[{'namespaceSelector': {}}]", 8080)}


def test_a_worker_is_given_longer_to_end_than_its_longest_batch(built: list[Manifest]) -> None:
    longest = float(of_kind(built, "ConfigMap")["assay"]["data"]["ASSAY_BATCH_TIMEOUT_SECONDS"])
    for name in ("worker", "training"):
        assert pods(built)[name]["terminationGracePeriodSeconds"] > longest


def test_an_upgrade_leaves_how_many_there_are_to_what_scales_them(built: list[Manifest]) -> None:
    # `apply` would set it back in the middle of a backlog.
    [by_backlog] = of_kind(built, "ScaledObject").values()
    [by_load] = of_kind(built, "HorizontalPodAutoscaler").values()
    scaled = {found["spec"]["scaleTargetRef"]["name"] for found in (by_backlog, by_load)}
    counted = {name for name, found in of_kind(built, "Deployment").items() if "replicas" in found["spec"]}
    assert (scaled, counted) == ({"worker", "api"}, OURS - scaled)
    [container] = pods(built)["api"]["containers"]
    assert "cpu" in container["resources"]["requests"]  # what its share is taken of


def test_the_ingress_leads_to_the_api_under_tls_and_never_to_its_metrics(built: list[Manifest]) -> None:
    [ingress] = of_kind(built, "Ingress").values()
    [rule] = ingress["spec"]["rules"]
    [tls] = ingress["spec"]["tls"]
    assert tls["hosts"] == [rule["host"]]
    ports = {port["name"] for port in of_kind(built, "Service")["api"]["spec"]["ports"]}
    paths = rule["http"]["paths"]
    assert {path["backend"]["service"]["port"]["name"] for path in paths} <= ports
    exact = {path["path"] for path in paths if path["pathType"] == "Exact"}
    prefixes = {path["path"] for path in paths if path["pathType"] == "Prefix"}
    tops = {f"/{path.split('/')[1]}" for path in create_app(fake_world().services).openapi()["paths"]}
    assert tops | {"/console", "/docs"} == prefixes
    assert exact == {"/", "/openapi.json"}


def test_the_api_goes_on_answering_until_nobody_is_sent_to_it_any_more(built: list[Manifest]) -> None:
    spec = pods(built)["api"]
    command, seconds = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert (command, float(seconds) < spec["terminationGracePeriodSeconds"] / 2) == ("sleep", True)


def test_what_has_shared_memory_in_compose_has_it_in_a_cluster(built: list[Manifest], repository: Path) -> None:
    # torch hands batches from process to process through it, and 64 MB, the usual size, is less than one of them.
    services = read_services(repository / "docker-compose.yml")
    assert services["training-worker"].raw["shm_size"] == "2g"
    spec = pods(built)["training"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in spec["containers"][0]["volumeMounts"]  # noqa: S108 - what is meant
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}} in spec["volumes"]


def test_workers_want_a_gpu_where_the_overlay_says_so(built: list[Manifest], overlay: str) -> None:
    for name in ("worker", "training"):
        spec = pods(built)[name]
        limits = spec["containers"][0]["resources"]["limits"]
        device = {variable["name"]: variable["value"] for variable in spec["containers"][0]["env"]}["ASSAY_DEVICE"]
        found = (spec.get("nodeSelector"), limits.get("nvidia.com/gpu"), device)
        wanted = {"cpu": (None, None, "cpu"), "gpu": ({"nvidia.com/gpu.present": "true"}, "1", "cuda")}
        assert found == wanted[overlay]


def test_disruptions_take_one_at_a_time_and_meet_the_pods_that_they_mean(built: list[Manifest]) -> None:
    budgets = of_kind(built, "PodDisruptionBudget")
    assert budgets.keys() == {"api", "dispatcher", "listener", "worker"}
    for name, budget in budgets.items():
        labels = of_kind(built, "Deployment")[name]["spec"]["template"]["metadata"]["labels"]
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert budget["spec"]["maxUnavailable"] == 1


def test_workers_are_scaled_by_depth_and_by_oldest_age_of_figures_that_prometheus_has(
    built: list[Manifest], repository: Path
) -> None:
    [scaled] = of_kind(built, "ScaledObject").values()
    assert scaled["spec"]["scaleTargetRef"]["name"] in of_kind(built, "Deployment")
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    rules = yaml.safe_load((repository / "infra" / "monitoring" / "rules.yml").read_text())["groups"]
    recorded = {rule["record"] for group in rules for rule in group["rules"] if "record" in rule}
    asked = {name for name in recorded if any(name in query for query in queries)}
    assert asked == {"assay:backlog_scans", "assay:backlog_oldest_seconds"}
    assert {trigger["type"] for trigger in scaled["spec"]["triggers"]} == {"prometheus"}
    assert all(float(trigger["metadata"]["threshold"]) > 0 for trigger in scaled["spec"]["triggers"])
