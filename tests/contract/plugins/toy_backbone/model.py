"""Three convolutions, each halving the side, and a class head."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo.contract import Backbone, LayerInfo, Settings

_CHANNELS = {"stem": 4, "middle": 6, "deep": 8}
_CLASSES = 5


class Tiny(Backbone):
    """Layers `stem`, `middle`, `deep` (after SiLU) and `logits`."""

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.layers = {name: LayerInfo(width, 2 ** (i + 1)) for i, (name, width) in enumerate(_CHANNELS.items())}
        self.layers["logits"] = LayerInfo(_CLASSES, 8)
        self.taps = {
            "style": ("stem", "middle"),
            "content": ("middle",),
            "dream": ("deep",),
            "critic": ("stem", "deep"),
        }
        widths = [3, *_CHANNELS.values()]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1) for inputs, outputs in itertools.pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], _CLASSES)
        self.norm = nn.BatchNorm2d(3)  # its running statistics must not move under a borrower's train()

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        wanted = self.check_layers(layers)
        found: dict[str, Tensor] = {}
        features = self.norm((images - 0.5).to(self.compute_dtype) * 4)
        for name, convolution in zip(_CHANNELS, self.convolutions, strict=True):
            if not set(wanted) - set(found):
                break
            features = functional.silu(convolution(features))
            found[name] = features
        if "logits" in wanted:
            found["logits"] = self.head(torch.mean(features, dim=(2, 3)))
        return {name: found[name] for name in wanted}
