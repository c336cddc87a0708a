"""Scales: their sizes, and how they share the steps."""

from __future__ import annotations

import pytest

from ganart_zoo.contract import SettingsError
from ganart_zoo.perceptual import schedule


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((342, 512), [(86, 128), (171, 256), (342, 512)]),
        ((100, 200), [(100, 200)]),
        ((40, 2048), [(40, 2048)]),
        ((1024, 1024), [(128, 128), (256, 256), (512, 512), (1024, 1024)]),
    ],
)
def test_scales_end_with_the_full_size(size, expected):
    assert [scale[:2] for scale in schedule(*size, steps=100, scales=None)] == expected


@pytest.mark.parametrize("growth", [1.0, 1.7, 3.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 100, 101])
def test_scales_share_all_steps(steps, growth):
    scales = schedule(512, 512, steps=steps, scales=None, growth=growth)
    assert sum(scale.steps for scale in scales) == steps
    assert min(scale.steps for scale in scales) >= 1


def test_steps_grow_from_scale_to_scale():
    assert [scale.steps for scale in schedule(512, 512, steps=132, scales=None, growth=3)] == [10, 30, 92]
    assert [scale.steps for scale in schedule(512, 512, steps=132, scales=None)] == [44, 44, 44]


def test_octaves_shrink_by_their_ratio():
    scales = schedule(512, 300, steps=30, scales=3, ratio=1.4)
    assert [scale[:2] for scale in scales] == [(261, 153), (366, 214), (512, 300)]
    with pytest.raises(SettingsError, match=r"scales is 9.* room for 8 at most"):
        schedule(256, 170, steps=30, scales=9, ratio=1.4)
