from dataclasses import replace

import numpy as np
import pytest

from training.calibration.calibrate import calibrate, fit_calibration, order_within
from training.calibration.fusion import Measurements, fit_fusion, folds, fuse_all, inputs, left_out
from worker.decisions.calibration import Thresholds


def measured(count: int = 400, sources: int = 8, seed: int = 0) -> Measurements:
    """Two detectors, the second twice as good; half the sources hold one class only."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, sources, count)
    labels = np.where(groups % 4 == 0, 0, np.where(groups % 4 == 1, 1, rng.integers(0, 2, count))).astype(np.int8)
    sides = labels * 2.0 - 1.0
    logits = np.stack([sides + rng.normal(0, 2, count), 2 * sides + rng.normal(0, 2, count)], axis=1)
    names = np.array([f"source {group}" for group in groups])
    return Measurements(("clip", "convnext"), logits, rng.normal(0, 1, (count, 2)), labels, names)


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
        list(folds(Measurements(data.names, data.logits, data.covariates, data.labels, np.array(["one"] * 40))))


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


def test_the_fusion_takes_the_inputs_that_order_unseen_sources_best() -> None:
    """A covariate that tells the classes of some sources, and tells them wrong in others, is left out."""
    data = measured()
    swayed = data.covariates.copy()
    signs = np.where(np.isin(data.groups, ["source 2", "source 3", "source 6"]), 1.0, -1.0)
    swayed[:, 0] = signs * (data.labels * 2.0 - 1.0) * 3.0
    found = calibrate(Measurements(data.names, data.logits, swayed, data.labels, data.groups))
    assert next(iter(found.auroc_by_inputs)) == "clip + convnext"
    assert found.auroc_by_inputs["clip + convnext"] > found.auroc_by_inputs["clip + convnext + quality"]
    assert {0.0} == {weight for weight, _, _ in found.fusion.covariates}
    assert found.auroc_by_inputs.keys() >= {"clip", "convnext", "clip + quality", "convnext + quality"}


def test_of_choices_that_order_sources_alike_the_one_of_most_detectors_is_taken_and_none_weighed() -> None:
    """The second detector says what the first says, and a little noise."""
    rng = np.random.default_rng(5)
    labels = np.tile([0, 1], 400).astype(np.int8)
    first = np.where(labels == 1, 1.0, -1.0) + rng.normal(0, 1.5, 800)
    logits = np.column_stack([first, first + rng.normal(0, 0.01, 800)])
    sources = np.array([f"source {place // 80}" for place in range(800)])
    found = calibrate(Measurements(("clip", "srm"), logits, np.zeros((800, 2)), labels, sources))
    assert next(iter(found.auroc_by_inputs)) == "clip + srm, alike"
    assert max(found.auroc_by_inputs.values()) - found.auroc_by_inputs["clip + srm, alike"] < 1e-3
    assert (dict(found.fusion.weights), found.fusion.bias) == ({"clip": 0.5, "srm": 0.5}, 0.0)
    others = list(found.auroc_by_inputs.values())[1:]
    assert others == sorted(others, reverse=True)


def test_detectors_that_count_alike_give_the_mean_of_their_logits() -> None:
    data = measured()
    chosen = inputs(data)["clip + convnext, alike"]
    for rows in (np.arange(30), np.arange(30, 400)):
        fused = fuse_all(fit_fusion(chosen, rows), chosen, np.arange(400))
        np.testing.assert_allclose(fused, data.logits.mean(axis=1))


def test_a_detector_by_itself_is_not_weighed() -> None:
    data = measured()
    fusion = fit_fusion(inputs(data)["convnext"], np.arange(400))
    assert dict(fusion.weights) == {"clip": 0.0, "convnext": 1.0}


@pytest.mark.parametrize("detectors", [1, 2])
def test_of_few_images_even_odds_are_found_wherever_they_lie(detectors: int) -> None:
    """The logits of a network that others trained: well apart, but all of them above zero."""
    data = measured(240)
    logits = (data.labels * 4.0 - 2.0 + np.random.default_rng(7).normal(0, 1.0, (2, 240)) + 4.0).T[:, :detectors]
    offset = Measurements(data.names[:detectors], logits, np.zeros((240, 2)), data.labels, data.groups)
    found = calibrate(offset)
    assert found.calibrations["fused"].method == "platt"
    assert np.mean((found.held_out_probabilities >= 0.5) == data.labels) > 0.9
    assert found.held_out_probabilities[data.labels == 0].mean() < 0.2


def test_detectors_on_scales_of_their_own_are_weighed() -> None:
    """The first, much the worse, has logits a hundred times as large: alike, it alone would be heard."""
    data = measured(2000)
    data.logits[:, 0] = 100.0 * np.random.default_rng(2).normal(0.1 * (data.labels * 2.0 - 1.0), 1.0)
    found = calibrate(data)
    assert "alike" not in next(iter(found.auroc_by_inputs))
    assert found.fusion.weights["convnext"] > 20.0 * found.fusion.weights["clip"]


def test_fits_that_differ_in_their_intercept_alone_order_images_as_well_as_one_fit() -> None:
    labels = np.array([0, 1, 0, 1, 0, 0, 1], dtype=np.int8)
    logits = np.array([-2.0, -1.0, 1.0, 2.0, -0.5, 0.5, 0.0])
    low, high, mixed = np.array([0, 1]), np.array([2, 3]), np.array([4, 5, 6])
    assert order_within(labels, logits, [low, high]) == 1.0  # the second above the first's, each right within itself
    assert order_within(labels, logits, [low, high, mixed]) == 0.75  # one pair of two is right there: of four, three


def test_left_out_images_have_no_say_in_the_choice_of_inputs() -> None:
    """The first detector tells the truth of two sources and lies of the others: of the fits without these two only."""
    data = measured(2000)
    odd = np.isin(data.groups, ["source 2", "source 6"])
    data.logits[:, 0] = np.where(odd, 40.0, -1.0) * (data.labels * 2.0 - 1.0)
    part = next(part for part in calibrate(data).left_out if set(data.groups[part.rows]) & {"source 2", "source 6"})
    others = data.take(np.setdiff1d(np.arange(2000), part.rows))
    name = next(iter(calibrate(others).auroc_by_inputs))
    chosen = inputs(data)[name]
    logits = fuse_all(fit_fusion(chosen, np.setdiff1d(np.arange(2000), part.rows)), chosen, part.rows)
    assert np.array_equal(np.argsort(logits, kind="stable"), np.argsort(part.probabilities, kind="stable"))


def test_a_logit_that_tells_nothing_gives_even_odds_whatever_its_size() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 600).astype(np.int8)
    logits = 8.0 - 0.5 * labels + rng.normal(0, 1.0, 600)  # a little lower for AI-generated images
    calibration = fit_calibration(logits, labels)
    assert calibration.method == "platt"
    assert calibration.probability(8.0) == pytest.approx(0.5, abs=0.01)


def test_a_fusion_of_detectors_that_only_mislead_says_nothing() -> None:
    data = measured()
    data.logits[:] = 8.0 - data.logits
    fusion = fit_fusion(data, np.arange(400))
    assert set(fusion.weights.values()) == {0.0}
    assert abs(fusion.bias) < 0.2


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


def test_heads_fitted_alike_count_alike_and_each_source_is_left_out_by_itself() -> None:
    data = replace(measured(2400, sources=12), balanced=True)
    found = calibrate(data)
    assert found.fusion.weights == {"clip": 0.5, "convnext": 0.5}
    assert found.calibrations["fused"].method == "platt"
    assert len(found.left_out) == 12
    for part in found.left_out:
        assert len(np.unique(data.groups[part.rows])) == 1
    assert sorted(np.concatenate([part.rows for part in found.left_out])) == list(range(2400))


def test_a_large_source_moves_the_calibration_of_heads_fitted_alike_little() -> None:
    data = measured(600, sources=12)
    logits = np.r_[data.logits, np.full((600, 2), 2.0)]  # photographs that every detector is wrong about
    labels, groups = np.r_[data.labels, np.zeros(600, np.int8)], np.r_[data.groups, ["odd"] * 600]
    many = Measurements(data.names, logits, np.zeros((1200, 2)), labels, groups)
    by_rows, by_source = (calibrate(one).calibrations["fused"] for one in (many, replace(many, balanced=True)))
    assert by_source.probability(3.0) > by_rows.probability(3.0) + 0.05


def test_a_source_that_holds_all_of_a_class_cannot_be_left_out_alone() -> None:
    data = measured()
    one = np.where(data.labels == 1, "all", data.groups)
    parts = left_out(
        replace(data, groups=np.where(data.labels == 1, np.char.add(data.groups, " a"), one), balanced=True)
    )
    assert len(parts) > 5
    lone = replace(data, labels=(data.groups == "source 0").astype(np.int8), balanced=True)
    with pytest.raises(ValueError, match="hold out more sources"):
        left_out(lone)


def test_classes_weigh_alike_and_sources_by_their_roots() -> None:
    labels = np.array([0] * 100 + [0] * 4 + [1] * 10, dtype=np.int8)
    groups = np.array(["large"] * 100 + ["small"] * 4 + ["ai"] * 10)
    masses = Measurements(("one",), np.zeros((114, 1)), np.zeros((114, 2)), labels, groups).masses
    assert masses.sum() == pytest.approx(114)
    assert masses[labels == 0].sum() == pytest.approx(masses[labels == 1].sum())
    assert masses[groups == "large"].sum() / masses[groups == "small"].sum() == pytest.approx(5)
