"""The main job on the first-party plugins: a picture restyled by gatys, the same bits twice, and made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganart_zoo import ops
from ganart_zoo.cli import main
from ganart_zoo.imaging import compare_pixels, read_record

pytest.importorskip("ganart_gatys")
pytest.importorskip("ganart_backbones")


def test_gatys_from_photo_to_reproduction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, x = np.mgrid[0:72, 0:96]
    disc = np.where((y - 36) ** 2 + (x - 48) ** 2 < 400, 220, 60)
    stripes = np.where((x + y) // 6 % 2 == 0, 255, 0)
    Image.fromarray(np.stack([disc, disc // 2, 255 - disc], axis=-1).astype(np.uint8)).save(tmp_path / "photo.png")
    Image.fromarray(np.stack([stripes, 0 * stripes, 255 - stripes], axis=-1).astype(np.uint8)).save(
        tmp_path / "stripes.png"
    )
    photo, style = str(tmp_path / "photo.png"), str(tmp_path / "stripes.png")
    options = ["--style", style, "--size", "64", "--steps", "6", "--set", "start=noise", "--quiet"]
    with ops.use("reference"):  # the same with and without kernels, and no warning about it
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
            assert main(["stylize", photo, "-o", str(tmp_path / f"{name}.png"), "--seed", seed, *options]) == 0
        assert main(["reproduce", str(tmp_path / "a.png"), "--quiet"]) == 0
        assert main(["stylize", photo, "-o", str(tmp_path / "d.png"), *options, "--set", "style_layers=blox"]) == 2
    captured = capsys.readouterr()
    assert "all 3072 pixels agree" in captured.out
    assert captured.err.count("\n") == 1
    assert "layer 'blox'" in captured.err
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (64, 48)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert not compare_pixels(tmp_path / "a.png", tmp_path / "c.png").agree
    backbone = read_record(tmp_path / "a.png").model.uses["backbone"]
    assert backbone is not None
    assert backbone.model == "ganart-backbones/efficientnet_lite0"
    assert [len(digest) for digest in backbone.files.values()] == [64]
