import copy
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.worker.small_bundles import DETECTORS
from worker.bundles.loaded import Bundle
from worker.bundles.parts import BundleParts
from worker.detectors import heatmap as drawing
from worker.detectors.build import build_detector
from worker.detectors.detector import Detector
from worker.detectors.heatmap import Heatmap, Method, explained_layers, grad_cam, overlay_png, raw_npy
from worker.detectors.pixels import normalise
from worker.images.views import ViewPlan


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def maps_of(detector: Detector, images: list[Image.Image]) -> list[Heatmap]:
    return grad_cam(detector, torch.stack([detector.views(i) for i in images]), [i.size for i in images])


def test_maps_cover_the_image_and_are_neither_zero_nor_scaled_to_one(detector: Detector) -> None:
    heatmaps = maps_of(detector, [noise(200, 100, seed) for seed in range(6)])
    assert {(32, 64)} == {heatmap.raw.shape for heatmap in heatmaps}
    assert all(heatmap.raw.dtype == np.float32 and heatmap.raw.min() >= 0 for heatmap in heatmaps)
    peaks = {float(heatmap.raw.max()) for heatmap in heatmaps}
    assert max(peaks) > 0
    assert len(peaks) > 1  # the library's own scaling would make every peak 1


def test_a_tenth_of_the_logit_gives_a_tenth_of_the_map(detector: Detector) -> None:
    image = [noise(120, 120, seed) for seed in range(4)]
    detector = copy.deepcopy(detector)
    head = [layer for layer in detector.network.modules() if isinstance(layer, torch.nn.Linear)][-1]
    if detector.name == "srm":  # one function in place of two, which share the logit by how far apart they are
        head.weight[:], head.bias[:] = head.weight[:1].clone(), head.bias[:1].clone()
    full = maps_of(detector, image)
    fainter = copy.deepcopy(detector)
    head = [layer for layer in fainter.network.modules() if isinstance(layer, torch.nn.Linear)][-1]
    head.weight.mul_(0.1)
    for before, after in zip(full, maps_of(fainter, image), strict=True):
        np.testing.assert_allclose(after.raw, 0.1 * before.raw, rtol=1e-3, atol=1e-6)


def test_a_map_does_not_depend_on_its_neighbours(detector: Detector) -> None:
    images = [noise(90, 60, seed) for seed in range(3)]
    for together, image in zip(maps_of(detector, images), images, strict=True):
        np.testing.assert_allclose(together.raw, maps_of(detector, [image])[0].raw, rtol=1e-3, atol=1e-5)


def test_passes_on_a_cpu_are_small_however_many_images_there_are(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [noise(90, 60, seed) for seed in range(3)]
    before = maps_of(detector, images)
    passes: list[int] = []

    def note(views: torch.Tensor) -> torch.Tensor:
        passes.append(len(views))
        return normalise(views)

    monkeypatch.setattr(drawing, "_CPU_PASS_PIXELS", 2 * detector.plan.size**2)
    monkeypatch.setattr(drawing, "normalise", note)
    for large, small in zip(before, maps_of(detector, images), strict=True):
        np.testing.assert_allclose(small.raw, large.raw, rtol=1e-3, atol=1e-5)
    assert max(passes) <= 2
    assert sum(passes) == 3 * detector.plan.count


@pytest.mark.parametrize("size", [(1, 1), (30_000, 1), (1, 300), (20, 9)])
def test_maps_of_odd_images_keep_their_shape(detector: Detector, size: tuple[int, int]) -> None:
    (heatmap,) = maps_of(detector, [Image.new("RGB", size, (120, 90, 60))])
    assert max(heatmap.raw.shape) == 64
    assert (size[0] >= size[1]) == (heatmap.raw.shape[1] >= heatmap.raw.shape[0])
    assert np.isfinite(heatmap.raw).all()


@pytest.mark.parametrize("detector", [DETECTORS["convnext, mirrored"]], indirect=True)
def test_what_also_looks_at_mirror_images_says_the_same_of_one_and_maps_it_mirrored(detector: Detector) -> None:
    image = noise(72, 52)  # crops then lie on whole pixels, and their mirror images too
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    views = torch.stack([detector.views(image), detector.views(mirrored)])
    torch.testing.assert_close(*detector.logits(views))
    one, other = maps_of(detector, [image, mirrored])
    assert one.raw.std() > 0
    np.testing.assert_allclose(one.raw[:, ::-1], other.raw, rtol=1e-3, atol=1e-5)


def test_hooks_are_gone_afterwards_even_when_the_pass_fails(detector: Detector) -> None:
    maps_of(detector, [noise(64, 64)])
    with pytest.raises((RuntimeError, ValueError, AssertionError)):
        grad_cam(detector, torch.zeros(1, detector.plan.count, 5, 32, 32, dtype=torch.uint8), [(32, 32)])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in detector.network.modules())
    assert all(parameter.grad is None for parameter in detector.network.parameters())


def test_a_bundle_maps_every_image_for_every_detector(make_parts: Callable[..., BundleParts]) -> None:
    bundle = Bundle(make_parts())
    images = [noise(80, 80, 1), noise(30, 90, 2)]
    prepared = [bundle.prepare(image) for image in images]
    before = bundle.score(prepared)
    heatmaps = bundle.heatmaps(prepared)
    assert [{"clip", "convnext"}] * 2 == [set(of_image) for of_image in heatmaps]
    assert before == bundle.score(prepared)
    assert (heatmaps[0]["clip"].method, heatmaps[0]["convnext"].method) == ("hires-cam", "grad-cam-multilayer")
    assert heatmaps[0]["clip"].layer.endswith("ln_1")
    assert heatmaps[0]["convnext"].layer == "stages.2+stages.3"


WITH_GRADIENTS = {name: made for name, made in DETECTORS.items() if made[0] != "srm"}


@pytest.mark.parametrize("detector", WITH_GRADIENTS.values(), ids=WITH_GRADIENTS, indirect=True)
@pytest.mark.parametrize("method", [Method.GRAD_CAM, Method.ELEMENTWISE])
def test_gradients_that_begin_at_the_layer_are_those_of_the_whole_network(detector: Detector, method: Method) -> None:
    _, [layer] = explained_layers(detector, method)
    held: list[torch.Tensor] = []

    def hold(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        held.append(output)

    views = normalise(detector.views(noise(64, 64)))
    hook = layer.register_forward_hook(hold)
    torch.autograd.backward(detector.view_logits(views.clone().requires_grad_(True)).sum())
    hook.remove()
    assert held[0].grad is not None
    activations, gradients = drawing._as_grid(held[0].detach()), drawing._as_grid(held[0].grad)
    weights = gradients if method is Method.ELEMENTWISE else gradients.mean(dim=(2, 3), keepdim=True)
    expected = (weights * activations).sum(dim=1).clamp(min=0) * activations[0, 0].numel()  # (V, h, w)
    np.testing.assert_allclose(
        drawing._raw_maps(detector, method, [layer], views), expected.numpy(), rtol=1e-3, atol=1e-5
    )


def test_a_detector_of_gradients_alone_does_not_tell_what_cells_add(detector: Detector) -> None:
    views = detector.views(noise(64, 64))[None]
    if detector.name == "srm":
        (heatmap,) = grad_cam(detector, views, [(64, 64)])
        assert (heatmap.method, heatmap.layer) == ("additive", "head")
    else:
        with pytest.raises(TypeError, match=f"{detector.name} does not tell what each cell adds"):
            grad_cam(detector, views, [(64, 64)], Method.ADDITIVE)


def test_the_raw_map_is_a_file_without_pickle() -> None:
    raw = np.random.default_rng(0).random((5, 9), dtype=np.float32)
    read = np.load(io.BytesIO(raw_npy(Heatmap("clip", "grad-cam", "a layer", raw))), allow_pickle=False)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, raw)


def reddest(png: bytes) -> int:
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return int((pixels[..., 0] - pixels[..., 2]).max())


def test_nothing_glows_when_the_probability_is_low() -> None:
    raw = np.zeros((8, 8), dtype=np.float32)
    raw[2:4, 2:4] = 5.0
    heatmap = Heatmap("clip", "grad-cam", "a layer", raw)
    image = noise(64, 64)
    glow = [reddest(overlay_png(image, heatmap, probability)) for probability in (0.01, 0.5, 0.7, 0.99)]
    assert glow[:2] == [0, 0]
    assert 0 < glow[2] < glow[3]


def test_an_empty_map_makes_no_glow_and_large_images_come_reduced() -> None:
    heatmap = Heatmap("clip", "grad-cam", "a layer", np.zeros((4, 8), dtype=np.float32))
    png = overlay_png(noise(2048, 1024), heatmap, 0.99)
    assert Image.open(io.BytesIO(png)).size == (448, 224)
    assert reddest(png) == 0


@pytest.mark.parametrize(("depths", "stages"), [([1, 1, 1, 0], [2, 3]), ([1, 0, 0, 0], [0, 1])])
def test_several_layers_are_no_stages_that_only_halve_the_picture_further(depths: list[int], stages: list[int]) -> None:
    network = {"patch_size": 1, "depths": depths, "dims": [8, 8, 8, 8]}
    detector = build_detector("convnext", {"network": network, "stem": [4, 8]}, ViewPlan(32, 1, 0))
    _, layers = explained_layers(detector)
    assert layers == [detector.network.get_submodule(f"stages.{stage}") for stage in stages]
