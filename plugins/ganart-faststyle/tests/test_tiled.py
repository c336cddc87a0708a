"""Networks in tiles: exact statistics give the picture of one piece, and strips are those of the tensor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ganart_faststyle.config import JohnsonConfig, MultiStyleConfig, TiledOptions
from ganart_faststyle.feed_forward import FeedForward
from ganart_faststyle.johnson import Johnson
from ganart_faststyle.multistyle import MultiStyle
from ganart_faststyle.tiled import reach
from torch import Tensor

from ganart_zoo import Zoo
from ganart_zoo.contract import Style
from ganart_zoo.imaging import compare_pixels, load, read_record, save, to_pil
from ganart_zoo.imaging.strips import RowSource, save_strips
from ganart_zoo.tasks.stylize import StyleInput, Stylizer

STYLES = [Style(name="style00")]


@pytest.fixture(params=["multistyle", "johnson"])
def model(request: pytest.FixtureRequest) -> FeedForward:
    torch.manual_seed(0)
    if request.param == "multistyle":
        made: FeedForward = MultiStyle(MultiStyleConfig(channels=(4, 4, 4), blocks=1, expand=(4, 4)))
    else:
        made = Johnson(JohnsonConfig(channels=(4, 4, 4), blocks=1))
    return made.double().eval().requires_grad_(False)


def photo(height: int, width: int) -> Tensor:
    """Bright on the left, so that tiles differ in their statistics."""
    torch.manual_seed(1)
    return torch.rand(1, 3, height, width, dtype=torch.float64) * torch.linspace(1, 0.1, width)


def styles_of(model: FeedForward) -> list[Style]:
    return STYLES if isinstance(model, MultiStyle) else []


@pytest.mark.parametrize("size", [(130, 201), (64, 300), (97, 98)])
def test_exact_tiles_equal_one_piece(model: FeedForward, size: tuple[int, int]) -> None:
    content, styles = photo(*size), styles_of(model)
    whole = model.stylize(content, styles)
    tiled = model.stylize(content, styles, options=TiledOptions(tile=64, tile_statistics="exact"))
    assert (whole - tiled).abs().max() < 1e-9
    assert whole.std() > 1e-3


def test_reduced_statistics_have_no_seams(model: FeedForward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganart_faststyle.feed_forward.STATISTICS_PIXELS", 100 * 150)
    content, styles = photo(200, 300), styles_of(model)
    pictures = [model.stylize(content, styles, options=TiledOptions(tile=tile)) for tile in (64, 128)]
    assert (pictures[0] - pictures[1]).abs().max() < 1e-9


def test_the_halo_is_what_the_network_looks_at(model: FeedForward) -> None:
    """With given statistics the network is local: a pixel changes what lies within its reach, and no more."""
    from ganart_faststyle import tiled

    content, side = photo(120, 120), 120
    paint = model.painter(content, styles_of(model), TiledOptions())
    statistics = tiled.recorded(paint, content)
    changed = content.clone()
    changed[..., :60, :] = 1 - changed[..., :60, :]
    one, other = (
        torch.cat(
            [
                strip
                for strip, _ in tiled.Strips(
                    paint,
                    lambda top, bottom, seen=seen: seen[..., top:bottom, :],
                    (side, side),
                    tile=side,
                    halo=0,
                    statistics=statistics,
                )
            ]
        )
        for seen in (content, changed)
    )
    last = int((one - other).abs().amax(dim=(0, 1, 3)).gt(1e-12).nonzero().max())
    assert 60 < last < 60 + reach(1)
    assert model.halo == reach(1)


def test_strips_are_the_rows_of_the_picture(model: FeedForward, tmp_path: Path) -> None:
    save(photo(210, 150), tmp_path / "photo.png")
    model, options = model.float(), TiledOptions(tile=64, alpha=0.8)
    source = RowSource(tmp_path / "photo.png")
    strips = model.strips(source, styles_of(model), options=options)
    assert strips is not None
    save_strips(strips, tmp_path / "strips.png", source.height, source.width)
    whole = model.stylize(load(tmp_path / "photo.png"), styles_of(model), options=options)
    assert to_pil(load(tmp_path / "strips.png")).tobytes() == to_pil(whole).tobytes()
    assert model.strips(source, styles_of(model), options=TiledOptions(tile=64, preserve_colour="histogram")) is None


def test_the_forecast_grows_with_the_tile_and_the_picture(model: FeedForward) -> None:
    forecast = model.memory(styles_of(model))
    assert forecast is not None
    assert forecast(4000, 4000, 512) < forecast(4000, 4000, 2048) < forecast(4000, 4000, None)
    assert forecast(4000, 4000, 512) < forecast(8000, 4000, 512)


def test_a_file_too_large_for_a_tensor_is_restyled_in_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(photo(210, 150), tmp_path / "photo.png")
    how = {"settings": {"tile": 64}, "weights": None, "size": None}
    made = {}
    for name, bytes_each in (("tensor", 0), ("strips", 10**9)):
        monkeypatch.setattr("ganart_zoo.running.stylists._AS_TENSORS", bytes_each)
        stylizer = Stylizer(Zoo(), "multistyle", [StyleInput(name="style00")], max_memory=2**40, **how)
        made[name] = stylizer(tmp_path / "photo.png", tmp_path / f"{name}.png")
    assert made["tensor"].images.shape == (1, 3, 210, 150)
    assert made["strips"].images.shape == (0, 3, 210, 150)
    assert compare_pixels(tmp_path / "tensor.png", tmp_path / "strips.png").agree
    assert read_record(tmp_path / "strips.png").options["tile"] == 64
    assert stylizer.is_done(tmp_path / "photo.png", tmp_path / "strips.png")
