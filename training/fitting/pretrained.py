"""Pretrained weights, through the libraries' own loaders: timm's for ConvNeXt and classifiers, open_clip's for CLIP.

`true` and open_clip tags fetch from the hubs these libraries know; a local file must be safetensors. Pickle is never
loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import open_clip
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.convnext import ConvNeXt
from torch import nn

from training.classifiers.classifier import Classifier, ClassifierNetwork
from training.fitting.safe_weights import check_weights_file, open_clip_tag, timm_overlay
from training.recipe import DetectorRecipe, RecipeError
from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.folder import EncoderFolder
from worker.detectors.encoder import BODY, EncoderDetector

if TYPE_CHECKING:
    from worker.detectors.detector import Detector

_DRAWN = 4_261_807  # a seed of no run's: by it what was loaded is told from what was drawn


def give_weights(detector: Detector, recipe: DetectorRecipe) -> None:
    """Load the weights a recipe names, or draw fresh ones as suits the architecture; freeze what it freezes.

    Of an encoder, what lies behind its last tap is frozen too: no gradient reaches it.

    Raises:
        RecipeError: they are not there, are no safetensors, or belong to another architecture.
    """
    if recipe.pretrained:
        _load_or_say_why_not(detector, recipe, recipe.pretrained)
    else:
        _fresh(detector, recipe)
    if isinstance(detector, EncoderDetector):
        _freeze_unreached(detector)


def _load_or_say_why_not(detector: Detector, recipe: DetectorRecipe, pretrained: str | bool) -> None:  # noqa: FBT001
    try:
        _load(detector, recipe, pretrained)
    except (RuntimeError, OSError, KeyError, ValueError, SafetensorError, EncoderError) as error:
        raise RecipeError(
            f"pretrained weights {pretrained!r} of {recipe.name} cannot be loaded ({error}); give a safetensors "
            "file of this architecture, be online for the library to fetch its own, or --set pretrained=false"
        ) from error


def _load(detector: Detector, recipe: DetectorRecipe, pretrained: str | bool) -> None:  # noqa: FBT001 (or a name)
    model = recipe.architecture.get("model")
    if detector.name == "clip" or recipe.kind == "clip":
        _load_tower_of(detector, model, pretrained)
        return
    if isinstance(detector, EncoderDetector):
        _load_encoder(detector, str(pretrained))
        return
    file = check_weights_file(pretrained) if isinstance(pretrained, str) else None
    if isinstance(detector, Classifier):
        body = detector.network.get_submodule("body")
        body.load_state_dict(_timm(model, file, num_classes=0).state_dict())
        assert isinstance(detector.network, ClassifierNetwork)  # noqa: S101 (that is what a Classifier holds)
        detector.network.freeze(detector.architecture.freeze)
    elif model:
        detector.network.load_state_dict(_timm(model, file, num_classes=1).state_dict())
    else:
        _load_own_convnext(detector.network, file)


def _load_encoder(detector: EncoderDetector, sha256: str) -> None:
    """Begin with an encoder of the data folder; its own head stays as it was drawn."""
    fresh = {name: value for name, value in detector.network.state_dict().items() if not name.startswith(BODY)}
    detector.network.load_state_dict(detector.whole_state(fresh, EncoderFolder().read(sha256)))


def _freeze_unreached(detector: EncoderDetector) -> None:
    """Freeze what gets no gradient; of several processes each would wait for the others' gradients of it."""
    network, size = detector.network, detector.plan.size
    network(torch.zeros(1, 3, size, size)).sum().backward()
    for value in network.parameters():
        value.requires_grad_(value.requires_grad and value.grad is not None)
        value.grad = None


def _load_tower_of(detector: Detector, model: str | None, pretrained: str | bool) -> None:  # noqa: FBT001 (or a name)
    tags = open_clip.list_pretrained_tags_by_model(model) if model else []
    named = pretrained if isinstance(pretrained, str) else None
    file = check_weights_file(named) if named is not None and named not in tags else None
    _load_tower(detector.network.get_submodule("tower"), model, file, named or next(iter(tags), None))


def _timm(model: str | None, file: str | None, num_classes: int) -> nn.Module:
    if not model:
        raise ValueError("only named models have pretrained weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_DRAWN)
        overlay = {"file": file} if file else timm_overlay(model)
        made = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=num_classes)
        torch.manual_seed(_DRAWN)
        fresh = timm.create_model(model, pretrained=False, num_classes=num_classes)
    _check_loaded(made, fresh)
    return made


def _check_loaded(made: nn.Module, fresh: nn.Module) -> None:
    """Refuse weights that are not this network's: where classes are counted otherwise, timm takes what fits of them.

    What is still as it was drawn, but for the head, was not loaded, whatever the file calls its weights.
    """
    settings: Any = made.pretrained_cfg  # of what torch knows, an attribute is a tensor or a module
    named = settings.get("classifier") or ()
    heads = (named,) if isinstance(named, str) else tuple(named)
    drawn = dict(fresh.named_parameters())
    left = [
        name
        for name, value in made.named_parameters()
        if value.ndim > 1 and not name.startswith(heads) and torch.equal(value, drawn[name])
    ]
    if left:
        raise ValueError(f"{len(left)} of its weights are not in it, such as {left[0]}")


def _load_tower(tower: nn.Module, model: str | None, file: str | None, tag: str | None) -> None:
    if model is None:
        if file is None:
            raise ValueError("a tower without a model name has no weights but a local file's")
        tower.load_state_dict(load_file(file))
        return
    if file is None:
        if tag is None:
            raise ValueError(f"open_clip has no weights for {model!r}")
        file, _ = open_clip_tag(model, tag)
    both: nn.Module = open_clip.create_model(model, pretrained=file, require_pretrained=True)
    tower.load_state_dict(both.get_submodule("visual").state_dict())


def _load_own_convnext(network: nn.Module, file: str | None) -> None:
    """Load a ConvNeXt of our own measures; an old head is left behind for a fresh one."""
    if file is None:
        raise ValueError("a network without a model name has no weights but a local file's")
    fresh_head = {name: value for name, value in network.state_dict().items() if name.startswith("head.fc.")}
    body = {name: value for name, value in load_file(file).items() if not name.startswith("head.fc.")}
    network.load_state_dict({**body, **fresh_head})


def _fresh(detector: Detector, recipe: DetectorRecipe) -> None:
    if recipe.kind == "convnext" or detector.name == "convnext":
        initialise(detector.network)
    elif isinstance(detector, Classifier) and isinstance(detector.network.get_submodule("body"), ConvNeXt):
        initialise(detector.network.get_submodule("body"))


def initialise(network: nn.Module) -> None:
    """Draw fresh matrices and kernels with unit gain, and let every residual branch count from the start.

    timm starts ConvNeXt with 0.02-sized weights and branches scaled by 1e-6, which suits 300 epochs and wastes the
    first of three.
    """
    for name, value in network.named_parameters():
        if value.ndim > 1 and name.endswith("weight"):
            fan_in = value[0].numel()
            nn.init.trunc_normal_(value, std=fan_in**-0.5)
        elif name.endswith("gamma"):
            nn.init.constant_(value, 0.5)
