"""Recipes are read, changed and shrunk."""

from pathlib import Path

import open_clip
import pytest
import timm

from training.recipe import RecipeError, smoke, with_minutes
from training.recipe_file import RECIPES, load_recipe
from worker.bundles.encoders.table import encoder_of

NAMES = sorted(file.relative_to(RECIPES).with_suffix("").as_posix() for file in RECIPES.rglob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_read_and_names_what_the_libraries_know(name: str) -> None:
    recipe = load_recipe(name)
    assert name == recipe.name
    for part in recipe.detectors:
        model = part.architecture.get("model")
        if part.kind == "clip":
            assert model is None or model in open_clip.list_models()
            if model and part.pretrained:
                assert part.pretrained in open_clip.list_pretrained_tags_by_model(model)
        elif model:
            assert timm.is_model(model)
            encoder = encoder_of(part.pretrained) if isinstance(part.pretrained, str) else None
            assert not part.pretrained or timm.is_model_pretrained(model) or (encoder and encoder.architecture == model)


def test_every_system_that_the_project_grew_from_has_a_recipe_with_its_claim() -> None:
    seeds = [load_recipe(name) for name in NAMES if name.startswith("seeds/")]
    assert len(seeds) == 5
    assert all(recipe.kind == "classifier" and recipe.claim for recipe in seeds)


def test_changes_reach_the_recipe_one_detector_or_all() -> None:
    changes = [
        "limit=500",
        "disjoint=source",
        "fit.epochs=3",
        "detectors.clip.fit.batch_size=8",
        "pretrained=false",
        "architecture.model=ViT-B-16",
    ]
    recipe = load_recipe("seeds/resnet50-and-clip", changes)
    resnet, clip = recipe.detectors
    assert (recipe.limit, recipe.disjoint) == (500, "source")
    assert (resnet.fit.epochs, clip.fit.epochs, resnet.fit.batch_size, clip.fit.batch_size) == (3, 3, 64, 8)
    assert not resnet.pretrained
    assert not clip.pretrained
    assert clip.architecture["model"] == "ViT-B-16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("limit", "no key=value"),
        ("colour=red", "colour"),
        ("fit.colour=1", "colour"),
        ("detectors.other.fit.epochs=1", "there is no detector 'other'"),
    ],
)
def test_a_change_that_changes_nothing_is_an_error(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("cifake", [change])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("augmentation=harsh", r"augmentation = 'harsh': .*'flips', 'light', 'mild', 'strong', 'worn'"),
        ("fit.precision=fp16", r"detectors\.convnext\.fit\.precision = 'fp16': .*'auto', 'bf16' or 'fp32'"),
        ("detectors.clip.fit.head=logistc", r"detectors\.clip\.fit\.head = 'logistc': .*'gradient' or 'logistic'"),
        ("kind=foo", "kind = 'foo': .*'bundle' or 'classifier'"),
        ("disjoint=sources", "disjoint = 'sources': .*'content' or 'source'"),
        ("limit=abc", "limit = 'abc': .*valid integer"),
        ("limit=-1", "limit = -1: .*greater than or equal to 0"),
        ("seed=1.5", "seed = 1.5: .*valid integer"),
        ("squeeze=1", "squeeze = 1: .*valid boolean"),
        ("held_out_share=5", "held_out_share = 5: .*less than 1"),
        ("held_out_sources=bsds500", "held_out_sources = 'bsds500': .*valid tuple"),
        ("made.photographs=3", "made = .*'drawings', 'renderings' or 'assay_generator'"),
        ("fit.batch_size=0", r"fit\.batch_size = 0: .*greater than or equal to 1"),
        ("fit.epochs=true", r"fit\.epochs = True: .*valid number"),
        ("views.size=big", r"views\.size = 'big': .*valid integer"),
        ("views.crops=9", "impossible view plan"),
        ("fit=3", r"fit must be a table, not 3"),
        ("seed.x=1", "seed must be a table, not"),
        ("detectors.clip.colour=1", r"detectors\.clip\.colour is unknown; there are name, architecture"),
        ("pretrained=3", "pretrained = 3: .*valid string"),
    ],
)
def test_a_value_that_is_not_allowed_is_told_with_its_key_and_what_is(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("cifake", [change])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["fit.cutout=32"], r"detectors\.convnext\.fit\.cutout = 32 hides all of a view of 32 pixels"),
        (["detectors.clip.fit.cutout=8", "detectors.clip.fit.head=logistic"], r"clip\.fit\.cutout is not for head"),
    ],
)
def test_a_cutout_that_leaves_nothing_or_does_nothing_is_refused(changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("cifake", changes)
    assert load_recipe("cifake", ["fit.cutout=31"]).detectors[0].fit.cutout == 31


def test_values_stay_as_they_are_written() -> None:
    (part, *_) = load_recipe("cifake").detectors
    assert isinstance(part.fit.epochs, int)  # a run's folder holds them as text: it must go on being the same


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"', r"at least one table \[detectors\.NAME\]"),
        (
            "[detectors.a]\nviews = { size = 8, wholes = 1, crops = 0 }",
            r"detectors\.a\.fit must be a table, it is missing",
        ),
        ("detectors = 3", r"at least one table \[detectors\.NAME\]"),
    ],
)
def test_what_a_recipe_lacks_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(tmp_path / "own.toml"))


def test_an_unknown_recipe_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cifake.*seeds/resnet18-frozen.*wild"):
        load_recipe("none")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "bad.toml"))


def test_a_smoke_run_is_small_and_needs_no_network() -> None:
    for name in NAMES:
        recipe = smoke(load_recipe(name))
        assert 0 < recipe.limit <= 1600
        assert sum(part.fit.minutes for part in recipe.detectors) < 1.0
        assert not any(part.pretrained for part in recipe.detectors)
    assert smoke(load_recipe("wild")).made == {"drawings": 64, "assay_generator": 24, "renderings": 64}


def test_minutes_reach_every_detector() -> None:
    assert {7.0} == {part.fit.minutes for part in with_minutes(load_recipe("wild"), 7.0).detectors}


@pytest.mark.parametrize(
    "change",
    [
        "architecture.unknown=1",
        "detectors.clip.architecture.tower.heads=5",
        "detectors.clip.architecture.tower.patch_size=0",
        "detectors.clip.architecture.tower.patch_dropout=1.5",
        "detectors.clip.architecture.taps=[9]",
        "detectors.clip.kind=other",
    ],
)
def test_an_architecture_that_cannot_be_built_is_told_with_its_detector(change: str) -> None:
    part = next(part for part in load_recipe("cifake", [change]).detectors if part.name == "clip")
    with pytest.raises(RecipeError, match=r"detector clip cannot be built: [A-Za-z]+[(]"):
        part.build()
