"""Every source in its turn judged by detectors that have not seen it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infra.cli.bundles_card import as_text as card_as_text
from training.data.collection import DataError
from training.folds import as_text, measure_folds, put_on_card
from training.recipe_file import load_recipe
from worker.bundles.card import read_card
from worker.bundles.folder import read_bundle
from worker.bundles.loaded import shipped_bundle

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_each_source_is_judged_once_by_detectors_that_never_saw_it(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(str(bundle_recipe))
    report = measure_folds(recipe, plant(160, sources=4), tmp_path / "run")
    sources = [source for fold in report.folds for source in fold.sources]
    assert len(report.folds) >= 2
    assert sorted(sources) == sorted(set(sources))
    for place, fold in enumerate(report.folds, start=1):
        folder = tmp_path / "run" / f"fold-{place}"
        order = json.loads((folder / "convnext" / "order.json").read_text())
        assert set(order["recipe"]["held_out_sources"]) == set(fold.sources)
    assert report.overall.images == 160
    assert sum(fold.images for fold in report.folds) == 160
    assert (report.overall.auroc or 0.0) > 0.8  # what tells the classes apart is the same in every source
    assert json.loads((tmp_path / "run" / "folds.json").read_text()) == report.document()
    assert f"all: 160 images, AUROC {report.overall.auroc:.3f}" in as_text(report)
    assert np.isfinite(report.intervals_95["auroc"] or np.nan).all()
    assert report.negatives["photographs"].images == 80
    assert 0.8 < (report.auroc_of_added_logits or 0.0) <= 1.0

    bundle = tmp_path / "bundle"
    shutil.copytree(shipped_bundle("wild"), bundle)
    put_on_card(report.model_copy(update={"recipe": "wild"}), bundle, "the command")
    card = read_card(read_bundle(bundle).card)
    assert card.measured_folds is not None
    assert (card.measured_folds.overall, card.measured_folds.command) == (report.overall, "the command")
    assert "again by      the command" in card_as_text(card)
    with pytest.raises(DataError, match="holds a bundle of wild"):
        put_on_card(report.model_copy(update={"recipe": "cifake"}), bundle, "the command")
