"""How far around its own pixels a network looks: what tiles need as a halo."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.models import Backbone

__all__ = ["measure_reach", "reach_of"]

_LONGEST_PROBE = 4096
_LEAST_WIDTH = 128
"""Pixels that are enough for the deepest layer of any network that is used for art."""


def reach_of(backbone: Backbone, layers: Sequence[str]) -> int:
    """Return the largest reach of `layers` in pixels: as the backbone declares it, else as it is measured.

    Raises:
        SettingsError: A layer depends on the whole picture, so that it cannot be computed in tiles.
    """
    reaches = []
    for name in layers:
        reach = backbone.layers[name].reach
        reach = measure_reach(backbone, name) if reach is None else reach
        if reach is None:
            raise SettingsError(
                f"layer {name!r} of {type(backbone).__name__} depends on the whole picture, so it cannot be computed "
                "in tiles; leave tile out, or choose other layers"
            )
        reaches.append(reach)
    return max(reaches, default=0)


@torch.no_grad()
def measure_reach(backbone: Backbone, layer: str) -> int | None:
    """Return how many pixels beyond its own `stride` x `stride` a cell of a layer depends on, at most; None: on all.

    Half of a picture is made NaN, which spreads along every path through the network, whatever the weights are. The
    result is rounded up to a multiple of the layer's stride.
    """
    stride = backbone.layers[layer].stride
    reaches = [
        _after(backbone, layer, stride, remainder, flip, across)
        # with uneven padding the remainder decides on which side a window has one pixel more
        for remainder in sorted({0, 1 % stride, stride - 1})
        for flip in (False, True)
        for across in (False, True)
    ]
    return None if None in reaches else max(reach for reach in reaches if reach is not None)


def _after(backbone: Backbone, layer: str, stride: int, remainder: int, flip: bool, across: bool) -> int | None:
    """Return the reach towards higher rows, or lower ones where `flip`, or columns where `across`."""
    side = max(256, 4 * stride)
    while side <= _LONGEST_PROBE:
        edge = side // 2 // stride * stride
        probe = torch.zeros(1, 3, side + remainder, _LEAST_WIDTH, dtype=backbone.picture_dtype, device=backbone.device)
        (probe[:, :, :edge] if flip else probe[:, :, edge:]).fill_(torch.nan)
        features = backbone(probe.mT if across else probe, [layer])[layer]
        if features.ndim != 4:
            return None
        broken = _broken_rows(features.mT if across else features)
        if flip and not broken[-1]:
            return max(0, (int(broken.nonzero().max()) + 1) * stride - edge)
        if not flip and not broken[0]:
            return max(0, edge - int(broken.nonzero().min()) * stride)
        side *= 2
    return None


def _broken_rows(features: Tensor) -> Tensor:
    return features.isnan().any(dim=3).any(dim=1)[0]
