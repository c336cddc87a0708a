"""A colour turn for each named style; a blend of styles blends their matrices (Dumoulin et al. 2017, in small)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganart_zoo.contract import Settings, SettingsError, Style, StyleTransfer


class Named(StyleTransfer):
    """One 3x3 matrix and one offset a style."""

    style_names = ("dawn", "noon", "dusk")

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.matrix = nn.Parameter(torch.eye(3) + 0.3 * torch.randn(len(self.style_names), 3, 3))
        self.offset = nn.Parameter(0.2 * torch.randn(len(self.style_names), 3))

    def stylize(self, content, styles: Sequence[Style], *, init=None, rng=None, options=None, on_step=None) -> Tensor:
        if not styles:
            raise SettingsError(f"give a style, one of {', '.join(self.style_names)}")
        matrix, offset = self._blend(styles)
        painted = torch.einsum("ij,njhw->nihw", matrix, content.to(self.compute_dtype)) + offset[:, None, None]
        return painted.to(self.picture_dtype)

    def _blend(self, styles: Sequence[Style]) -> tuple[Tensor, Tensor]:
        picked = [
            (share, self.style_names.index(str(style.name)))
            for share, style in zip(self.shares(styles), styles, strict=True)
        ]
        return (
            sum((share * self.matrix[index] for share, index in picked), torch.zeros_like(self.matrix[0])),
            sum((share * self.offset[index] for share, index in picked), torch.zeros_like(self.offset[0])),
        )
