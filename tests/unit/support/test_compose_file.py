"""docker-compose.yml read as data: what every service must have, and what none may have."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.main import _UPLOADS_HELD
from infra.cli.commands import LazyCommands
from infra.cli.init import write_secrets
from tests.support.compose_file import Service, read_services
from worker.settings import Settings

ONCE = {"setup", "trust"}


@pytest.fixture(scope="module")
def services(repository: Path) -> dict[str, Service]:
    return read_services(repository / "docker-compose.yml")


@pytest.fixture(scope="module")
def whole(repository: Path) -> dict[str, Any]:
    file: dict[str, Any] = yaml.safe_load((repository / "docker-compose.yml").read_text())
    return file


def lacking(services: dict[str, Service], has: Callable[[Service], object]) -> set[str]:
    return {name for name, service in services.items() if not has(service)}


def test_compose_s_own_parser_takes_the_file(repository: Path, debian_program: Callable[[str], str]) -> None:
    command = [debian_program("docker-compose"), "-f", "docker-compose.yml", "config", "--quiet"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


def test_another_broker_is_told_to_all_who_ring_or_listen(
    repository: Path, debian_program: Callable[[str], str], services: dict[str, Service]
) -> None:
    files = ["-f", "docker-compose.yml", "-f", "infra/docker/broker.override.yml"]
    command = [debian_program("docker-compose"), *files, "config"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    merged = yaml.safe_load(done.stdout)["services"]
    ringing_too = {name for name, entry in merged.items() if "assay_broker_url" in str(entry.get("secrets"))}
    ringing = {name for name, service in services.items() if "assay_redis_url" in service.secrets}
    # Newer parsers leave out profiles that are not asked for.
    assert ringing_too == (ringing - {"listener"}) & merged.keys()


def test_a_proxy_with_tls_stands_before_the_api_alone(repository: Path, debian_program: Callable[[str], str]) -> None:
    files = ["-f", "docker-compose.yml", "-f", "infra/docker/tls.override.yml"]
    command = [debian_program("docker-compose"), *files, "config"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    merged = yaml.safe_load(done.stdout)["services"]
    reached = {name for name, entry in merged.items() if "edge" in (entry.get("networks") or {})}
    assert (reached, set(merged["api"]["networks"])) == ({"api", "proxy"}, {"assay", "edge"})
    assert merged["proxy"]["user"] != "root"


def test_every_service_that_stays_up_has_a_health_check_and_comes_back(services: dict[str, Service]) -> None:
    assert lacking(services, lambda service: service.health) == ONCE
    assert lacking(services, lambda service: service.raw["restart"] == "unless-stopped") == ONCE


def test_every_service_has_limits_and_is_on_the_one_network(services: dict[str, Service]) -> None:
    assert lacking(services, lambda service: service.raw["networks"] == ["assay"]) == set()
    limits = {name: service.raw["deploy"]["resources"]["limits"].keys() for name, service in services.items()}
    assert {name for name, held in limits.items() if held != {"cpus", "memory"}} == set()


def test_every_image_is_pinned(services: dict[str, Service]) -> None:
    images = {str(service.raw["image"]) for service in services.values()}
    assert {image for image in images if not re.search(r":(v?\d+\.\d+(\.\d+)?|local)", image)} == set()


def test_what_is_published_is_published_to_this_machine_alone(services: dict[str, Service]) -> None:
    ports = [port for service in services.values() for port in service.raw.get("ports", ())]
    assert len(ports) == 6
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_our_processes_are_on_a_read_only_root_and_may_do_nothing_special(services: dict[str, Service]) -> None:
    ours = {name: service for name, service in services.items() if "assay-" in service.raw["image"]}
    assert len(ours) == 9
    held = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    for name, service in ours.items():
        assert {key: service.raw.get(key) for key in held} == held, name


def test_the_api_has_room_for_all_the_uploads_that_it_takes_at_once(services: dict[str, Service]) -> None:
    held = _UPLOADS_HELD * Settings().max_image_bytes
    megabytes = {"m": 2**20, "g": 2**30}
    [tmp] = services["api"].raw["tmpfs"]
    size = tmp.partition("size=")[2]
    memory = services["api"].raw["deploy"]["resources"]["limits"]["memory"]
    # A form lies in /tmp until it is whole, which is memory too, and then once more in the process.
    assert int(size[:-1]) * megabytes[size[-1]] > held
    assert int(memory[:-1]) * megabytes[memory[-1]] > 2 * held + 2**29


def test_each_secret_is_a_file_that_init_writes_and_some_service_reads(
    whole: dict[str, Any], services: dict[str, Service], tmp_path: Path
) -> None:
    written = set(write_secrets(tmp_path))
    assert {Path(secret["file"]).name for secret in whole["secrets"].values()} == written
    assert {secret for service in services.values() for secret in service.secrets} == written


def test_no_environment_holds_a_secret(services: dict[str, Service], tmp_path: Path) -> None:
    write_secrets(tmp_path)
    secret_settings = {
        f"ASSAY_{name.upper()}" for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
    }
    for service in services.values():
        assert service.environment.keys() & secret_settings == set()
        secret_names = {name for name in service.environment if re.search("PASSWORD|SECRET|TOKEN|KEY", name)}
        assert {name for name in secret_names if not service.environment[name].startswith("/run/secrets/")} == set()


def test_every_command_in_the_file_exists(services: dict[str, Service]) -> None:
    ours = {name: service.command for name, service in services.items() if "assay-" in service.raw["image"]}
    known = set(LazyCommands())
    for command in ours.values():
        assert command[:3] == ("python", "-m", "infra.cli")
        assert command[3] in known


def test_every_setting_in_the_file_exists(services: dict[str, Service]) -> None:
    known = {f"ASSAY_{name.upper()}" for name in Settings.model_fields}
    in_file = {name for service in services.values() for name in service.environment if name.startswith("ASSAY_")}
    assert in_file - known == set()


def test_a_worker_is_given_longer_to_end_than_its_longest_batch_takes(services: dict[str, Service]) -> None:
    longest = Settings().batch_timeout_seconds
    workers = [service for name, service in services.items() if "worker" in name]
    assert len(workers) == 3
    assert [service.name for service in workers if float(service.raw["stop_grace_period"].rstrip("s")) <= longest] == []


def test_gpus_are_reserved_for_those_profiles_that_want_one(services: dict[str, Service]) -> None:
    def devices(service: Service) -> object:
        return service.raw["deploy"]["resources"].get("reservations", {}).get("devices")

    wanting = {name: service.profiles for name, service in services.items() if devices(service)}
    assert wanting == {"worker-gpu": ("gpu",), "training-worker": ("training",)}
    assert devices(services["worker-gpu"]) == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


def test_variables_are_filled_in_as_compose_does(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text("services: {a: {image: i, command: ['${A:-one}', '${B:-}', '$$x', '${C}'], environment: {N: 1}}}")
    command = read_services(file, {"A": "", "C": "three"})["a"].command
    assert command == ("one", "", "$x", "three")
    assert read_services(file, {"A": "two"})["a"].command[0] == "two"


def test_each_process_is_given_its_own_role_in_the_database_and_setup_alone_the_owner(
    services: dict[str, Service],
) -> None:
    own = {"api": "api", "dispatcher": "dispatcher", "listener": "dispatcher", "training-worker": "training"}
    for name, service in services.items():
        addresses = {secret for secret in service.secrets if "database_url" in secret}
        role = "worker" if name.startswith("worker") else own.get(name)
        owner = {"assay_database_url"} if name == "setup" else set()
        assert addresses == ({f"database_url_{role}"} if role else owner)
