"""Builds: what is promised of sizes, what is lent to them, and what stands in."""

from pathlib import Path

import pytest

from infra.containers.images import API, WORKER, WORKER_CUDA, describe, is_too_large, python_release
from infra.containers.registries import pip_conf
from infra.containers.stand_ins import SERVICES, part_of_lock, service_tag

MB = 1_000_000


def test_an_image_is_too_large_above_its_limit_alone() -> None:
    assert not is_too_large(API, 250 * MB)
    assert is_too_large(API, 250 * MB + 1)
    assert is_too_large(WORKER, 1601 * MB)
    assert not is_too_large(WORKER_CUDA, 9000 * MB)


def test_a_line_on_an_image_says_what_of_it_stands_in() -> None:
    assert describe(API, "assay-api:local", 236 * MB, "") == "assay-api:local: 236 MB (limit 250 MB)"
    assert describe(API, "a:b", MB, "Debian's").endswith("; stand-in below it: Debian's")


def test_the_release_of_python_is_the_one_that_every_image_names(repository: Path) -> None:
    for name in ("api", "worker"):
        text = (repository / "infra" / "docker" / f"{name}.Dockerfile").read_text()
        assert {line.split(":")[1].split("-")[0] for line in text.splitlines() if line.startswith("FROM python:")} == {
            python_release()
        }


def test_builds_reach_the_registry_as_this_machine_does_but_for_its_folders() -> None:
    listed = """global.index-url='https://mirror.example/simple'
global.extra-index-url='file:///opt/wheels https://more.example/simple'
global.find-links='/opt/wheels'
global.cert='/etc/certificates.pem'
:env:.timeout='180'
"""
    assert pip_conf(listed).splitlines()[1:-1] == [
        "index-url = https://mirror.example/simple",
        "extra-index-url = https://more.example/simple",
        "timeout = 180",
        "cert = /run/secrets/ca.crt",
    ]


def test_a_part_of_a_lock_keeps_versions_and_hashes_and_no_notes() -> None:
    lock = (
        "# note\na==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n    # via b\nb==2 \\\n    --hash=sha256:02\n"
    )
    assert part_of_lock(lock, ["a"]) == "a==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
    with pytest.raises(KeyError):
        part_of_lock(lock, ["c"])


def test_every_service_s_stand_in_says_what_it_is(repository: Path) -> None:
    text = (repository / "infra" / "containers" / "recipes" / "services.Dockerfile").read_text()
    stages = {part.split()[2]: part for part in text.split("\nFROM ")[1:]}
    assert stages.pop("wheels")
    assert stages.keys() == set(SERVICES)
    assert [name for name, stage in stages.items() if "LABEL assay.stand-in=" not in stage] == []
    override = (repository / "infra" / "containers" / "stand_ins.override.yml").read_text()
    assert [name for name in SERVICES if name != "rabbitmq" and service_tag(name) not in override] == []
