"""The recipe `adain`: its styles, what it measures of them, and that it learns."""

from __future__ import annotations

import json
import math

import ganart_backbones
import ganart_faststyle
import pytest
import torch
from ganart_faststyle.adain_recipe import AdaINTraining
from ganart_faststyle.training_config import AdaINTrainingConfig
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, SettingsError, generator
from ganart_zoo.data import open_data
from ganart_zoo.training.run import Run

SMALL = {"widths": (6, 6, 4), "blocks": (1, 0, 0), "last": 4, "code": 5}
SIDE = 32


@pytest.fixture(scope="module")
def zoo():
    return Zoo(plugins=[ganart_faststyle, ganart_backbones])


@pytest.fixture
def pictures(tmp_path):
    for folder, number in (("photos", 6), ("paintings", 3)):
        (tmp_path / folder).mkdir()
        for index in range(number):
            pixels = torch.randint(256, (6, 7, 3), generator=generator(100 * number + index), dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).resize((70, 60)).save(tmp_path / folder / f"{index}.png")
    return tmp_path


def config(pictures, **changes) -> AdaINTrainingConfig:
    settings = {"steps": 4, "batch": 2, "checkpoint_every": 2, "sample_every": 4, "samples": 4, "workers": 0}
    styles = {"style_data": str(pictures / "paintings"), "style_size": 40, "compute": "float32"}
    return AdaINTrainingConfig(**{**settings, **styles, **changes})


def run(zoo, pictures, folder, chosen, **arguments) -> tuple[Run, AdaINTraining]:
    torch.manual_seed(3)
    recipe = AdaINTraining(chosen, {"stylist": zoo.create("adain", weights=None, **SMALL)})
    data = open_data(pictures / "photos", SIDE, crop="random")
    return Run(recipe, data, folder, name="ganart-faststyle/adain", main="stylist", **arguments), recipe


def test_training_lowers_the_loss(zoo, pictures, tmp_path):
    chosen = config(pictures, steps=30, log_every=1, checkpoint_every=30, sample_every=30, rate=0.02, recolour=0.0)
    training, _ = run(zoo, pictures, tmp_path / "run", chosen)
    training.fit()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_decoder_is_given_statistics_of_mean_zero_and_variance_one(zoo, pictures, tmp_path):
    _, recipe = run(zoo, pictures, tmp_path / "run", config(pictures, style=(str(pictures / "paintings" / "0.png"),)))
    stylist = recipe.stylist
    seen = recipe._seen(recipe.styles.pictures(range(64), "measured"))[1]
    every = torch.cat([values for name in stylist.layers for values in seen[name]], dim=1)
    relative = (every - stylist.centre) / stylist.spread
    torch.testing.assert_close(relative.mean(dim=0), torch.zeros(len(stylist.centre)), rtol=0, atol=1e-3)
    varied = stylist.spread > 2e-3
    torch.testing.assert_close(relative.std(dim=0)[varied], torch.ones(int(varied.sum())), rtol=1e-2, atol=0)


def test_style_pictures_depend_on_the_row_alone(zoo, pictures, tmp_path):
    chosen = config(pictures, style=tuple(str(pictures / "paintings" / f"{number}.png") for number in (0, 1)))
    _, recipe = run(zoo, pictures, tmp_path / "run", chosen)
    whole = recipe.styles.pictures(range(8), "style", 5)
    parts = torch.cat([recipe.styles.pictures(range(start, start + 4), "style", 5) for start in (0, 4)])
    assert torch.equal(whole, parts)
    assert whole.shape == (8, 3, 40, 40)
    assert 0 <= whole.min() <= whole.max() <= 1
    assert len({tuple(row.flatten().tolist()) for row in whole}) >= 4


def test_style_pictures_that_cannot_be_read_give_way_to_others(zoo, pictures, tmp_path):
    (pictures / "paintings" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    _, recipe = run(zoo, pictures, tmp_path / "run", config(pictures))
    assert recipe.styles.pictures(range(20), "style").isfinite().all()
    for number in range(3):
        (pictures / "paintings" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    with pytest.raises(ImageError, match="no style picture can be read"):
        run(zoo, pictures, tmp_path / "other", config(pictures))


def test_photos_that_cannot_be_read_are_left_out_and_flat_styles_are_learned(zoo, pictures, tmp_path):
    (pictures / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    for number, value in enumerate((0, 128, 255)):
        Image.new("RGB", (70, 60), (value,) * 3).save(pictures / "paintings" / f"{number}.png")
    training, _ = run(zoo, pictures, tmp_path / "run", config(pictures, steps=8, log_every=1))
    training.fit()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(line["loss"]) for line in lines if "loss" in line)
    assert "1 pictures unreadable" in (tmp_path / "run" / "README.md").read_text()


def test_settings_that_do_not_fit_are_refused_in_words(zoo, pictures):
    with pytest.raises(SettingsError, match="no styles to learn from; give a folder of pictures with --style-data"):
        AdaINTraining(config(pictures, style_data=None), {"stylist": zoo.create("adain", weights=None, **SMALL)})
    with pytest.raises(SettingsError, match="trains ganart-faststyle/adain, not Johnson"):
        AdaINTraining(config(pictures), {"stylist": zoo.create("johnson", weights=None, channels=(4, 4, 4), blocks=0)})
