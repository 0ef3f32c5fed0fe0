"""A refit is what the networks would say with the new head, and learns what it is shown without forgetting the rest."""

import json
from dataclasses import replace
from pathlib import Path

import boto3
import numpy as np
import pytest
import torch
from PIL import Image

from training.data.assemble import Rows
from training.data.collection import DataError
from training.evaluation.scores import judge_images
from training.export.replay import some_of
from training.export.run_bundle import SHIPPED
from training.retraining.gate_case import Origin
from training.retraining.heads import Head, features_by_detector, fit_head, head_of, with_head
from training.retraining.refit import Samples, probabilities_of, refit_parts
from training.retraining.refit_data import bring_replay, joined, keep_for_replay, replayed
from worker.bundles.copies import REPLAY
from worker.bundles.loaded import Bundle
from worker.bundles.parts import BundleParts, DetectorPart
from worker.decisions.calibration import Calibration, CalibrationFigures, Fusion
from worker.detectors.build import build_detector
from worker.images.views import ViewPlan
from worker.objects.transfer import Transfer

TOWER = {"image_size": 16, "patch_size": 4, "width": 32, "layers": 2, "heads": 2, "mlp_ratio": 2.0, "output_dim": 16}
NETWORK = {"patch_size": 1, "depths": [1, 1, 0, 0], "dims": [8, 8, 8, 8]}


@pytest.fixture(scope="module")
def base() -> BundleParts:
    return small_base()


def small_base() -> BundleParts:
    """Make a bundle whose CLIP head leans on nothing that was learnt."""
    torch.manual_seed(1)
    detectors = {}
    for name, architecture, plan in (
        ("clip", {"tower": TOWER, "taps": [0]}, ViewPlan(16, 1, 2)),
        ("convnext", {"network": NETWORK, "stem": [8]}, ViewPlan(16, 1, 0)),
    ):
        network = build_detector(name, architecture, plan).network
        state = {key: value.clone() for key, value in network.state_dict().items()}
        if name == "clip":  # scales and shifts that are none would hide a mistake
            state["head.0.weight"] = torch.rand(48) + 0.5
            state["head.0.bias"] = torch.randn(48)
        detectors[name] = DetectorPart(architecture, plan, state)
    plain = {name: Calibration("temperature", (1.0,)) for name in ("clip", "convnext", "fused")}
    fusion = Fusion({"clip": 1.0, "convnext": 0.1}, ((0.0, 0.0, 1.0), (0.0, 0.0, 1.0)), 0.0)
    figures = CalibrationFigures.of([0.1] * 400, [0.9] * 400, "tests")
    return BundleParts("tiny", detectors, fusion, plain, figures, {"title": "tiny"})


def looked_at(parts: BundleParts, count: int) -> tuple[Samples, list[float]]:
    """Let a bundle see pictures: what it stores of them, and its probabilities."""
    bundle, rng = Bundle(parts), np.random.default_rng(5)
    batch = [bundle.prepare(Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))) for _ in range(count)]
    scores = bundle.score(batch)
    assert all(one.features is not None for one in scores)
    features = np.stack([np.frombuffer(one.features or b"", "<f2") for one in scores])
    logits = np.array([[one.logits["clip"], one.logits["convnext"]] for one in scores])
    texts = np.array([f"{index:064x}" for index in range(count)])
    labels = np.array([index % 2 for index in range(count)], dtype=np.int8)
    covariates = np.array([one.covariates for one in batch])
    origins = np.full(count, Origin.RECIPE.value, "U7")
    return Samples(features, logits, covariates, labels, texts, texts, texts, origins), [
        one.probability for one in scores
    ]


def test_stored_features_give_the_logits_and_probabilities_that_the_networks_gave(base: BundleParts) -> None:
    seen, probabilities = looked_at(base, 9)
    assert head_of(base).logits(seen.features) == pytest.approx(seen.others[:, 0], abs=5e-3)
    assert probabilities_of(base, seen) == pytest.approx(np.array(probabilities), abs=2e-3)


def test_a_new_head_in_the_bundle_says_what_it_says_of_the_features(base: BundleParts) -> None:
    seen, _ = looked_at(base, 9)
    head = Head(np.random.default_rng(2).normal(size=48).astype(np.float32), 0.5)
    again, _ = looked_at(with_head(base, head), 9)
    assert again.others[:, 0] == pytest.approx(head.logits(seen.features), abs=2e-2)
    assert np.array_equal(again.features, seen.features)
    assert with_head(base, head).version() != base.version()


def drawn(count: int, seed: int, shift: float = 0.0, known: float = 0.0) -> Samples:
    """Draw images as if seen: 48 features, of which one tells the classes, another the new generator.

    `known` is what the first feature, which the base head knows, is among the new ones.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count).astype(np.int8)
    features = rng.normal(size=(count, 48)).astype(np.float16)
    features[:, 0] += np.where(labels == 1, 4.0, -4.0).astype(np.float16) * (shift == 0)
    features[:, 1] += np.float16(shift) * labels
    if shift:
        features[:, 0] = np.float16(known)
    texts = np.array([bytes(rng.integers(0, 256, 32, dtype=np.uint8)).hex() for _ in range(count)])
    named = np.full(count, "novel" if shift else "base", "U8")
    origins = np.full(count, (Origin.NEW if shift else Origin.RECIPE).value, "U7")
    return Samples(features, np.zeros((count, 2)), np.zeros((count, 2)), labels, named, named, texts, origins)


KNOWS_ONE = Head(np.eye(1, 48, 0, dtype=np.float32)[0] * 2.0, 0.0)


def test_a_head_learns_what_it_is_shown_and_keeps_the_weight_of_what_labels_are_silent_of() -> None:
    shown = drawn(3000, 1, shift=6.0)
    head = fit_head(shown.features, shown.labels, KNOWS_ONE)
    assert head.weight[1] > 0.5
    assert head.weight[0] == pytest.approx(2.0, abs=1e-3)
    assert np.abs(head.weight[2:]).max() < 0.7


@pytest.mark.parametrize("positives", [1, 2, 5])
def test_a_head_is_fitted_on_very_few_images_of_a_class(positives: int) -> None:
    shown = drawn(400, 1)
    few = np.flatnonzero(shown.labels == 1)[:positives]
    for seed in range(5):
        rows = np.random.default_rng(seed).permutation(np.concatenate([few, np.flatnonzero(shown.labels == 0)]))
        head = fit_head(shown.features[rows], shown.labels[rows], KNOWS_ONE)
        assert np.isfinite(head.weight).all()


def test_what_is_replayed_is_not_forgotten() -> None:
    both = joined(drawn(1500, 1, shift=6.0), drawn(1500, 2))
    head = fit_head(both.features, both.labels, KNOWS_ONE)
    known = drawn(500, 3)
    assert np.mean((head.logits(known.features) > 0) == known.labels) > 0.95


def test_too_few_labels_say_what_to_do(base: BundleParts) -> None:
    with pytest.raises(DataError, match="label more of both"):
        refit_parts(base, drawn(6, 7).take(np.array([0])))
    with pytest.raises(DataError, match="ASSAY_FEATURE_DAYS"):
        joined(None, drawn(3, 8))


def test_a_content_that_was_labelled_is_not_replayed_as_well() -> None:
    known = drawn(4, 9)
    labelled = replace(known.take(np.array([1])), labels=np.array([1], dtype=np.int8))
    both = joined(labelled, known)
    assert len(both) == 4
    assert len(set(both.hashes.tolist())) == 4


def test_what_a_shipped_bundle_kept_is_replayed_for_those_that_see_the_same_features(
    base: BundleParts, tmp_path: Path
) -> None:
    bundle, pixels = Bundle(base), np.random.default_rng(5).integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
    labels, texts = np.array([0, 1] * 3, dtype=np.int8), np.array([f"{index:064x}" for index in range(6)])
    (tmp_path / "shipped").mkdir()
    keep_for_replay(bundle, Rows(pixels, labels, texts, texts, texts), tmp_path / "shipped" / REPLAY)
    file = tmp_path / "work" / REPLAY
    bring_replay(Transfer(boto3.client("s3", region_name="none")), "none", "none/", tmp_path / "shipped", file)
    child = with_head(base, KNOWS_ONE)
    judged = judge_images(bundle, map(Image.fromarray, pixels), 6)
    assert judged.features is not None
    seen = replayed(file, (child.version(), base.version()))
    assert seen is not None
    expected, _ = looked_at(base, 6)
    assert np.array_equal(seen.features, expected.features)
    assert judged.features["images"] == 6
    assert judged.features["mean"] == pytest.approx(expected.features.astype(float).mean(axis=0), abs=1e-4)
    assert judged.features["deviation"] == pytest.approx(expected.features.astype(float).std(axis=0), abs=1e-4)
    assert seen.others == pytest.approx(expected.others)
    assert (seen.labels.tolist(), set(seen.origins.tolist())) == ([0, 1] * 3, {Origin.RECIPE.value})
    assert replayed(file, ("another-1",)) is None
    assert replayed(tmp_path / "none", (base.version(),)) is None


def test_a_replay_is_drawn_by_lot_and_always_the_same() -> None:
    numbers = np.arange(50)
    texts = numbers.astype(str)
    rows = Rows(np.zeros((50, 1, 1, 3), np.uint8), (numbers % 2).astype(np.int8), texts, texts, texts)
    drawn_ = some_of(rows, 20).hashes.astype(int)
    assert (len(drawn_), drawn_.tolist()) == (20, sorted(set(drawn_.tolist())))
    assert some_of(rows, 20).hashes.tolist() == drawn_.astype(str).tolist()
    assert some_of(rows, 60) is rows


@pytest.mark.parametrize("file", sorted(SHIPPED.glob(f"*/{REPLAY}")), ids=lambda file: file.parent.name)
def test_a_replay_that_ships_is_of_the_bundle_that_ships(file: Path) -> None:
    version = json.loads((file.parent / "bundle.json").read_text(encoding="utf-8"))["version"]
    seen = replayed(file, (version,))
    assert seen is not None, (
        f"make it anew: python -m training.export.replay --recipe {file.parent.name} --data … --cache …"
    )
    assert min(np.bincount(seen.labels)) >= 1000
    card = json.loads((file.parent / "card.json").read_text(encoding="utf-8"))
    assert len(card["features"]["mean"]) == seen.features.shape[1]


ENCODER = {
    "kind": "encoder",
    "model": "test_efficientnet",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "taps": ["blocks.1:mean", "blocks.3:std"],
}


def with_encoders() -> BundleParts:
    """Make a bundle of two encoder detectors beside the CLIP detector, whose features are then not stored."""
    parts = small_base()
    detectors = {"clip": parts.detectors["clip"]}
    for name, width in (("first", 5), ("second", 3)):
        torch.manual_seed(width)
        architecture, plan = {**ENCODER, "features": width}, ViewPlan(32, 1, 1)
        state = build_detector(name, architecture, plan).network.state_dict()
        detectors[name] = DetectorPart(architecture, plan, {key: value.clone() for key, value in state.items()})
    plain = {name: Calibration("temperature", (1.0,)) for name in (*detectors, "fused")}
    fusion = Fusion(dict.fromkeys(detectors, 0.5), ((0.0, 0.0, 1.0), (0.0, 0.0, 1.0)), 0.0)
    return replace(parts, detectors=detectors, fusion=fusion, calibrations=plain)


def test_heads_of_several_encoders_are_fitted_each_on_its_own_features() -> None:
    parts = with_encoders()
    bundle, rng = Bundle(parts), np.random.default_rng(5)
    pictures = [Image.fromarray(rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)) for _ in range(4)]
    scores = bundle.score([bundle.prepare(picture) for picture in pictures])
    features = np.stack([np.frombuffer(one.features or b"", "<f2") for one in scores])
    assert features.shape == (4, 8)
    parted = features_by_detector(parts, features)
    assert {name: part.shape[1] for name, part in parted.items()} == {"first": 5, "second": 3}
    for name, part in parted.items():
        assert head_of(parts, name).logits(part) == pytest.approx([one.logits[name] for one in scores], abs=5e-3)
    head = Head(np.arange(3, dtype=np.float32), 0.5)
    changed = with_head(parts, head, "second")
    again = Bundle(changed).score([bundle.prepare(picture) for picture in pictures])
    assert [one.logits["second"] for one in again] == pytest.approx(head.logits(parted["second"]), abs=2e-2)
    assert [one.logits["first"] for one in again] == [one.logits["first"] for one in scores]
