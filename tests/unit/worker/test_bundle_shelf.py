"""The shelf loads a bundle once, keeps the last few, and serves no bundle under another's name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.bundle_shelf import BundleMissingError, BundleShelf
from worker.testing import FakeBundle


def locate(version: str) -> Path:
    if version == "missing":
        raise BundleMissingError
    return Path(version)


def name_of(folder: Path) -> str:
    return folder.name


class Loader:
    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, folder: Path) -> FakeBundle:
        self.loaded.append(folder.name)
        return FakeBundle(version=folder.name)


def test_a_bundle_is_loaded_once_however_many_ask(together: Callable[..., list[Any]]) -> None:
    load = Loader()
    shelf = BundleShelf(locate, name_of, load)
    got = together(*[lambda: shelf.get("b1")] * 8)
    assert load.loaded == ["b1"]
    assert all(bundle is got[0] for bundle in got)


def test_the_bundle_unused_for_longest_makes_room() -> None:
    load = Loader()
    shelf = BundleShelf(locate, name_of, load, capacity=2)
    for version in ("b1", "b2", "b1", "b3", "b1", "b2"):
        assert shelf.get(version).version == version
    assert load.loaded == ["b1", "b2", "b3", "b2"]


def test_a_bundle_that_is_not_here_is_waited_for() -> None:
    with pytest.raises(BundleMissingError):
        BundleShelf(locate, name_of, Loader()).get("missing")


def test_a_folder_that_holds_another_bundle_serves_nobody() -> None:
    load = Loader()
    shelf = BundleShelf(lambda _version: Path("b2"), name_of, load)
    with pytest.raises(BundleMissingError, match="its folder holds b2"):
        shelf.get("b1")
    assert load.loaded == []
