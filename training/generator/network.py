"""The network of our own small generator: one U-Net that denoises every level of a pyramid.

A picture is made coarse to fine. Level 0 is a whole picture of 8x8; each further level doubles the size and
adds only the detail that the enlarged coarser picture lacks, so one small fully convolutional network suffices.
The diffusion follows Karras et al. 2022 (arXiv 2206.00364), the pyramid Denton et al. 2015 (arXiv 1506.05751).
`training.generator.fit` fits the network, `training.generator.draw` draws pictures with it.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

BASE_SIZE = 8
LEVELS = 6
# Grey, red against blue, green against both: in photographs these vary independently, and colour far less than grey.
# Diffusing them each at its own scale keeps a small network's mistakes from showing as coloured noise.
OPPONENTS = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))
# The spread of each level's grey and colours over photographs; pixels are -1..1. Measured.
LEVEL_STD = (
    (0.76, 0.286, 0.114),
    (0.221, 0.06, 0.029),
    (0.188, 0.047, 0.024),
    (0.165, 0.032, 0.018),
    (0.152, 0.019, 0.012),
    (0.137, 0.012, 0.008),
)
WIDTH, DEEP_WIDTH, EMBEDDING = 48, 88, 64
FREQUENCIES = 16


def enlarge(coarse: Tensor) -> Tensor:
    """Double the size of pictures (B, 3, H, W) smoothly; the result is what a level adds its detail to."""
    return functional.interpolate(coarse, scale_factor=2, mode="bicubic", align_corners=False)


def to_data(pixels: Tensor, level: int) -> Tensor:
    """Turn a level's share of the pixels (B, 3, H, W), RGB, to its unit-variance data of the same shape."""
    spread = torch.tensor(LEVEL_STD[level])[:, None]
    return torch.einsum("dc,bchw->bdhw", torch.tensor(OPPONENTS) / spread, pixels)


def to_pixels(data: Tensor, level: int) -> Tensor:
    """Undo `to_data`."""
    spread = torch.tensor(LEVEL_STD[level])[:, None]
    return torch.einsum("dc,bdhw->bchw", torch.tensor(OPPONENTS) * spread, data)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around which the features flow unchanged.

    Features are normalised pixel by pixel, not over the picture: statistics over a picture would differ between
    the small windows of training and the full size of drawing.
    """

    def __init__(self, width: int) -> None:
        """Start as the identity, for a calm start of training."""
        super().__init__()
        self.condition = nn.Linear(EMBEDDING, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.condition.weight)

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Map features (B, C, H, W) and an embedding (B, E) to features of the same shape."""
        scale, shift = self.condition(embedding)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
        normed = features * torch.rsqrt(features.square().mean(1, keepdim=True) + 1e-4)
        hidden = self.first(functional.silu(torch.addcmul(shift, normed, 1 + scale)))
        out: Tensor = features + self.second(functional.silu(hidden))
        return out


class Denoiser(nn.Module):
    """Predicts one level's clean data from its noisy data, the coarser picture, the noise's size and the level."""

    def __init__(self) -> None:
        """Build three resolutions: half, a quarter and an eighth of the level's own."""
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(2 * FREQUENCIES + LEVELS, EMBEDDING),
            nn.SiLU(),
            nn.Linear(EMBEDDING, EMBEDDING),
            nn.SiLU(),
        )
        self.enter = nn.Conv2d(4 * 6, WIDTH, 3, padding=1)
        self.before = nn.ModuleList(ResidualBlock(WIDTH) for _ in range(2))
        self.down = nn.Conv2d(WIDTH, DEEP_WIDTH, 2, stride=2)
        self.deep_before = ResidualBlock(DEEP_WIDTH)
        self.deepest = ResidualBlock(DEEP_WIDTH)
        self.deep_after = ResidualBlock(DEEP_WIDTH)
        self.up = nn.Conv2d(DEEP_WIDTH, WIDTH, 1)
        self.after = nn.ModuleList(ResidualBlock(WIDTH) for _ in range(2))
        self.leave = nn.Conv2d(WIDTH, 4 * 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, noisy: Tensor, coarse: Tensor, sigma: Tensor, level: Tensor) -> Tensor:
        """Return the denoised data of a level.

        Args:
            noisy: (B, 3, H, W) float32, unit-variance data plus sigma times unit noise; H and W multiples of 8.
            coarse: (B, 3, H, W) float32 in about -1..1, the enlarged coarser picture; zeros at level 0.
            sigma: (B,) float32, above 0.
            level: (B,) int64, 0 to LEVELS - 1.

        Returns:
            (B, 3, H, W) float32, the expected clean data in units of unit variance.
        """
        size = sigma[:, None, None, None]
        skip, gain = 1 / (size.square() + 1), torch.rsqrt(size.square() + 1)
        return skip * noisy + size * gain * self.raw(noisy * gain, coarse, sigma, level)

    def raw(self, scaled: Tensor, coarse: Tensor, sigma: Tensor, level: Tensor) -> Tensor:
        """Run the network itself on unit-variance input (B, 3, H, W); its target has unit variance too."""
        embedding = self._embedding(sigma, level)
        # Half the resolution in four times the channels: most of the cost of a small network is at full size.
        features = functional.pixel_unshuffle(torch.cat([scaled, coarse], dim=1), 2)  # (B, 24, H/2, W/2)
        features = self.enter(features.contiguous(memory_format=torch.channels_last))
        for block in self.before:
            features = block(features, embedding)
        deep = self.deep_before(self.down(features), embedding)  # (B, C, H/4, W/4)
        deepest = self.deepest(functional.avg_pool2d(deep, 2), embedding)  # (B, C, H/8, W/8)
        deep = self.deep_after(deep + functional.interpolate(deepest, scale_factor=2), embedding)
        features = features + functional.interpolate(self.up(deep), scale_factor=2)
        for block in self.after:
            features = block(features, embedding)
        out: Tensor = functional.pixel_shuffle(self.leave(features), 2)
        return out

    def _embedding(self, sigma: Tensor, level: Tensor) -> Tensor:
        """Embed the noise's size (waves of its logarithm) and the level (one-hot) in (B, E)."""
        steps = torch.linspace(0, math.log(30), FREQUENCIES).exp()
        angles = sigma.log()[:, None] / 4 * steps
        one_hot = functional.one_hot(level, LEVELS).float()
        out: Tensor = self.embed(torch.cat([angles.sin(), angles.cos(), one_hot], dim=1))
        return out
