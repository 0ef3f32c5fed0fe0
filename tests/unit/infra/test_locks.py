"""One lock serves every Python that Assay runs on, and leaves nothing out."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = (
    "requirements.lock",
    "infra/embedded/requirements-ministack.lock",
    "infra/docker/api.lock",
    "infra/docker/worker.lock",
    "infra/docker/torch.lock",
)


def entries(lock: Path) -> list[Requirement]:
    """Read the packages of a lock with their versions and markers."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #-"]


def for_python(version: str) -> dict[str, str]:
    return {
        "python_full_version": version,
        "python_version": version.rpartition(".")[0],
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }


def packages(lock: Path, python: str) -> dict[str, str]:
    """Return name → the specifier of what is installed under a Python."""
    return {
        canonicalize_name(entry.name): str(entry.specifier)
        for entry in entries(lock)
        if entry.marker is None or entry.marker.evaluate(for_python(python))
    }


@pytest.fixture(scope="module")
def dependencies(repository: Path) -> list[Requirement]:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"].values()
    return [Requirement(line) for line in (*project["dependencies"], *(line for part in optional for line in part))]


@pytest.mark.parametrize("python", ["3.11.0", "3.11.2", "3.11.15", "3.12.1", "3.13.0"])
def test_the_lock_holds_every_dependency_of_the_project(
    repository: Path, dependencies: list[Requirement], python: str
) -> None:
    locked = packages(repository / "requirements.lock", python)
    for dependency in dependencies:
        pin = locked[canonicalize_name(dependency.name)]
        assert dependency.specifier.contains(pin.removeprefix("=="), prereleases=True), f"{dependency}: make lock"


@pytest.mark.parametrize("name", ["requirements.lock", "infra/docker/api.lock", "infra/docker/worker.lock"])
def test_redis_has_its_async_timeout_below_python_3_11_3_alone(repository: Path, name: str) -> None:
    assert "async-timeout" in packages(repository / name, "3.11.2")
    assert "async-timeout" not in packages(repository / name, "3.11.3")
    assert "async-timeout" not in packages(repository / name, "3.13.0")


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_of_a_lock_is_one_version_with_its_hashes_and_no_address(repository: Path, name: str) -> None:
    lock = repository / name
    assert entries(lock)
    for entry in entries(lock):
        assert [pin.operator for pin in entry.specifier] == ["=="], entry
        assert entry.url is None, entry
    text = lock.read_text(encoding="utf-8")
    assert text.count(" \\\n    --hash=sha256:") >= len(entries(lock))
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")]
