"""Whoever has a live image gets the next process, whoever has history waits, and nobody gets one that is in use."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.support.assay_up import wait_until
from worker.decoders.idle import Idle


def _stand(idle: Idle[str], threads: int) -> bool:
    return idle.waiting() == threads


def test_live_images_are_decoded_before_history_that_came_first() -> None:
    idle, order = Idle(["process"]), list[str]()
    process = idle.take()

    def work(name: str, *, bulk: bool) -> None:
        mine = idle.take(bulk=bulk)
        order.append(name)
        idle.give(mine)

    with ThreadPoolExecutor(4) as threads:
        for number, (name, bulk) in enumerate([("old 1", True), ("old 2", True), ("live 1", False), ("live 2", False)]):
            threads.submit(work, name, bulk=bulk)
            wait_until(partial(_stand, idle, number + 1), 20, "the thread to stand in line")
        idle.give(process)
    assert order == ["live 1", "live 2", "old 1", "old 2"]


def test_two_processes_serve_two_threads_at_once() -> None:
    idle = Idle(["one", "two"])
    assert {idle.take(), idle.take(bulk=True)} == {"one", "two"}
    idle.give("one")
    assert idle.take() == "one"
