"""One contract, run over every detector."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from worker.detectors.build import build_detector
from worker.detectors.detector import Detector
from worker.detectors.heatmap import grad_cam
from worker.images.views import ViewPlan


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


ODD_IMAGES = {
    "one pixel": Image.new("RGB", (1, 1), (200, 10, 30)),
    "a line": Image.new("RGB", (30_000, 1), (0, 0, 0)),
    "a column": Image.new("RGB", (1, 30_000), (255, 255, 255)),
    "grey values": Image.new("L", (70, 50), 128),
    "palette": noise(60, 60).convert("P"),
    "smaller than a view": noise(7, 90),
    "as large as a view": noise(32, 32),
    "a photograph's size": noise(640, 427),
}


@pytest.mark.parametrize("image", ODD_IMAGES.values(), ids=ODD_IMAGES.keys())
def test_views_of_any_image_have_one_shape_and_give_a_finite_logit(detector: Detector, image: Image.Image) -> None:
    views = detector.views(image)
    plan = detector.plan
    assert (plan.count, 3, plan.size, plan.size) == tuple(views.shape)
    assert torch.uint8 == views.dtype
    assert torch.isfinite(detector.logits(views[None])).all()


def test_logits_keep_the_order_of_the_batch(detector: Detector) -> None:
    views = torch.stack([detector.views(noise(90, 80, seed)) for seed in range(4)])
    forwards, backwards = detector.logits(views), detector.logits(views.flip(0))
    assert forwards.std() > 1e-3  # otherwise any order would do
    torch.testing.assert_close(forwards, backwards.flip(0), atol=1e-4, rtol=1e-4)


def test_a_logit_does_not_depend_on_its_neighbours(detector: Detector) -> None:
    views = torch.stack([detector.views(noise(90, 80, seed)) for seed in range(5)])
    alone = torch.cat([detector.logits(one[None]) for one in views])
    torch.testing.assert_close(detector.logits(views), alone, atol=1e-4, rtol=1e-4)


def test_logits_are_one_float32_an_image(detector: Detector) -> None:
    logits = detector.logits(detector.views(noise(64, 64))[None].repeat(3, 1, 1, 1, 1))
    assert (torch.float32, (3,)) == (logits.dtype, tuple(logits.shape))


def test_views_cut_in_many_threads_are_those_cut_in_one(detector: Detector) -> None:
    images = [noise(120, 75, seed) for seed in range(8)]
    alone = [detector.views(image) for image in images]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(detector.views, images))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_the_average_over_views_is_the_image_logit(detector: Detector) -> None:
    views = detector.views(noise(200, 150))[None]
    single = torch.stack([detector.logits(views[:, index : index + 1]) for index in range(detector.plan.count)])
    torch.testing.assert_close(detector.logits(views), single.mean(dim=0), atol=1e-4, rtol=1e-4)


def test_the_heatmap_layer_belongs_to_the_network(detector: Detector) -> None:
    assert any(module is detector.heatmap_layer() for module in detector.network.modules())


def test_a_tower_named_in_open_clip_is_built_and_explained_by_the_same_code(tmp_path: Path) -> None:
    """The production tower is an attention-pooled timm trunk; this is its smallest sister."""
    vision = {
        "image_size": 384,
        "timm_model_name": "vit_pe_core_tiny_patch16_384",
        "timm_pool": "map",
        "timm_proj": None,
    }
    text = {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 1, "layers": 1}
    config = {"embed_dim": 192, "vision_cfg": vision, "text_cfg": text, "custom_text": True}
    (tmp_path / "assay-tiny.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    made = build_detector(
        "clip", {"model": "assay-tiny", "taps": [3, 11], "frozen": True, "input_scale": 0.5}, ViewPlan(384, 1, 0)
    )
    save_file(made.network.get_submodule("tower").state_dict(), tmp_path / "tower.safetensors")
    made.network.get_submodule("tower").load_state_dict(load_file(tmp_path / "tower.safetensors"))
    made.network.eval()
    (heatmap,) = grad_cam(made, made.views(noise(64, 64))[None], [(64, 64)])
    assert heatmap.layer == "tower.trunk.blocks.3.norm1"
    assert heatmap.raw.max() > 0
