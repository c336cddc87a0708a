"""Plans of tiles cover each pixel once, reach far enough, and divide as the whole picture does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.imaging.tiles import plan_tiles, spans


@given(st.integers(1, 700), st.integers(16, 900), st.integers(0, 120), st.sampled_from([1, 2, 16]))
def test_spans_cover_a_side_and_stay_aligned(length: int, tile: int, halo: int, stride: int) -> None:
    found = spans(length, tile=tile, halo=halo, stride=stride)
    assert [found[0].start, found[-1].stop] == [0, length]
    assert all(one.stop == other.start for one, other in pairwise(found))
    for start, stop, low, high in found:
        assert 0 < stop - start < tile + stride
        assert start % stride == low % stride == (length - high) % stride == 0
        assert low == 0 or start - low >= halo
        assert high == length or high - stop >= halo
        assert 0 <= low <= start
        assert stop <= high <= length


def test_tiles_own_each_pixel_once() -> None:
    owned = np.zeros((70, 131), int)
    for tile in plan_tiles(70, 131, tile=48, halo=9, stride=16):
        owned[tile.own.top : tile.own.bottom, tile.own.left : tile.own.right] += 1
        assert tile.own.pixels == tile.own.height * tile.own.width
    assert (owned == 1).all()


def test_a_tile_smaller_than_the_stride_is_refused() -> None:
    with pytest.raises(SettingsError, match="tile is 8 pixels, expected at least the network's stride of 16"):
        spans(100, tile=8, stride=16)
