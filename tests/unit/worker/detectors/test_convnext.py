import torch

from worker.detectors.convnext import with_residual


def test_high_pass_channels_are_silent_where_nothing_changes() -> None:
    flat = torch.full((1, 3, 8, 8), 0.7)
    added = with_residual(flat, 8.0)
    assert added.shape == (1, 6, 8, 8)
    assert torch.equal(added[:, :3], flat)
    assert torch.allclose(added[:, 3:], torch.zeros(1, 3, 8, 8), atol=1e-5)


def test_high_pass_channels_show_a_single_pixel_times_the_gain() -> None:
    pixels = torch.zeros(1, 3, 5, 5)
    pixels[0, 1, 2, 2] = 9.0
    residual = with_residual(pixels, 2.0)[0, 4]
    assert residual[2, 2] == 2.0 * (9.0 - 1.0)
    assert residual[2, 3] == -2.0
    assert residual[0, 0] == 0.0
