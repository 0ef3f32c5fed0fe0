import numpy as np
import pytest

from training.calibrate import LeftOut, accused_when_left_out, calibrate, fit_calibration, order_within
from training.fusion import Measured, fit_fusion, folds
from worker.calibration import CalibrationFigures, Thresholds


def measured(count: int = 400, sources: int = 8, seed: int = 0) -> Measured:
    """Two detectors, the second twice as good; half the sources hold one class only."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, sources, count)
    labels = np.where(groups % 4 == 0, 0, np.where(groups % 4 == 1, 1, rng.integers(0, 2, count))).astype(np.int8)
    sides = labels * 2.0 - 1.0
    logits = np.stack([sides + rng.normal(0, 2, count), 2 * sides + rng.normal(0, 2, count)], axis=1)
    names = np.array([f"source {group}" for group in groups])
    return Measured(("clip", "convnext"), logits, rng.normal(0, 1, (count, 2)), labels, names)


def test_folds_part_no_source_and_have_both_classes_on_either_side() -> None:
    data = measured()
    judged_rows = []
    for fitted, judged in folds(data):
        assert not set(data.groups[fitted]) & set(data.groups[judged])
        assert {0, 1} == set(data.labels[fitted].tolist()) == set(data.labels[judged].tolist())
        judged_rows += judged.tolist()
    assert list(range(len(data.labels))) == sorted(judged_rows)


def test_folds_refuse_groups_that_cannot_be_parted() -> None:
    data = measured(40)
    with pytest.raises(ValueError, match="hold out more sources"):
        list(folds(Measured(data.names, data.logits, data.covariates, data.labels, np.array(["one"] * 40))))


def test_fusion_trusts_the_better_detector_more_and_covariates_little() -> None:
    fusion = fit_fusion(measured(), np.arange(400))
    assert fusion.weights["convnext"] > fusion.weights["clip"] > 0
    assert all(abs(weight) < 0.5 for weight, _, _ in fusion.covariates)


def test_fusion_never_turns_a_detector_round() -> None:
    data = measured()
    data.logits[:, 0] = -data.logits[:, 1] * 0.5 + np.random.default_rng(1).normal(0, 2, 400)
    assert fit_fusion(data, np.arange(400)).weights["clip"] >= 0


@pytest.mark.parametrize(("count", "method"), [(299, "temperature"), (300, "platt"), (1999, "platt"), (2000, "beta")])
def test_the_count_of_images_chooses_the_calibration(count: int, method: str) -> None:
    data = measured(count)
    assert method == fit_calibration(data.logits[:, 1], data.labels).method


@pytest.mark.parametrize("count", [250, 1000, 4000])
def test_calibration_makes_overconfident_logits_honest(count: int) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-true))).astype(np.int8)
    calibration = fit_calibration(5 * true, labels)
    slope = calibration.calibrated_logit(2.5) - calibration.calibrated_logit(-2.5)
    assert 0.6 < slope < 1.6  # the honest logits are 1 apart, the overconfident 5


def test_held_out_probabilities_come_from_fits_without_the_source() -> None:
    data = measured()
    found = calibrate(data)
    assert {"clip", "convnext", "fused"} == set(found.calibrations)
    right = (found.held_out_probabilities >= 0.5) == data.labels
    assert right.mean() > 0.8
    fused = [
        found.fusion.fuse(dict(zip(data.names, row, strict=True)), extra)
        for row, extra in zip(data.logits.tolist(), data.covariates.tolist(), strict=True)
    ]
    seen = np.array([found.calibrations["fused"].probability(logit) for logit in fused])
    assert not np.allclose(seen, found.held_out_probabilities)
    assert np.corrcoef(seen, found.threshold_probabilities)[0, 1] > 0.99
    assert np.corrcoef(seen, found.held_out_probabilities)[0, 1] > 0.95


def test_no_calibration_is_flat_at_an_end() -> None:
    """Three thousand images whose sure logits are often wrong would make beta's slope for sure images zero."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 3000).astype(np.int8)
    logits = np.where(labels == 1, 0.3, -0.3) + rng.normal(0, 0.5, 3000)
    sure = rng.random(3000) < 0.1
    logits[sure] = 6.0
    calibration = fit_calibration(logits, labels)
    assert calibration.method == "platt"
    assert calibration.probability(60.0) > 0.99


def test_a_source_that_is_left_out_is_judged_by_the_others_threshold() -> None:
    negatives = [0.1] * 99 + [0.5] + [0.6] * 100
    figures = CalibrationFigures.of(negatives, [0.9] * 50, "tests", ["calm"] * 100 + ["wild"] * 100)
    told = accused_when_left_out(figures)
    assert told is not None
    assert told["by_source"] == {"calm": {"images": 100, "rate": 0.0}, "wild": {"images": 100, "rate": 1.0}}
    assert (told["accused"], told["rate"]) == (100, 0.5)
    assert accused_when_left_out(CalibrationFigures.of([0.1], [0.9], "tests", ["one"])) is None


def test_the_fusion_takes_the_inputs_that_order_unseen_sources_best() -> None:
    """A covariate that tells the classes of some sources, and tells them wrong in others, is left out."""
    data = measured()
    swayed = data.covariates.copy()
    signs = np.where(np.isin(data.groups, ["source 2", "source 3", "source 6"]), 1.0, -1.0)
    swayed[:, 0] = signs * (data.labels * 2.0 - 1.0) * 3.0
    found = calibrate(Measured(data.names, data.logits, swayed, data.labels, data.groups))
    assert next(iter(found.auroc_by_inputs)) == "clip + convnext"
    assert found.auroc_by_inputs["clip + convnext"] > found.auroc_by_inputs["clip + convnext + quality"]
    assert {0.0} == {weight for weight, _, _ in found.fusion.covariates}
    assert found.auroc_by_inputs.keys() >= {"clip", "convnext", "clip + quality", "convnext + quality"}


def test_fits_that_differ_in_their_intercept_alone_order_images_as_well_as_one_fit() -> None:
    labels = np.array([0, 1, 0, 1, 0, 0, 1], dtype=np.int8)
    nothing = CalibrationFigures.of([], [], "")
    low = LeftOut(np.array([0, 1]), np.array([0.1, 0.2]), nothing)
    high = LeftOut(np.array([2, 3]), np.array([0.8, 0.9]), nothing)  # above the other fit's, right within itself
    assert order_within(labels, [low, high]) == 1.0
    mixed = LeftOut(np.array([4, 5, 6]), np.array([0.4, 0.6, 0.5]), nothing)  # one pair of two is right
    assert order_within(labels, [low, high, mixed]) == 0.75  # of four pairs three


def test_a_detector_that_only_misleads_is_left_out() -> None:
    data = measured()
    data.logits[:, 0] = np.where(np.isin(data.groups, ["source 2", "source 6"]), 9.0, -9.0) * (data.labels * 2.0 - 1.0)
    found = calibrate(data)
    assert found.auroc_by_inputs["convnext"] == max(found.auroc_by_inputs.values())
    assert found.fusion.weights["clip"] == 0.0 < found.fusion.weights["convnext"]


def test_the_thresholds_of_an_image_come_from_the_other_groups() -> None:
    data = measured()
    found = calibrate(data)
    cuts = found.held_out_cuts(lambda figures: Thresholds(0.25, len(figures.negatives) / 1000))
    for part in found.left_out:
        others = np.setdiff1d(np.arange(len(data.labels)), part.rows)
        assert set(cuts.upper[part.rows]) == {(data.labels[others] == 0).sum() / 1000}
        assert set(part.figures.by_source) == set(data.groups[others][data.labels[others] == 0])
    assert sorted(np.concatenate([part.rows for part in found.left_out]).tolist()) == list(range(len(data.labels)))
