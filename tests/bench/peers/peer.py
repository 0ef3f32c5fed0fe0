"""One peer: its environment, its server process, and how fast it answers over HTTP."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from peers.shared import TIMEOUT_SECONDS

from infra.cli.environment import child_environment
from worker.cores import cores

REPOSITORY = Path(__file__).parents[3]
ENVIRONMENTS = REPOSITORY / "build" / "peers-venv"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_AT_ONCE = 48
_WARM_UP = 32
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.5
_HEADERS = {"Content-Type": "image/jpeg"}
_NOT_YET = {httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE}


class NotMeasuredError(Exception):
    """A peer could not be installed, did not start, or gave another answer than a probability."""


@dataclass(frozen=True)
class Peer:
    """A serving framework.

    Attributes:
        name: as people know it.
        distribution: its name in requirements.txt.
        arguments: of Python, up to the port's number.
        path: of its route.
        lacks: what it does not do beside what no peer does.
    """

    name: str
    distribution: str
    arguments: tuple[str, ...]
    path: str
    lacks: str


def measure_peer(peer: Peer, images: Mapping[str, bytes], log: Path) -> float:
    """Return how many images a second the peer answers.

    Raises:
        NotMeasuredError: it cannot be measured; the message is the last line of its output.
    """
    python = install(peer)
    bodies = list(images.values())
    # Other bytes than those that count, as for the pipeline.
    warm = [data + b"\x00" for data in bodies[:_WARM_UP]]
    with running(peer, python, log, warm[0]) as url:
        asyncio.run(post_all(url, warm))
        start = time.perf_counter()
        asyncio.run(post_all(url, bodies))
        return len(bodies) / (time.perf_counter() - start)


def install(peer: Peer) -> Path:
    """Make the peer's environment unless it is there as pinned, and return its Python.

    Raises:
        NotMeasuredError: pip failed.
    """
    pinned = pinned_requirement(peer.distribution)
    folder = ENVIRONMENTS / peer.distribution
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.is_file() and stamp.read_text() == pinned:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    # Assay's packages come behind the peer's own, so torch is not installed twice.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    (packages / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", pinned]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True)
    if outcome.returncode:
        raise NotMeasuredError(f"pip install {pinned}: {last_line(outcome.stderr)}")
    stamp.write_text(pinned)
    return python


def pinned_requirement(distribution: str) -> str:
    """Return the line of requirements.txt that pins a distribution."""
    lines = REQUIREMENTS.read_text().splitlines()
    return next(line for line in lines if line.startswith((f"{distribution}==", f"{distribution}[")))


@contextmanager
def running(peer: Peer, python: Path, log: Path, body: bytes) -> Iterator[str]:
    """Run a peer's server, and give its address once it answers an image.

    Raises:
        NotMeasuredError: it ended, or was not reached in time.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}{peer.path}"
    environment = child_environment(
        PYTHONPATH=f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests' / 'bench'}",
        # As the bare loop and the worker have it.
        OMP_WAIT_POLICY="PASSIVE",
        # Ray would give each of its processes one thread.
        OMP_NUM_THREADS=str(cores()),
        # BentoML would make a folder in the user's home.
        BENTOML_HOME=str(ENVIRONMENTS / "bentoml" / "home"),
        # No figures of ours to anybody.
        BENTOML_DO_NOT_TRACK="True",
        RAY_USAGE_STATS_ENABLED="0",
    )
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [str(python), *peer.arguments, str(port)],
            env=environment,
            cwd=REPOSITORY,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            wait_ready(server, url, body, log)
            yield url
        finally:
            stop(server)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_ready(server: subprocess.Popen[bytes], url: str, body: bytes, log: Path) -> None:
    """Post one image until it is answered; Ray Serve listens before it has a route, and BentoML before a bundle."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    refusal = "nobody listens"
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise NotMeasuredError(last_line(log.read_text(errors="replace")))
        try:
            answer = httpx.post(url, content=body, headers=_HEADERS, timeout=TIMEOUT_SECONDS)
        except httpx.HTTPError as error:
            refusal = f"{type(error).__name__}: {error}"
        else:
            if answer.status_code not in _NOT_YET:
                return
            refusal = f"status {answer.status_code}: {answer.text[:200]}"
        time.sleep(_POLL_SECONDS)
    raise NotMeasuredError(refusal)


def stop(server: subprocess.Popen[bytes]) -> None:
    """End a server as its own signal handler does, and what is left of its session by force."""
    server.terminate()
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def post_all(url: str, bodies: Sequence[bytes]) -> list[float]:
    """Post images, 48 at once, and return their probabilities.

    Raises:
        NotMeasuredError: an answer is none.
    """
    turns = asyncio.Semaphore(_AT_ONCE)
    limits = httpx.Limits(max_connections=_AT_ONCE)
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits) as client:

        async def post(body: bytes) -> float:
            async with turns:
                try:
                    answer = await client.post(url, content=body, headers=_HEADERS)
                except httpx.HTTPError as error:
                    raise NotMeasuredError(f"{type(error).__name__}: {error}") from error
            if answer.status_code != httpx.codes.OK:
                raise NotMeasuredError(f"status {answer.status_code}: {answer.text[:200]}")
            return float(answer.json()["probability"])

        return await asyncio.gather(*map(post, bodies))


def last_line(output: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")
