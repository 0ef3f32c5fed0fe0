"""The shelf loads a bundle once, keeps the last few, and serves no bundle under another's name."""

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.support.fakes import FakeBundle, FakeClock
from worker.bundles.encoders.folder import EncoderFolder
from worker.bundles.opening import Opening
from worker.bundles.release import shipped_bundle
from worker.bundles.shelf import BundleMissingError, BundleShelf


def locate(version: str) -> Path:
    if version == "missing":
        raise BundleMissingError
    return Path(version)


def name_of(folder: Path) -> str:
    return folder.name


def shelf_of(load: Callable[[Path], Any], capacity: int = 3, clock: FakeClock | None = None) -> BundleShelf:
    return BundleShelf(locate, name_of, load, monotonic=clock or FakeClock(), capacity=capacity)


class Loader:
    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, folder: Path) -> FakeBundle:
        self.loaded.append(folder.name)
        return FakeBundle(version=folder.name)


def test_a_bundle_is_loaded_once_however_many_ask(together: Callable[..., list[Any]]) -> None:
    load = Loader()
    shelf = shelf_of(load)
    got = together(*[lambda: shelf.get("b1")] * 8)
    assert load.loaded == ["b1"]
    assert all(bundle is got[0] for bundle in got)


def test_the_bundle_unused_for_longest_makes_room() -> None:
    load = Loader()
    shelf = shelf_of(load, capacity=2)
    for version in ("b1", "b2", "b1", "b3", "b1", "b2"):
        assert shelf.get(version).version == version
    assert load.loaded == ["b1", "b2", "b3", "b2"]


def test_a_bundle_that_is_not_here_is_waited_for() -> None:
    with pytest.raises(BundleMissingError):
        shelf_of(Loader()).get("missing")


def test_a_folder_that_holds_another_bundle_serves_nobody() -> None:
    load = Loader()
    shelf = BundleShelf(lambda _version: Path("b2"), name_of, load, monotonic=FakeClock())
    with pytest.raises(BundleMissingError, match="its folder holds b2"):
        shelf.get("b1")
    assert load.loaded == []


def test_scans_of_another_bundle_go_on_while_one_is_loaded() -> None:
    begun, may_end = Event(), Event()

    def load(folder: Path) -> FakeBundle:
        if folder.name == "slow":
            begun.set()
            assert may_end.wait(30)
        return FakeBundle(version=folder.name)

    shelf = shelf_of(load)
    shelf.get("champion")
    loading = Thread(target=shelf.get, args=("slow",))
    loading.start()
    assert begun.wait(30)
    assert shelf.get("champion").version == "champion"
    may_end.set()
    loading.join()
    assert shelf.get("slow").version == "slow"


def test_scans_of_a_broken_bundle_wait_and_it_is_tried_again_after_a_while() -> None:
    tried: list[str] = []

    def load(folder: Path) -> FakeBundle:
        tried.append(folder.name)
        if len(tried) == 1:
            raise ValueError("torn file")
        return FakeBundle(version=folder.name)

    clock = FakeClock()
    shelf = shelf_of(load, clock=clock)
    for _ in range(3):
        with pytest.raises(BundleMissingError, match="b1 cannot be loaded"):
            shelf.get("b1")
    assert tried == ["b1"]
    clock.advance(10)
    assert shelf.get("b1").version == "b1"


def test_ready_is_what_is_loaded_and_what_cannot_be_and_never_what_is_being_loaded() -> None:
    begun, may_end = Event(), Event()

    def load(folder: Path) -> FakeBundle:
        if folder.name == "slow":
            begun.set()
            assert may_end.wait(30)
        return FakeBundle(version=folder.name)

    shelf = shelf_of(load)
    shelf.get("champion")
    with pytest.raises(BundleMissingError):
        shelf.get("missing")
    shelf.prepare("slow")
    shelf.prepare("slow")
    assert begun.wait(30)
    assert shelf.ready() == {"champion", "missing"}
    may_end.set()
    assert shelf.get("slow").version == "slow"
    assert shelf.ready() == {"champion", "missing", "slow"}


def test_a_bundle_whose_encoder_is_missing_waits_with_what_to_do_and_the_others_are_served(tmp_path: Path) -> None:
    opening = Opening(encoders=EncoderFolder(tmp_path))
    shelf = BundleShelf(shipped_bundle, name_of, opening.load, monotonic=FakeClock())
    for _ in range(2):
        with pytest.raises(BundleMissingError, match=r"bundle wild cannot be loaded: .*run `assay encoders fetch`"):
            shelf.get("wild")
    assert shelf.get("cifake").detector_names == ("convnext", "clip", "lite2")
