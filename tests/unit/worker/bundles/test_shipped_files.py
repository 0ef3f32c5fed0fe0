import json
from pathlib import Path

from worker.bundles.shipped_files import shipped_folder


def bundle(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps({"version": version}), encoding="utf-8")
    return folder


def test_a_release_finds_its_own_bundle_and_those_of_earlier_releases(tmp_path: Path) -> None:
    now, before = bundle(tmp_path / "wild", "wild-2"), bundle(tmp_path / "earlier" / "wild-1", "wild-1")
    assert shipped_folder("wild", root=tmp_path) == now
    assert shipped_folder("wild", "wild-2", tmp_path) == now
    assert shipped_folder("wild", "wild-1", tmp_path) == before
    # Whoever loads it says that it is another one.
    assert shipped_folder("wild", "wild-0", tmp_path) == now
