"""Penalties of pictures whose values are known."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo.perceptual import range_penalty, total_variation


def test_penalties_of_known_pictures():
    steps = torch.tensor([0.0, 1.0, 1.0, 3.0]).expand(1, 3, 2, 4)
    assert total_variation(steps).item() == pytest.approx((1 + 0 + 4) / 3)
    assert range_penalty(torch.tensor([-0.5, 0.0, 0.3, 1.0, 1.25])).item() == pytest.approx((0.25 + 0.0625) / 5)
