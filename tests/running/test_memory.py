"""Plans of memory: sizes as people write them, the largest tiles that fit, and advice where nothing does."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.perceptual import fit_memory, peak_bytes
from ganart_zoo.running import memory
from ganart_zoo.running.memory import available, parse_bytes, plan_memory, resident, show_bytes

MIB = 2**20


@pytest.mark.parametrize(
    ("text", "count"), [("1536MiB", 1536 * MIB), ("2GiB", 2048 * MIB), ("2 gb", 2_000_000_000), ("0.5GiB", 512 * MIB)]
)
def test_sizes_are_read(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "0MiB", "-1GiB", "1TiB"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected a size such as 1536MiB or 2GiB"):
        parse_bytes(text)


def _forecast(height: int, width: int, tile: int | None) -> int:
    """10 MiB for a megapixel of the picture, and 1000 for one at once."""
    at_once = height * width if tile is None else min(tile, height) * min(tile, width)
    return 10 * height * width + 1000 * at_once


def test_the_largest_tiles_that_fit_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "resident", lambda: 100 * MIB)
    monkeypatch.setattr(memory, "peak_resident", lambda: 0)
    whole = plan_memory(_forecast, 1024, 1024, limit=1200 * MIB, tiles=True)
    assert (whole.tile, whole.peak) == (None, 1110 * MIB)
    tiled = plan_memory(_forecast, 1024, 1024, limit=400 * MIB, tiles=True)
    assert (tiled.tile, tiled.peak) == (512, 360 * MIB)
    assert str(tiled) == "in tiles of 512 pixels: 360 MiB forecast of 400 MiB"
    assert plan_memory(_forecast, 1024, 1024, limit=400 * MIB, tiles=True, tile=128).tile == 128


def test_a_limit_below_one_tile_is_refused_with_the_least_that_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "resident", lambda: 100 * MIB)
    monkeypatch.setattr(memory, "peak_resident", lambda: 0)
    with pytest.raises(SettingsError, match="photo: 1024×1024 pixels need 114 MiB of memory in tiles of 64 "):
        plan_memory(_forecast, 1024, 1024, limit=110 * MIB, tiles=True, what="photo: ")
    assert plan_memory(_forecast, 1024, 1024, limit=114 * MIB, tiles=True).tile == 64
    with pytest.raises(SettingsError, match=r"need 1\.08 GiB of memory, and the limit is 400 MiB; raise it to 1110MiB"):
        plan_memory(_forecast, 1024, 1024, limit=400 * MIB, tiles=False)


def test_what_the_machine_says_is_plausible() -> None:
    assert MIB < resident() < 2**40
    free = available()
    assert free is None or 0 <= free < 2**44
    assert show_bytes(3 * 2**29) == "1.50 GiB"


def test_peaks_are_counted_and_fitted() -> None:
    kept = torch.ones(1000)

    def work(side: int) -> None:
        first = torch.ones(side, side)  # 4 bytes each
        second = first.double()  # and 8 more, for a moment
        del second
        first.add_(1).view(-1)[:5].sum()

    assert peak_bytes(lambda: kept + kept) == 4000
    assert peak_bytes(lambda: work(100)) == 120_000
    assert fit_memory(work)(1000, 500) == pytest.approx(1.05 * 6_000_000)  # with what the heap adds
