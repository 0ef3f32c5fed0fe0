"""A training run, from labels in the database to a registered challenger; and all the ways it may end otherwise."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pixels
from sqlalchemy import select

from tests.integration.training.retraining_world import ME, World
from tests.learning_pictures import picture
from training.retraining.data import agreed, contents_of, gather, recipe_of
from training.retraining.keep import register
from training.retraining.order import RunOrder
from worker.bundles.loaded import load_bundle
from worker.bundles.locate import locator
from worker.database.bundles import crown, register_bundle
from worker.database.challengers import Challengers
from worker.database.erasure import Erasure
from worker.database.features import StoredFeatures, put
from worker.database.tables import Bundle, BundleRole, Label, RunState, TrainingRun
from worker.database.training_leases import TrainingLeases
from worker.database.training_runs import TrainingRuns
from worker.objects.transfer import transfer

pytestmark = pytest.mark.integration

TINY = RunOrder("tiny")


def failed_rules(run: TrainingRun) -> set[str]:
    assert run.report is not None
    return {rule["name"] for rule in run.report["rules"] if not rule["passed"]}


def test_labels_of_a_new_generator_make_a_challenger_that_finds_it(world: World) -> None:
    pks = world.label("haze", "ai_generated", range(200))
    world.label("noise", "not_ai_generated", range(5000, 5100))
    world.label("haze", "not_ai_generated", range(300, 310), reviewers=("eve",))  # stays in quarantine
    run = world.executed(base_bundle=world.champion)
    assert (run.state, failed_rules(run)) == (RunState.COMPLETED, set())
    assert run.detail == "the gate passed it"
    made = world.bundle(run.bundle_version)
    assert (made.role, made.shadow_share, made.gate) == (BundleRole.CHALLENGER, 0.1, run.report)
    assert made.card["training"]["champion"] == world.champion
    assert made.card["training"]["labels"] == 300
    # It says so of pictures that nobody has labelled, and still knows the old ones.
    folder = world.settings.data_dir / "training" / f"run-{run.id}" / "out" / "bundle"
    old, new = load_bundle_of(world, world.champion), load_bundle(folder)
    for kind, was, is_ in (("haze", False, True), ("stripes", True, True), ("noise", False, False)):
        assert share_above_half(old, kind) == pytest.approx(float(was), abs=0.05)
        assert share_above_half(new, kind) == pytest.approx(float(is_), abs=0.05)
    kept = world.artifacts(run.artifacts or "")
    papers = {"gate.json", "gate.html", "evaluation.html", "recipe.json", "run.json", "data.json", "manifest.parquet"}
    assert papers <= kept.keys()
    assert [name for name in kept if name.startswith("tensorboard/clip/")]
    assert not [name for name, body in kept.items() if b"haze/" in body]
    assert json.loads(kept["run.json"])["parameters"]["labels_until"] == run.parameters["labels_until"]
    events = TrainingRuns(world.database).events(run.id)
    assert [event.data["stage"] for event in events if event.kind == "stage"] == ["data", "fit", "gate", "keep"]
    assert len(pks) == 200


@pytest.mark.slow  # the acceptance test of the learning loop tells such lies to the whole of Assay
def test_flipped_labels_are_stopped_by_the_gate(world: World) -> None:
    world.label("stripes", "not_ai_generated", range(200))
    world.label("noise", "ai_generated", range(5000, 5200))
    run = world.executed(base_bundle=world.champion)
    assert run.state == RunState.COMPLETED
    assert failed_rules(run)
    assert (run.detail or "").startswith("the gate stopped it: ")
    assert world.bundle(run.bundle_version).role == BundleRole.REGISTERED


@pytest.mark.parametrize(
    ("recipe", "parameters", "says"),
    [
        ("nothing-like-it", {}, "there is no recipe"),
        ("tiny", {"data": ["../../etc"]}, "no ../../etc in the training worker's data folder"),
        ("tiny", {"data": ["s3://uploads/none/"]}, "2 reviewers agree; label images first"),
        ("tiny", {"base_bundle": "x-1"}, "there is no bundle x-1"),
        ("tiny", {"changes": ["detectors.vit.fit.epochs=1"]}, "there is no detector 'vit'"),
        ("seeds/resnet18-frozen", {}, "makes no bundle"),
        ("refit", {}, "ASSAY_FEATURE_DAYS"),
    ],
)
def test_a_run_that_cannot_be_fails_with_what_to_do(
    world: World, recipe: str, parameters: dict[str, Any], says: str
) -> None:
    run = world.executed(recipe, **parameters)
    assert run.state == RunState.FAILED
    assert says in (run.detail or "")


def test_an_erased_image_is_not_trained_on(world: World) -> None:
    world.label("haze", "ai_generated", range(3))
    Erasure(world.database, world.buckets.artifacts).erase(ME, "haze/1.png")
    with world.database.transaction() as session:
        assert [image.key for image in agreed(session, TINY, world.sources.terms)] == ["haze/0.png", "haze/2.png"]
    recipe, work = recipe_of(TINY, world.sources), world.settings.data_dir / "work"
    data = gather(recipe, TINY, work, world.database, world.buckets.objects, world.sources)
    assert (data.recipe.files, data.recipe.side, data.recipe.show_views) == (
        ("tiny-train.parquet", "labels.parquet"),
        16,
        False,
    )


def test_a_resumed_run_fetches_anew_when_its_images_are_others(world: World) -> None:
    world.label("haze", "ai_generated", range(3))
    recipe, work = recipe_of(TINY, world.sources), world.settings.data_dir / "work"

    def gathered() -> set[str]:
        data = gather(recipe, TINY, work, world.database, world.buckets.objects, world.sources)
        assert contents_of(data.labels_file).keys() == {f"image:{image.image_pk}" for image in data.images}
        return set(contents_of(data.labels_file).values())

    before = gathered()
    cached, features = work / "out" / "cache" / "pixels.npy", work / "out" / "clip" / "features.npy"
    for file in (cached, features):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"decoded")
    assert gathered() == before
    assert cached.exists()
    # The same bytes under another key: another row stands for the content now.
    world.label("haze", "ai_generated", range(1, 2), reviewers=(), prefix="again-")
    assert gathered() == before
    assert not cached.exists()
    assert not features.exists()
    Erasure(world.database, world.buckets.artifacts).erase(ME, "haze/2.png")
    assert len(gathered()) == 2


def test_what_keeps_a_bundle_from_its_shadow_is_told_with_its_run(world: World, base: Path) -> None:
    with world.database.transaction() as session:
        for version in ("other-1", "other-2"):
            register_bundle(session, version=version, name="other", location="bundles/other", card={})
        crown(session, session.get_one(Bundle, "other-1"), created_by="test", reason="another")
    Challengers(world.database).challenge(ME, "other-2", 0.5, "test")

    def registered(compared_with: str) -> tuple[str | None, str]:
        run_id = world.queue()
        lease = TrainingLeases(world.database).claim(600)
        assert lease is not None
        gate = {"passed": True, "champion": compared_with, "rules": []}
        register(world.database, lease, transfer(world.settings), base / "bundle", world.buckets.artifacts, gate, 0.1)
        return world.run(run_id).detail, world.bundle(world.champion).role

    reason, role = registered("other-1")
    assert reason == (
        "the gate passed it; it does not scan in shadow yet: bundle other-2 scans in shadow; withdraw it first"
    )
    reason, role = registered("other-2")
    assert (reason or "").startswith("the gate passed it; other-1 has become champion meanwhile")
    assert role == BundleRole.REGISTERED


def test_a_refit_on_stored_features_needs_no_pixels(world: World) -> None:
    champion = load_bundle_of(world, world.champion)
    # Reviewers have labelled known pictures earlier, and the new generator's since.
    known = world.label("noise", "not_ai_generated", range(1000), upload=False)
    known += world.label("stripes", "ai_generated", range(200), upload=False)
    with world.database.transaction() as session:
        until = session.scalars(select(Label.id).order_by(Label.id.desc()).limit(1)).one()
        row = session.get_one(Bundle, world.champion)
        row.card = {**row.card, "training": {"labels_until": until}}
    pks = known + world.label("haze", "ai_generated", range(300), upload=False)
    kinds = [("noise", seed) for seed in range(1000)] + [("stripes", seed) for seed in range(200)]
    kinds += [("haze", seed) for seed in range(300)]
    with world.database.transaction() as session:
        for start in range(0, len(pks), 50):
            batch = [champion.prepare(opened(*kind)) for kind in kinds[start : start + 50]]
            for pk, one, scores in zip(pks[start : start + 50], batch, champion.score(batch), strict=True):
                put(session, pk, world.champion, StoredFeatures(scores.features or b"", scores.logits, one.covariates))
    # The same bytes came again; copies are not looked at, and nothing is stored of them.
    world.label("haze", "ai_generated", range(300), reviewers=(), upload=False, prefix="again-")
    run = world.executed("refit", shadow_share=0)
    assert (run.state, failed_rules(run)) == (RunState.COMPLETED, set())
    made = world.bundle(run.bundle_version)
    assert made.role == BundleRole.REGISTERED
    refitted = load_bundle_of(world, made.version)
    assert share_above_half(refitted, "haze") > 0.9
    assert share_above_half(refitted, "noise") < 0.05


def opened(kind: str, seed: int) -> Any:
    return Pixels.open(io.BytesIO(picture(kind, seed)))


def load_bundle_of(world: World, version: str) -> Any:
    return load_bundle(locator(world.settings, world.database)(version))


def share_above_half(bundle: Any, kind: str) -> float:
    scores = bundle.score([bundle.prepare(opened(kind, seed)) for seed in range(90_000, 90_040)])
    return float(np.mean([one.probability > 0.5 for one in scores]))
