import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from worker.bundles.folder import add_to_card, read_bundle, update_card, write_bundle
from worker.bundles.loaded import Bundle, BundleError, load_bundle, shipped_bundle
from worker.bundles.parts import BundleParts, DetectorPart
from worker.decisions.calibration import Calibration, CalibrationFigures, Fusion
from worker.images.views import ViewPlan

MakeParts = Callable[..., BundleParts]


def picture(seed: int, width: int = 100, height: int = 80) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_bundle_comes_back_from_its_folder_as_it_was(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts()
    version = write_bundle(parts, tmp_path)
    before, after = Bundle(parts), load_bundle(tmp_path)
    prepared = [before.prepare(picture(seed)) for seed in range(3)]
    assert before.score(prepared) == after.score(prepared)
    assert (version, parts.figures, ("clip", "convnext")) == (after.version, after.figures, after.detector_names)
    assert version == after.card["bundle"]


def test_scores_are_the_fusion_and_calibration_of_the_logits(make_parts: MakeParts) -> None:
    parts = make_parts()
    bundle = Bundle(parts)
    prepared = bundle.prepare(picture(1))
    (scores,) = bundle.score([prepared])
    fused = parts.fusion.fuse(scores.logits, prepared.covariates)
    assert parts.calibrations["fused"].probability(fused) == scores.probability
    assert parts.calibrations["clip"].probability(scores.logits["clip"]) == scores.probabilities["clip"]


def test_an_image_is_scored_alike_whoever_its_neighbours_are(make_parts: MakeParts) -> None:
    bundle = Bundle(make_parts())
    prepared = [bundle.prepare(picture(seed)) for seed in range(4)]
    together = bundle.score(prepared)
    alone = [bundle.score([one])[0] for one in prepared]
    assert len({round(scores.logit, 3) for scores in together}) > 1
    np.testing.assert_allclose([s.logit for s in alone], [s.logit for s in together], atol=1e-4)
    assert bundle.score(prepared) == together


def test_an_empty_batch_gives_nothing(make_parts: MakeParts) -> None:
    bundle = Bundle(make_parts())
    assert bundle.score([]) == []
    assert bundle.heatmaps([]) == []


def test_warm_up_refuses_a_bundle_whose_logits_are_not_finite(make_parts: MakeParts) -> None:
    parts = make_parts()
    Bundle(parts).warm_up(2)
    broken = {name: value.clone() for name, value in parts.detectors["convnext"].tensors.items()}
    broken["head.fc.bias"][:] = torch.nan
    detectors = {**parts.detectors, "convnext": replace(parts.detectors["convnext"], tensors=broken)}
    with pytest.raises(BundleError, match="not finite"):
        Bundle(replace(parts, detectors=detectors)).warm_up(2)


def another_weight(parts: BundleParts) -> BundleParts:
    part = parts.detectors["clip"]
    tensors = {name: value.clone() for name, value in part.tensors.items()}
    tensors["head.1.bias"] += 0.5
    return replace(parts, detectors={**parts.detectors, "clip": replace(part, tensors=tensors)})


def another_view(parts: BundleParts) -> BundleParts:
    part = parts.detectors["convnext"]
    return replace(parts, detectors={**parts.detectors, "convnext": replace(part, plan=ViewPlan(48, 0, 2))})


DECIDING = {
    "a weight": another_weight,
    "the views": another_view,
    "the fusion": lambda parts: replace(parts, fusion=Fusion(parts.fusion.weights, parts.fusion.covariates, 0.7)),
    "a calibration": lambda parts: replace(
        parts, calibrations={**parts.calibrations, "fused": Calibration("platt", (1.0, 0.0))}
    ),
}


@pytest.mark.parametrize("change", DECIDING.values(), ids=DECIDING.keys())
def test_what_changes_the_scores_changes_the_version(
    change: Callable[[BundleParts], BundleParts], make_parts: MakeParts
) -> None:
    parts = make_parts()
    changed = change(parts)
    first, second = Bundle(parts), Bundle(changed)
    assert first.score([first.prepare(picture(0))]) != second.score([second.prepare(picture(0))])
    assert parts.version() != changed.version()


def test_card_and_figures_leave_the_version_alone(make_parts: MakeParts) -> None:
    parts = make_parts()
    figures = CalibrationFigures.of([0.5], [0.6], "others")
    assert parts.version() == replace(parts, card={"title": "longer"}, figures=figures).version()
    assert parts.version() == make_parts().version()
    assert parts.version() != make_parts(seed=4).version()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def flip_last_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


TAMPERING: dict[str, tuple[Callable[[Path], object], str]] = {
    "a weight": (lambda folder: flip_last_byte(folder / "clip.safetensors"), "damaged or changed"),
    "a fusion weight": (lambda folder: edit(folder / "bundle.json", "1.5", "1.25"), "damaged or changed"),
    "a figure": (lambda folder: edit(folder / "bundle.json", "0.3", "0.1"), "figures"),
    "the format": (lambda folder: edit(folder / "bundle.json", '"format": 1', '"format": 99'), "format"),
    "the preprocessing": (lambda folder: edit(folder / "bundle.json", "sharpness", "loudness"), "preprocessing"),
    "no weights": (lambda folder: (folder / "convnext.safetensors").unlink(), "does not exist"),
    "no safetensors": (lambda folder: (folder / "clip.safetensors").write_bytes(b"\x80\x04pickle"), "safetensors"),
    "no description": (lambda folder: (folder / "bundle.json").unlink(), "does not exist"),
    "no JSON": (lambda folder: (folder / "bundle.json").write_text("{", encoding="utf-8"), "cannot be read"),
    "no object": (lambda folder: (folder / "bundle.json").write_text("[]", encoding="utf-8"), "no JSON object"),
    "a figure of the card": (lambda folder: edit(folder / "card.json", "0.75", "0.999"), "the card of bundle"),
    "no fusion": (lambda folder: edit(folder / "bundle.json", '"fusion"', '"fission"'), "malformed"),
}


@pytest.mark.parametrize(("tamper", "message"), TAMPERING.values(), ids=TAMPERING.keys())
def test_a_bundle_that_is_not_whole_is_refused(
    tamper: Callable[[Path], object], message: str, make_parts: MakeParts, tmp_path: Path
) -> None:
    write_bundle(replace(make_parts(), card={"accuracy": 0.75}), tmp_path)
    read_bundle(tmp_path)
    tamper(tmp_path)
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path)


def test_the_card_of_another_bundle_is_refused_and_never_made_its_own(make_parts: MakeParts, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    write_bundle(make_parts(), mine)
    version = write_bundle(make_parts(seed=4), other)
    (mine / "card.json").write_bytes((other / "card.json").read_bytes())
    with pytest.raises(BundleError, match=rf"is of another bundle \({version}, sha256 "):
        read_bundle(mine)


def test_a_card_of_an_earlier_release_has_no_checksum_and_is_read(make_parts: MakeParts, tmp_path: Path) -> None:
    write_bundle(make_parts(), tmp_path)
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    del card["card_sha256"]
    (tmp_path / "card.json").write_text(json.dumps({**card, "title": "by hand"}), "utf-8")
    assert read_bundle(tmp_path).card["title"] == "by hand"


def evaluation(data: str, fingerprint: str, accuracy: float) -> dict[str, Any]:
    return {"data": data, "data_facts": {"fingerprint_sha256": fingerprint}, "accuracy": accuracy}


def test_a_card_keeps_evaluations_of_other_images_whatever_their_file_is_called(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    version = write_bundle(make_parts(), tmp_path)
    odd = "--data \udce9.parquet"
    for entry in (("test", "a", 0.5), ("test", "b", 0.6), ("test", "a", 0.7), (odd, "a", 0.8)):
        add_to_card(tmp_path, evaluation(*entry))
    read = read_bundle(tmp_path)
    assert read.version() == version
    assert read.card["evaluations"] == [
        evaluation("test", "b", 0.6),
        evaluation("test", "a", 0.7),
        evaluation(odd, "a", 0.8),
    ]


@pytest.mark.parametrize("key", ["bundle", "content_sha256"])
def test_a_card_may_name_no_other_bundle(make_parts: MakeParts, tmp_path: Path, key: str) -> None:
    write_bundle(make_parts(), tmp_path)
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    del card["card_sha256"]
    (tmp_path / "card.json").write_text(json.dumps({**card, key: "another"}), "utf-8")
    with pytest.raises(BundleError, match=r"the card in .* is of another bundle"):
        read_bundle(tmp_path)


def test_a_card_that_was_changed_by_hand_takes_nothing_more(make_parts: MakeParts, tmp_path: Path) -> None:
    write_bundle(replace(make_parts(), card={"accuracy": 0.75}), tmp_path)
    edit(tmp_path / "card.json", "0.75", "0.999")
    with pytest.raises(BundleError, match="damaged or changed"):
        add_to_card(tmp_path, evaluation("test", "a", 0.5))
    with pytest.raises(BundleError, match="damaged or changed"):
        update_card(tmp_path, {"title": "new"})


def test_weights_that_do_not_fit_are_refused(make_parts: MakeParts) -> None:
    parts = make_parts()
    misfit = DetectorPart(parts.detectors["clip"].architecture, ViewPlan(32, 1, 0), {})
    with pytest.raises(BundleError, match="cannot be built of its architecture and weights: damaged, or of another"):
        Bundle(replace(parts, detectors={**parts.detectors, "clip": misfit}))


@pytest.mark.parametrize("changes", [{"heads": 5}, {"patch_size": 0}, {"patch_dropout": 1.5}, {"unknown": 1}])
def test_an_architecture_that_makes_no_network_is_refused(make_parts: MakeParts, changes: dict[str, object]) -> None:
    parts = make_parts()
    clip = parts.detectors["clip"]
    broken = replace(clip, architecture={**clip.architecture, "tower": {**clip.architecture["tower"], **changes}})
    with pytest.raises(BundleError, match=r"detector 'clip' cannot be built.*\([A-Za-z]+Error"):
        Bundle(replace(parts, detectors={**parts.detectors, "clip": broken}))


def test_a_bundle_nobody_ships_is_named_in_the_error() -> None:
    with pytest.raises(BundleError, match="nonesuch"):
        shipped_bundle("nonesuch")
