"""A recipe and two tiny Parquet files, all the way to a measured bundle."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from training.calibration.held_out_again import as_text, tell_again, write_again
from training.data import assemble as data
from training.data import drawings, renderings
from training.data.collection import DataError
from training.evaluation.evaluate import evaluate
from training.evaluation.pictures import open_pictures
from training.export.run_bundle import export
from training.fitting import augment, fit, schedule
from training.fitting.run import Run
from training.recipe import DetectorRecipe, Fit, Recipe
from training.recipe_file import load_recipe
from training.retraining.refit_data import keep_for_replay
from worker.bundles.copies import REPLAY
from worker.bundles.folder import read_bundle, update_card, write_bundle
from worker.bundles.loaded import load_bundle
from worker.images.views import ViewPlan

pytestmark = pytest.mark.integration

FIT = Fit(batch_size=16, learning_rate=3e-3, weight_decay=0.01, epochs=6, minutes=10)
TOWER = {"image_size": 16, "patch_size": 4, "width": 16, "layers": 2, "heads": 2, "mlp_ratio": 2.0, "output_dim": 16}
NETWORK = {
    "patch_size": 1,
    "depths": [1, 1, 0, 0],
    "dims": [8, 8, 8, 8],
    "kernel_sizes": 3,
    "norm_layer": "batchnorm2d",
    "conv_mlp": True,
}
RECIPE = Recipe(
    name="tiny",
    seed=5,
    augmentation="light",
    files=("tiny-train.parquet",),
    detectors=(
        DetectorRecipe("clip", {"tower": TOWER, "taps": [0]}, ViewPlan(16, 1, 0), FIT),
        DetectorRecipe("convnext", {"network": NETWORK, "stem": [8]}, ViewPlan(16, 1, 0), FIT),
    ),
    held_out_share=0.4,
    scope="stripes",
    card={"title": "tiny"},
)


def striped(label: int, rng: np.random.Generator) -> bytes:
    """Photographs here are noise, AI-generated pictures have stripes across."""
    pixels = rng.integers(0, 120, (16, 16, 3))
    if label:
        pixels[:, ::2] += 110
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = [row % 2 for row in range(160)]
    table = pa.table({"image": [striped(label, rng) for label in labels], "label": pa.array(labels, pa.int8())})
    pq.write_table(table, tmp_path / "tiny-train.parquet")
    return tmp_path


def fitted(recipe: Recipe, data_folder: Path, out: Path) -> None:
    rows = data.recipe_rows(recipe, data_folder, out / "cache")
    for part in recipe.detectors:
        torch.manual_seed(recipe.seed)
        run = Run(part, out / part.name, "cpu")
        run.resume()
        fit.fit_detector(run, recipe, data.split(rows, recipe)[0])


def test_a_run_ends_in_a_bundle_that_tells_the_classes_apart(data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    fitted(RECIPE, data_folder, out)
    version = export(RECIPE, data_folder, out, out / "bundle", "cpu")
    bundle = load_bundle(out / "bundle")
    report = evaluate(bundle, open_pictures([data_folder / "tiny-train.parquet"]), robustness_images=0)
    assert version == bundle.version == report["bundle"]
    assert report["overall"]["accuracy"] > 0.9
    held_out = data.split(data.recipe_rows(RECIPE, data_folder, out / "cache"), RECIPE)[1]
    assert len(held_out) == len(bundle.figures.negatives) + len(bundle.figures.positives)
    assert {"tiny"} == set(report["by_source"])


def test_the_held_out_figures_of_a_card_come_again_from_the_replay_beside_the_bundle(
    data_folder: Path, tmp_path: Path
) -> None:
    out, folder = tmp_path / "run", tmp_path / "run" / "bundle"
    fitted(RECIPE, data_folder, out)
    export(RECIPE, data_folder, out, folder, "cpu")
    held_out = data.split(data.recipe_rows(RECIPE, data_folder, out / "cache"), RECIPE)[1]
    with pytest.raises(DataError, match="no replay"):
        tell_again(folder)
    keep_for_replay(load_bundle(folder), held_out, folder / REPLAY)
    card, again = load_bundle(folder).card, tell_again(folder)
    assert again.whole
    assert again.same_bundle
    assert again.images == len(held_out) == card["held_out"]["images"]
    assert {key: card[key] for key in again.result.facts} == json.loads(json.dumps(again.result.facts))
    assert all(before == now for before, now in again.figures.values())
    update_card(folder, {"held_out": {**card["held_out"], "accuracy": 0.0}, "selection": "none"})
    write_again(folder, tell_again(folder))
    assert load_bundle(folder).card == card
    assert "by content" in card["certifies"]
    parts = read_bundle(folder)
    for place, (change, same) in enumerate([(1e-12, True), (1e-3, False)]):  # another processor, and another fit
        fusion = dataclasses.replace(parts.fusion, bias=parts.fusion.bias + change)
        other = tmp_path / f"other-{place}"
        assert write_bundle(dataclasses.replace(parts, fusion=fusion), other) != again.version
        keep_for_replay(load_bundle(other), held_out, other / REPLAY)
        assert tell_again(other).same_bundle == same
    with pytest.raises(DataError, match="do not come out as it has them"):
        write_again(other, tell_again(other))
    keep_for_replay(load_bundle(folder), held_out.take(np.arange(60)), folder / REPLAY)
    assert "60, not all" in as_text(tell_again(folder))
    with pytest.raises(DataError, match="holds 60 images"):
        write_again(folder, tell_again(folder))


def test_a_card_says_of_other_data_only_what_was_said_of_it(data_folder: Path, tmp_path: Path) -> None:
    words = {"title": "Tiny", "data": "stripes of ours, 160 images", "tried": ["nothing"]}
    recipe = dataclasses.replace(RECIPE, card=words, scope="stripes")
    out = tmp_path / "run"
    fitted(recipe, data_folder, out)
    export(recipe, data_folder, out, out / "own", "cpu")
    own = load_bundle(out / "own").card
    assert (own["title"], own["data"], own["scope"]) == ("Tiny", "stripes of ours, 160 images", "stripes")
    assert own["training_data"]["licences"] == "stripes of ours, 160 images"
    (data_folder / "tiny-train.parquet").rename(data_folder / "theirs.parquet")
    export(recipe, data_folder / "theirs.parquet", out, out / "other", "cpu")
    card = load_bundle(out / "other").card
    assert (card["title"], card.get("data"), card.get("tried")) == ("tiny", None, None)
    assert card["training_data"]["licences"].startswith("not stated")
    assert "nobody has described" in card["scope"]
    assert card["certificate"]["scope"] == card["scope"]


def test_the_wall_clock_ends_a_run(data_folder: Path, tmp_path: Path) -> None:
    hurried = dataclasses.replace(FIT, epochs=1e9, minutes=0.01)
    recipe = dataclasses.replace(RECIPE, detectors=(dataclasses.replace(RECIPE.detectors[0], fit=hurried),))
    fitted(recipe, data_folder, tmp_path)
    assert (tmp_path / "clip" / "checkpoint.safetensors").exists()


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [schedule.learning_rate_at(progress, FIT) for progress in (0.0, 0.025, 0.05, 0.5, 1.0)]
    assert rates[0] < rates[1] < rates[2] > rates[3] > rates[4]
    assert (0.0, FIT.learning_rate) == (rates[0], rates[2])
    assert rates[4] == pytest.approx(0.0)


def rows_of(labels: list[int], sources: list[str]) -> data.Rows:
    count = len(labels)
    hashes = np.array([f"{index * 2**32 // count:08x}" for index in range(count)])
    texts = np.array(sources)
    return data.Rows(np.zeros((count, 2, 2, 3), np.uint8), np.array(labels, np.int8), texts, texts, hashes)


def test_both_classes_are_drawn_equally_and_big_sources_do_not_drown_small_ones() -> None:
    rows = rows_of([0] * 100 + [1] * 20, ["big"] * 81 + ["small"] * 19 + ["ai"] * 20)
    weights = schedule.sampling_weights(rows, {})
    assert weights[rows.labels == 0].sum() == pytest.approx(0.5)
    ratio = weights[rows.sources == "big"].sum() / weights[rows.sources == "small"].sum()
    assert ratio == pytest.approx((81 / 19) ** 0.5)
    stressed = schedule.sampling_weights(rows, {"small": 2.0})
    assert stressed[rows.labels == 0].sum() == pytest.approx(0.5)
    assert stressed[rows.sources == "small"].sum() > weights[rows.sources == "small"].sum()


def test_splits_share_no_source_and_no_content() -> None:
    rows = rows_of([0, 1] * 50, ["a", "b", "c", "d"] * 25)
    kept, held_out = data.split(rows, dataclasses.replace(RECIPE, held_out_sources=("b", "c")))
    assert ({"a", "d"}, {"b", "c"}) == (set(kept.sources), set(held_out.sources))
    kept, held_out = data.split(rows, RECIPE)
    assert not set(kept.hashes) & set(held_out.hashes)
    assert 39 <= len(held_out) <= 41


def test_a_held_out_source_that_the_data_lacks_is_an_error() -> None:
    with pytest.raises(DataError, match=r"nowhere.*--set 'held_out_sources=\[\]'"):
        data.split(rows_of([0, 1], ["a", "b"]), dataclasses.replace(RECIPE, held_out_sources=("nowhere",)))


def test_held_out_sources_that_the_data_lacks_are_told_before_pictures_are_made(
    data_folder: Path, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(
        RECIPE, made={"drawings": 2, "assay_generator": 3}, held_out_sources=("bsds500", "drawn_shapes", "tiny")
    )
    with pytest.raises(DataError, match="recipe tiny holds out sources that the data lacks: bsds500, drawn_shapes;"):
        data.all_rows(recipe, data_folder, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    known = dataclasses.replace(RECIPE, made={"drawings": 2}, held_out_sources=(*list(drawings.KINDS)[:2], "tiny"))
    with pytest.raises(DataError, match="side=224"):  # 16 pixels of one, 224 of the other: it went on to decode
        data.all_rows(known, data_folder, tmp_path / "cache")


@pytest.mark.parametrize("plan", [ViewPlan(48, 0, 3), ViewPlan(48, 1, 0), ViewPlan(48, 1, 1)])
@pytest.mark.parametrize("name", ["mild", "strong"])
def test_augmentation_keeps_shape_and_gives_each_draw_its_own_history(
    plan: ViewPlan, name: augment.AugmentationName
) -> None:
    augmentation = augment.AUGMENTATIONS[name]
    pixels = np.random.default_rng(0).integers(0, 256, (12, 60, 60, 3), dtype=np.uint8)
    views = augmentation(pixels, plan, np.random.default_rng(1))
    assert ((12, 3, 48, 48), torch.uint8) == (tuple(views.shape), views.dtype)
    assert torch.equal(views, augmentation(pixels, plan, np.random.default_rng(1)))
    assert not torch.equal(views, augmentation(pixels, plan, np.random.default_rng(2)))


def test_drawings_are_the_same_for_a_seed_and_take_turns() -> None:
    pictures = [drawings.draw_picture(seed, 64) for seed in range(10)]
    assert set(drawings.KINDS) == {source for source, _ in pictures}
    assert {(64, 64)} == {picture.size for _, picture in pictures}
    assert drawings.draw_picture(3, 64)[1].tobytes() == pictures[3][1].tobytes()
    assert len({picture.tobytes() for _, picture in pictures}) == 10


@pytest.mark.parametrize(("name", "heads"), [("scratch", {"srm": 105_754}), ("cifake", {"lite2": 4_924_353})])
def test_shipped_recipes_build_what_they_name(name: str, heads: dict[str, int]) -> None:
    recipe = load_recipe(name)
    assert name == recipe.name
    counts = {part.name: sum(value.numel() for value in part.build().network.parameters()) for part in recipe.detectors}
    networks = {name: counts.pop(name) for name in ("clip", "convnext")}
    assert all(100_000 < count < 8_000_000 for count in networks.values())
    assert counts == heads


def test_pretrained_towers_are_loaded_from_a_local_file(tmp_path: Path) -> None:
    part = RECIPE.detectors[0]
    tower = part.build().network.get_submodule("tower")
    save_file(tower.state_dict(), tmp_path / "tower.safetensors")
    frozen = dataclasses.replace(
        part, architecture={**part.architecture, "frozen": True}, pretrained=str(tmp_path / "tower.safetensors")
    )
    run = Run(frozen, tmp_path, "cpu")
    loaded = run.detector.network.get_submodule("tower")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in tower.state_dict().items())
    trained = {name for name, value in run.detector.network.named_parameters() if value.requires_grad}
    assert {"head"} == {name.split(".")[0] for name in trained}


def test_a_pretrained_convnext_brings_everything_but_its_head(tmp_path: Path) -> None:
    part = RECIPE.detectors[1]
    other = part.build().network
    published = {**other.state_dict(), "head.fc.weight": torch.zeros(1000, 8), "head.fc.bias": torch.zeros(1000)}
    save_file({name: value.contiguous() for name, value in published.items()}, tmp_path / "convnext.safetensors")
    run = Run(dataclasses.replace(part, pretrained=str(tmp_path / "convnext.safetensors")), tmp_path, "cpu")
    loaded = run.detector.network.state_dict()
    assert tuple(loaded["head.fc.weight"].shape) == (1, 8)
    assert all(torch.equal(value, loaded[name]) for name, value in published.items() if "head.fc" not in name)


def test_renderings_are_the_same_for_a_seed_and_take_turns() -> None:
    pictures = [renderings.render_picture(seed, 64) for seed in range(10)]
    assert set(renderings.KINDS) == {source for source, _ in pictures}
    assert all(picture.size == (64, 64) and picture.mode == "RGB" for _, picture in pictures)
    assert renderings.render_picture(3, 64)[1].tobytes() == pictures[3][1].tobytes()
