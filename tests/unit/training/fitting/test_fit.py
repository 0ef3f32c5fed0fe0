"""The loop's step: what mixed precision leaves alone."""

import torch
from torch import nn

from training.fitting.fit import keep_depthwise_whole


def test_convolutions_by_channel_stay_in_fp32_within_mixed_precision() -> None:
    dense, depthwise = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=4)
    network, pixels = nn.Sequential(dense, depthwise), torch.randn(2, 4, 8, 8)
    keep_depthwise_whole(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        between = dense(pixels)
        judged = network(pixels)
    assert (between.dtype, judged.dtype) == (torch.bfloat16, torch.float32)
    judged.sum().backward()
    assert depthwise.weight.grad is not None
    assert dense.weight.grad is not None
    assert torch.equal(judged, depthwise(between.float()))
