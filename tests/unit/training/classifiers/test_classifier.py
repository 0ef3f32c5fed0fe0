"""Classifiers keep the detectors' contract."""

import pytest
import torch
from torch import nn

from training.classifiers.classifier import Classifier, architecture_of, median_3x3
from worker.detectors.detector import Detector
from worker.images.views import ViewPlan

PLAN = ViewPlan(32, 1, 0)
CNN = {"widths": [8, 16], "hidden": [12], "dropout": 0.5, "batch_norm": True}


def test_a_small_cnn_judges_batches_and_says_where_to_look() -> None:
    cnn = Classifier("small_cnn", architecture_of(CNN), PLAN)
    assert isinstance(cnn, Detector)
    cnn.network.eval()
    views = torch.randint(0, 256, (5, 1, 3, 32, 32), dtype=torch.uint8)
    assert tuple(cnn.logits(views).shape) == (5,)
    assert len(cnn.heatmap_layers()) == 2
    assert cnn.heatmap_layer() is cnn.heatmap_layers()[-1]
    kinds = [type(layer) for layer in cnn.network.get_submodule("head").children()]
    assert [nn.Dropout, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout, nn.Linear] == kinds


@pytest.mark.parametrize(
    ("model", "stages"),
    [("test_resnet.r160_in1k", 5), ("test_convnext.r160_in1k", 4), ("test_efficientnet.r160_in1k", 5)],
)
def test_a_timm_body_names_a_layer_for_each_stage(model: str, stages: int) -> None:
    made = Classifier("x", architecture_of({"model": model}), ViewPlan(64, 1, 0))
    assert stages == len(made.heatmap_layers())


def test_what_is_frozen_keeps_its_weights_and_its_statistics() -> None:
    made = Classifier("x", architecture_of({"model": "test_resnet.r160_in1k"}), ViewPlan(64, 1, 0))
    network = made.network
    network.freeze(("conv1", "bn1", "layer1"))  # type: ignore[operator]
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    made.view_logits(torch.randn(4, 3, 64, 64)).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith(("body.conv1", "body.bn1", "body.layer1"))}
    assert {name for name in changed if name.startswith("body.layer4")}


def test_the_body_sees_pixels_as_it_was_trained_on_them() -> None:
    made = Classifier("x", architecture_of(CNN), PLAN)
    seen = []
    made.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    grey = (torch.full((2, 3, 32, 32), 124 / 255) - 0.5) / 0.25
    made.network.eval()
    made.view_logits(grey)
    expected = [(124 / 255 - mean) / spread for mean, spread in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_the_median_takes_single_specks_out_and_leaves_edges() -> None:
    picture = torch.zeros(1, 1, 9, 9)
    picture[..., 5:] = 1.0
    speckled = picture.clone()
    speckled[0, 0, 2, 2] = 1.0
    assert torch.equal(median_3x3(speckled), picture)


def test_unknown_keys_are_an_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        architecture_of({"colour": 1})
