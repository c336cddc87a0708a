"""Regions: each takes its own style, or one part of a style picture."""

from __future__ import annotations

import torch
from ganart_gatys.config import Config, Options
from ganart_gatys.model import Gatys

from ganart_zoo.contract import Style


def left(share: float, size: int = 20) -> torch.Tensor:
    """A region that covers this share of a square, from the left."""
    region = torch.zeros(1, 1, size, size)
    region[..., : round(share * size)] = 1
    return region


def test_each_region_takes_its_own_style(backbone):
    content = torch.full((1, 3, 32, 32), 0.5)
    red = torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1).expand(1, 3, 24, 24)
    blue = red.flip(1)
    region = left(0.5, 32)
    result = Gatys(Config(compute="float32"), backbone=backbone).stylize(
        content,
        [Style(red, region=region), Style(blue, region=1 - region)],
        options=Options(steps=60, scales=1, content_weight=0, learning_rate=0.03),
    )
    warmth = (result[:, 0] - result[:, 2])[0]
    assert warmth[:, :12].mean() > 0.2
    assert warmth[:, 20:].mean() < -0.2


def test_a_source_region_takes_only_that_part_of_the_style(backbone):
    content = torch.full((1, 3, 32, 32), 0.5)
    halves = torch.zeros(1, 3, 24, 24)
    halves[:, 0, :, :12] = 0.9  # red left, blue right
    halves[:, 2, :, 12:] = 0.9
    options = Options(steps=60, scales=1, content_weight=0, learning_rate=0.03)
    model = Gatys(Config(compute="float32"), backbone=backbone)
    warmth = []
    for source in (left(0.4, 24), left(0.4, 24).flip(-1)):
        result = model.stylize(content, [Style(halves, source_region=source)], options=options)
        warmth.append((result[:, 0] - result[:, 2]).mean())
    assert warmth[0] > 0.2
    assert warmth[1] < -0.2
