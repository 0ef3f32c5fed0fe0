"""One list of detectors' names; what cannot import it is held to it here."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from worker.detectors.names import TITLES, DetectorName, title_of

SHIPPED = "worker/bundles/shipped/*/bundle.json"
RECIPES = "training/recipes/*.toml"


def test_every_name_has_a_title_and_another_name_stands_for_itself() -> None:
    assert set(TITLES) == set(DetectorName)
    assert (title_of("convnext"), title_of("unheard-of")) == ("ConvNeXt", "unheard-of")


@pytest.mark.parametrize("pattern", [SHIPPED, RECIPES])
def test_what_ships_has_no_detector_that_is_not_in_the_list(repository: Path, pattern: str) -> None:
    files = sorted(repository.glob(pattern))
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        detectors = (json.loads(text) if file.suffix == ".json" else tomllib.loads(text)).get("detectors", {})
        assert set(detectors) <= set(DetectorName), f"{file}: name it in worker/detectors/names.py"


def test_the_console_holds_no_list_of_its_own(repository: Path) -> None:
    files = sorted((repository / "api" / "console" / "static").glob("*.js"))
    assert files
    assert [file.name for file in files if "ConvNeXt" in file.read_text(encoding="utf-8")] == []


def test_the_list_is_importable_without_torch() -> None:
    code = "import sys, worker.detectors.names; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
