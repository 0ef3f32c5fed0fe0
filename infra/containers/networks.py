"""Networks cut between two parts, or a part cut off from all: what the chaos run's scenes are struck with.

A cut drops packets in silence, as a lost network does: nobody is told that a connection ended.
"""

import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from infra.chaos.faults import Fault
from infra.chaos.scene import Scene
from infra.containers.compose_project import ComposeProject
from infra.containers.engine import EngineError

# Who is cut from whom, and for how many seconds.
PAIRS = (
    ("worker", "postgres", 120.0),
    ("worker", "valkey", 60.0),
    ("worker", "object-store", 30.0),
    ("dispatcher", "postgres", 30.0),
    ("dispatcher", "valkey", 45.0),
    ("dispatcher", "object-store", 15.0),
    ("api", "postgres", 20.0),
    ("api", "valkey", 10.0),
    ("object-store", "api", 15.0),
)
ALONE = (("worker", 40.0), ("dispatcher", 20.0), ("api", 5.0))
LOSSY = (("worker", "postgres", 30.0), ("worker", "object-store", 30.0))
_LOST_SHARE = "0.3"
_NETWORK = "assay-test_assay"


def network_faults(project: ComposeProject) -> list[Fault]:
    """Return a fault for every pair that can be cut, every part that can be cut off, and lossy networks."""
    return [
        *pair_faults(project, PAIRS),
        *(
            Fault(f"disconnect {part} {seconds:.0f} s", partial(_cut_off, project, part, seconds))
            for part, seconds in ALONE
        ),
        *(
            Fault(f"lose 30 % {a} - {b} {seconds:.0f} s", partial(_lose, project, a, b, seconds))
            for a, b, seconds in LOSSY
        ),
    ]


def pair_faults(project: ComposeProject, pairs: Iterable[tuple[str, str, float]]) -> list[Fault]:
    """Return a fault for every pair: all packets between the two are dropped for so many seconds."""
    return [Fault(f"drop {a} - {b} {seconds:.0f} s", partial(_drop, project, a, b, seconds)) for a, b, seconds in pairs]


def _drop(project: ComposeProject, one: str, other: str, seconds: float, _scene: Scene) -> None:
    with cut(project, one, other):
        time.sleep(seconds)


def _lose(project: ComposeProject, one: str, other: str, seconds: float, _scene: Scene) -> None:
    with cut(project, one, other, "-m", "statistic", "--mode", "random", "--probability", _LOST_SHARE):
        time.sleep(seconds)


def _cut_off(project: ComposeProject, part: str, seconds: float, _scene: Scene) -> None:
    names = [container["Id"] for container in project.containers(part)]
    for name in names:
        project.engine.run("network", "disconnect", _NETWORK, name)
    try:
        time.sleep(seconds)
    finally:
        for name in names:
            project.engine.run("network", "connect", "--alias", part, _NETWORK, name)


@contextmanager
def cut(project: ComposeProject, one: str, other: str, *share: str) -> Iterator[None]:
    """Drop every packet between two services, both ways, for as long as the block lasts; `share` drops some only."""
    addresses = [
        network["IPAddress"]
        for container in project.containers(other)
        for network in container["NetworkSettings"]["Networks"].values()
    ]
    rules = [
        (container["State"]["Pid"], (chain, way, address, *share, "-j", "DROP"))
        for container in project.containers(one)
        for address in addresses
        for chain, way in (("OUTPUT", "-d"), ("INPUT", "-s"))
    ]
    for pid, rule in rules:
        _filter(pid, "-I", rule)
    try:
        yield
    finally:
        for pid, rule in rules:
            _filter(pid, "-D", rule)


def _filter(pid: int, act: str, rule: tuple[str, ...]) -> None:
    """Put a rule into the network of a process or take it away; a process that is gone took its network along."""
    program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin")
    if program is None:
        raise EngineError("iptables is missing (Debian: apt-get install iptables)")
    command = ["nsenter", "--target", str(pid), "--net", program, "-w", act, *rule]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and act == "-I":
        raise EngineError(f"no rule for the network: {done.stderr.strip()}")
