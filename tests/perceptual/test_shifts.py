"""Margins and shifts: the network sees the whole picture, at every offset of its grid."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo.contract import SettingsError
from ganart_zoo.perceptual import SHIFTS, shifts, with_margin


@pytest.mark.parametrize(("size", "margin"), [((16, 16), 0), ((20, 40), 4), ((30, 300), 8)])
def test_the_margin_fits_small_pictures(size, margin):
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    for shift in SHIFTS:
        seen = with_margin(picture, shift)
        assert seen.shape[-2:] == (size[0] + 2 * margin + 15, size[1] + 2 * margin + 15)
        top, left = margin + shift.down, margin + shift.across
        assert torch.equal(seen[..., top : top + size[0], left : left + size[1]], picture)


def test_shifts_meet_each_row_and_column_once():
    for period in (1, 2, 16, 32):
        places = shifts(period)
        assert sorted(shift.down for shift in places) == sorted(shift.across for shift in places) == list(range(period))
    assert shifts(16) == SHIFTS
    with pytest.raises(SettingsError, match="period is 12, expected a power of two"):
        shifts(12)


def test_another_period_widens_the_margin():
    picture = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(2))
    seen = with_margin(picture, shifts(32)[5], margin=4, period=32)
    assert seen.shape[-2:] == (40 + 8 + 31, 50 + 8 + 31)
    down, across = shifts(32)[5]
    assert torch.equal(seen[..., 4 + down : 44 + down, 4 + across : 54 + across], picture)
