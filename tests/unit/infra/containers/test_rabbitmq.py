"""RabbitMQ in a compose run: what it is given, and what it is struck with."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from stat import S_IMODE

import yaml
from sqlalchemy import make_url

from infra.containers.compose_project import ComposeProject
from infra.containers.engine import Engine
from infra.containers.rabbitmq import OVERRIDES, PART, broker_faults, write_broker


def test_server_and_address_share_a_password_that_containers_may_read(tmp_path: Path) -> None:
    write_broker(tmp_path)
    address = tmp_path / "secrets" / "assay_broker_url"
    url = make_url(address.read_text())
    assert (url.drivername, url.host, url.username) == ("amqp", PART, "assay")
    assert f"default_pass = {url.password}\n" in (tmp_path / "rabbitmq.conf").read_text()
    assert {S_IMODE(path.stat().st_mode) for path in (address, tmp_path / "rabbitmq.conf")} == {0o444}


def test_every_fault_of_the_broker_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = [fault.name for fault in broker_faults(ComposeProject(Engine("docker"), tmp_path))]
    assert len(set(names)) == len(names) == 5
    assert all(PART in name for name in names)


def test_compose_takes_the_overrides_together(repository: Path, debian_program: Callable[[str], str]) -> None:
    stand_ins = repository / "infra" / "containers" / "stand_ins.override.yml"
    files = [word for file in ("docker-compose.yml", stand_ins, *OVERRIDES) for word in ("-f", str(file))]
    command = [debian_program("docker-compose"), *files, "config"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert services[PART]["image"] == "assay-stand-in/rabbitmq:local"
    assert "assay_broker_url" in str(services["dispatcher"]["secrets"])
