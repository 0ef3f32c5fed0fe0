"""Recipes are read, changed and shrunk."""

from pathlib import Path

import open_clip
import pytest
import timm

from training.recipe import RECIPES, RecipeError, load_recipe, smoke, with_minutes

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
            assert not part.pretrained or timm.is_model_pretrained(model)


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
    ("change", "said"),
    [
        ("limit", "no key=value"),
        ("colour=red", "colour"),
        ("fit.colour=1", "colour"),
        ("detectors.other.fit.epochs=1", "there is no detector 'other'"),
    ],
)
def test_a_change_that_changes_nothing_is_an_error(change: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("cifake", [change])


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
    assert smoke(load_recipe("wild")).made == {"drawings": 64, "assay_generator": 64}


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
