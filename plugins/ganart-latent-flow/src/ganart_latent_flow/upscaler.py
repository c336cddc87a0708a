"""The upscaler: pictures enlarged four times by a small residual network, as a correction to bicubic enlarging.

Sub-pixel convolution: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network", 2016, https://arxiv.org/abs/1609.05158.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ganart_latent_flow.autoencoder import Residual

__all__ = ["FACTOR", "Upscaler"]

FACTOR = 4


class Upscaler(nn.Module):
    """Enlarges pictures four times.

    Args:
        width: Channels.
        blocks: Residual blocks, at the small size.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            *[Residual(width) for _ in range(blocks)],
            nn.SiLU(),
            nn.Conv2d(width, 3 * FACTOR**2, 3, padding=1),
            nn.PixelShuffle(FACTOR),
        )
        last = self.layers[-2]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]  # this convolution has one

    def forward(self, pictures: Tensor) -> Tensor:
        """Return `[n, 3, 4 * H, 4 * W]` for pictures `[n, 3, H, W]`."""
        enlarged = functional.interpolate(pictures, scale_factor=FACTOR, mode="bicubic")
        correction: Tensor = self.layers(pictures * 2 - 1)
        return enlarged + correction
