"""`assay train` from data to bundle or report."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from infra.cli.main import app
from training.data.collection import DataError
from training.export import run_bundle as export
from training.recipe import RecipeError
from training.recipe_file import load_recipe
from training.train import look_at_data
from worker.bundles.folder import read_bundle
from worker.bundles.loaded import load_bundle

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def assay_train(recipe: Path, data: Path, out: Path, *options: str) -> tuple[dict[str, object], str]:
    """Run `assay train --json`; give its result and what it said to people."""
    order = [
        "train",
        "--recipe",
        str(recipe),
        "--data",
        str(data),
        "--out",
        str(out),
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, [*order, "--json", *options], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout), done.stderr


def test_a_folder_of_pictures_becomes_a_bundle_and_a_leak_is_told_before_training(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    result, output = assay_train(bundle_recipe, plant(leaky=True), tmp_path / "run")
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert result == {"bundle": bundle.version, "folder": str(tmp_path / "run" / "bundle")}
    assert {"clip", "convnext"} == set(bundle.detector_names)
    assert output.index("WARNING: the data leaks its classes here") < output.index("clip:")
    described = json.loads((tmp_path / "run" / "data.json").read_text())
    assert described["leaks"]["format"] > 0.99
    assert {"training", "held_out"} == set(described["by_split"])
    assert "held out by content: sources are on both sides" in output
    assert (described["held_out_sources"], described["held_out_is"] in output) == ([], True)


def test_whole_sources_are_held_out_where_the_recipe_says_so_and_there_are_enough(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    root = plant()
    for number, file in enumerate(sorted(root.rglob("*.png"))):
        place = root / f"place{number % 5}" / file.parent.name
        place.mkdir(parents=True, exist_ok=True)
        file.rename(place / file.name)
    options = ["--set", "disjoint=source", "--set", "held_out_share=0.2", "--set", "fit.epochs=1"]
    _, output = assay_train(bundle_recipe, root, tmp_path / "run", *options)
    described = json.loads((tmp_path / "run" / "data.json").read_text())
    (held_out,) = described["held_out_sources"]
    assert f"held out as whole sources, which nothing is fitted on: {held_out}\n" in output
    went = pq.read_table(tmp_path / "run" / "manifest.parquet", columns=["source", "split"]).to_pylist()
    assert {("held_out" if row["source"] == held_out else "training") == row["split"] for row in went} == {True}
    assert load_bundle(tmp_path / "run" / "bundle").card["calibration_data"]["images"] == 32


def test_a_run_begins_with_a_bundles_weights_where_they_fit_and_says_so_where_they_do_not(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    data, still = plant(), ["--detector", "clip", "--set", "fit.epochs=0.1", "--set", "fit.learning_rate=0.0"]
    assay_train(bundle_recipe, data, tmp_path / "run", "--set", "fit.epochs=0.2")
    bundle = tmp_path / "run" / "bundle"
    assay_train(bundle_recipe, data, tmp_path / "on", "--start-from", str(bundle), *still)
    begun = read_bundle(bundle).detectors["clip"].tensors["head.1.weight"]
    found = load_file(tmp_path / "on" / "clip" / "checkpoint.safetensors")["averaged.head.1.weight"]
    assert torch.equal(found, begun.float())
    with pytest.raises(RecipeError, match=r"clip holds a run of another start .*give another --out"):
        assay_train(bundle_recipe, data, tmp_path / "on", *still)
    other = ["--set", "detectors.clip.architecture.tower.heads=1"]  # its weights have the same shapes
    with pytest.raises(RecipeError, match=r"weights of bundle .* do not fit the recipe's clip \(tower.heads\)"):
        assay_train(bundle_recipe, data, tmp_path / "other", "--start-from", str(bundle), *still, *other)
    assert not (tmp_path / "other" / "clip").exists()  # told before any data was decoded


def test_a_start_from_a_bundle_without_an_srm_detector_leaves_that_to_be_fitted(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    data = plant()
    assay_train(bundle_recipe, data, tmp_path / "run", "--set", "fit.epochs=0.2")
    fit = '{ head = "logistic", batch_size = 16, learning_rate = 0.0, weight_decay = 0.0, epochs = 1 }'
    views = "{ size = 16, wholes = 0, crops = 1 }"
    more = f"[detectors.srm]\nviews = {views}\narchitecture = {{ scales = 2 }}\nfit = {fit}\n"
    bundle_recipe.write_text(bundle_recipe.read_text().replace("[card]", more + "[card]"))
    begun = ["--start-from", str(tmp_path / "run" / "bundle"), "--set", "detectors.clip.fit.epochs=0.1"]
    assay_train(bundle_recipe, data, tmp_path / "on", *begun, "--set", "detectors.convnext.fit.epochs=0.1")
    assert load_bundle(tmp_path / "on" / "bundle").detector_names == ("clip", "convnext", "srm")


def test_detectors_that_a_run_has_not_fitted_come_from_a_bundle_as_they_are(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = plant()
    assay_train(bundle_recipe, data, tmp_path / "run", "--set", "fit.epochs=0.2")
    bundle, again = tmp_path / "run" / "bundle", tmp_path / "again"
    assay_train(bundle_recipe, data, again, "--detector", "clip", "--set", "fit.epochs=1")
    order = ["export", "--recipe", str(bundle_recipe), "--data", str(data), "--out", str(again), "--device", "cpu"]
    monkeypatch.setattr("sys.argv", [*order, "--others-from", str(bundle)])
    export.main()
    assert load_bundle(again / "bundle").card["detectors_from"] == {"convnext": read_bundle(bundle).version()}
    before, after = (read_bundle(folder).detectors for folder in (bundle, again / "bundle"))
    assert all(torch.equal(value, after["convnext"].tensors[key]) for key, value in before["convnext"].tensors.items())
    assert not torch.equal(before["clip"].tensors["head.1.weight"], after["clip"].tensors["head.1.weight"])
    result, _ = assay_train(bundle_recipe, data, again, "--set", "fit.epochs=1")  # nothing is left to fit
    assert result["bundle"] == read_bundle(again / "bundle").version()
    other = tmp_path / "other" / "bundle"
    assay_train(bundle_recipe, data, other.parent, "--set", "fit.epochs=0.4")
    monkeypatch.setattr("sys.argv", [*order, "--others-from", str(other)])
    export.main()  # what was taken before is taken from the other now
    assert load_bundle(again / "bundle").card["detectors_from"] == {"convnext": read_bundle(other).version()}
    taken, there = (read_bundle(folder).detectors["convnext"].tensors for folder in (again / "bundle", other))
    assert all(torch.equal(value, taken[key]) for key, value in there.items())


def test_data_without_a_leak_is_not_warned_of(plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path) -> None:
    _, output = assay_train(bundle_recipe, plant(), tmp_path / "run", "--detector", "clip", "--set", "fit.epochs=1")
    assert "leak audit" in output
    assert "WARNING" not in output


def test_the_leak_audit_of_pictures_of_several_sizes_is_told_before_they_are_refused(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(leaky=True)
    with Image.open(next((root / "train" / "FAKE").iterdir())) as picture:
        picture.resize((40, 40)).save(root / "train" / "FAKE" / "large.png")
    with pytest.raises(DataError, match="side=224"):
        look_at_data(load_recipe(str(bundle_recipe)), root, tmp_path / "run")
    assert "WARNING: the data leaks its classes here" in capsys.readouterr().err


def test_classifiers_are_measured_beside_each_other(
    plant: Callable[..., Path], classifier_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    report, output = assay_train(classifier_recipe, plant(240), out)
    networks = report["networks"]
    assert isinstance(networks, dict)
    assert list(networks) == ["cnn", "resnet"]
    assert networks["cnn"]["accuracy"] > 0.9
    # Stripes are learnt long before thirty epochs are over.
    assert networks["cnn"]["epochs"] < 30
    for name in networks:
        assert {"weights.safetensors", "gradcam.png", "tensorboard"} <= {f.name for f in (out / name).iterdir()}
    assert json.loads((out / "report.json").read_text()) == report
    with Image.open(out / "curves.png") as curves, Image.open(out / "cnn" / "gradcam.png") as sheet:
        assert min(curves.size) > 400
        assert sheet.size == (480, 8 * 160)
    events = EventAccumulator(str(out / "cnn" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"training/loss", "training/learning_rate", "validation/auroc"} <= set(tags["scalars"])
    assert tags["images"]
    assert len(events.Scalars("training/loss")) > 1
    assert "validation/precision_recall" in tags["tensors"]
    assert "cnn: 100%" in output
    assert "resnet: 100%" in output


def test_a_smoke_run_of_a_named_recipe_ends_in_a_bundle_that_claims_nothing(
    plant: Callable[..., Path], tmp_path: Path
) -> None:
    result, _ = assay_train(
        Path("cifake"), plant(240), tmp_path / "run", "--smoke", "--minutes", "0.03", "--set", "side=32"
    )
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert result["bundle"] == bundle.version
    assert (bundle.card["title"], bundle.card["smoke"], bundle.card.get("tried")) == ("cifake", True, None)
    assert "CIFAKE" not in json.dumps([bundle.card["training_data"], bundle.card["scope"]])
    assert "worth nothing" in bundle.card["known_weaknesses"][0]


def test_a_detector_that_the_recipe_lacks_is_an_error(
    plant: Callable[..., Path], bundle_recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="has no detector 'vit'; it has clip, convnext"):
        assay_train(bundle_recipe, plant(), tmp_path / "run", "--detector", "vit")
