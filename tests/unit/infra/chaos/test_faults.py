"""Which faults a run strikes."""
# ruff: noqa: S311 - chance that chooses faults, no secrets

from collections import Counter
from random import Random

import pytest

from infra.chaos.faults import all_faults, chosen_faults
from infra.chaos.local import PARTS
from infra.chaos.run import summary
from infra.chaos.scene import Report
from worker.errors import AssayError


def test_every_part_is_killed_alone_and_in_two_pairs_and_all_else_is_struck() -> None:
    faults = chosen_faults([], Random(7))
    killed = Counter((name, len(fault.kills)) for fault in faults for name in fault.kills)
    assert killed == {(name, 1): 1 for name in PARTS} | {(name, 2): 2 for name in PARTS}
    assert {fault.name for fault in faults} > {fault.name for fault in all_faults() if not fault.kills}


def test_a_seed_gives_the_same_faults_in_the_same_order() -> None:
    def names(seed: int) -> list[str]:
        return [fault.name for fault in chosen_faults([], Random(seed))]

    assert names(1) == names(1)
    assert names(1) != names(2)


def test_faults_are_chosen_by_their_names() -> None:
    chosen = chosen_faults(["kill worker", "kill api + *"], Random(1))
    assert {fault.name for fault in chosen} == {
        "kill worker",
        "kill api + postgres",
        "kill api + valkey",
        "kill api + object_store",
    }
    with pytest.raises(AssayError, match="kill worker, "):
        chosen_faults(["nothing"], Random(1))


def test_the_sum_counts_everything_and_names_the_worst_recovery() -> None:
    reports = [Report("a", 5, 4, 1, 0, 0, 1.5), Report("b", 3, 3, 0, 2, 1, 9.0)]
    assert summary(reports) == {"images": 8, "faults": 2, "lost": 1, "doubled": 2, "dead": 1, "worst_recovery_s": 9.0}
