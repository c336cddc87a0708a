"""The recipe `faststyle`: its loss by the formula, exact resume, and styles added to a trained network."""

from __future__ import annotations

import json
import math
from pathlib import Path

import ganart_backbones
import ganart_faststyle
import pytest
import torch
from ganart_faststyle.muon import orthogonalized
from ganart_faststyle.recipe import FastStyle
from ganart_faststyle.training_config import FastStyleConfig
from PIL import Image
from safetensors.torch import load_file, save_file

from ganart_zoo import Zoo
from ganart_zoo.contract import ModelError, SettingsError, generator
from ganart_zoo.data import open_data
from ganart_zoo.imaging import load
from ganart_zoo.registry.runs import describe_parts
from ganart_zoo.training.run import Run

SIDE = 32
SHAPE = {"channels": (6, 8, 8), "blocks": 1, "expand": (6, 4)}


@pytest.fixture(scope="module")
def zoo():
    return Zoo(plugins=[ganart_faststyle, ganart_backbones])


@pytest.fixture(scope="module")
def backbone(zoo):
    return zoo.create("efficientnet_lite0")


@pytest.fixture
def pictures(tmp_path) -> Path:
    for folder, number in (("photos", 6), ("paintings", 3)):
        (tmp_path / folder).mkdir()
        for index in range(number):
            pixels = torch.randint(256, (40, 48, 3), generator=generator(100 * number + index), dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(tmp_path / folder / f"{index}.png")
    return tmp_path


def config(pictures: Path, *numbers: int, **changes) -> FastStyleConfig:
    style = tuple(str(pictures / "paintings" / f"{number}.png") for number in numbers)
    settings = {"steps": 4, "batch": 2, "checkpoint_every": 2, "sample_every": 4, "samples": 4, "workers": 0}
    return FastStyleConfig(**{**settings, "style": style, "style_size": 48, "compute": "float32", **changes})


def recipe(zoo, backbone, chosen: FastStyleConfig) -> FastStyle:
    names = FastStyle.network_settings("stylist", chosen, None, ())
    torch.manual_seed(3)
    stylist = zoo.create("multistyle", weights=None, **{**SHAPE, **names})
    return FastStyle(chosen, {"stylist": stylist}, backbone=backbone)


def run(zoo, backbone, pictures, folder, chosen, **arguments) -> Run:
    data = open_data(pictures / "photos", SIDE, crop="random")
    made = recipe(zoo, backbone, chosen)
    return Run(made, data, folder, name="ganart-faststyle/faststyle", main="stylist", **arguments)


def test_the_loss_is_the_formula(zoo, backbone, pictures, tmp_path):
    chosen = config(pictures, 0, 1, content_weight=0.3, style_weight=2.0, tv_weight=0.7)
    training = recipe(zoo, backbone, chosen)
    data = open_data(pictures / "photos", SIDE)
    Run(training, data, tmp_path / "run", name="faststyle", main="stylist")
    photos = torch.rand(2, 3, SIDE, SIDE, generator=generator(1))
    painted = torch.rand(2, 3, SIDE, SIDE, generator=generator(2))
    grams = {layer: gram[[1, 0]] for layer, gram in training.grams.items()}
    losses = training.loss(painted, photos, grams)

    def gram(features):
        flat = features.double().flatten(2)
        return flat @ flat.mT / flat[0].numel()

    layers = (*backbone.taps["style"], *backbone.taps["content"])
    seen, wanted = backbone(painted, layers), backbone(photos, layers)
    content = torch.stack(
        [
            (seen[name] - wanted[name])[row].square().mean() / wanted[name][row].square().mean()
            for name in backbone.taps["content"]
            for row in range(2)
        ]
    ).mean()
    style = 0.0
    for row, number in enumerate((1, 0)):
        target = backbone(load(pictures / "paintings" / f"{number}.png", size=48), layers)
        for name in backbone.taps["style"]:
            aim = gram(target[name])[0]
            error = (gram(seen[name])[row] - aim).square().mean() / aim.square().mean()
            style += float(error) / 2 / len(backbone.taps["style"])
    down, across = painted.diff(dim=2), painted.diff(dim=3)
    variation = down.square().mean() + across.square().mean()
    assert float(losses["content"]) == pytest.approx(float(content), rel=1e-4)
    assert float(losses["style"]) == pytest.approx(style, rel=1e-3)
    assert float(losses["variation"]) == pytest.approx(float(variation), rel=1e-5)
    expected = 0.3 * float(content) + 2.0 * style + 0.7 * float(variation)
    assert float(losses["loss"]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("muon_rate", [None, 0.02])
def test_a_stopped_training_resumes_exactly(zoo, backbone, pictures, tmp_path, muon_rate):
    chosen = config(pictures, 0, 1, muon_rate=muon_rate)
    run(zoo, backbone, pictures, tmp_path / "whole", chosen).fit()
    run(zoo, backbone, pictures, tmp_path / "parts", chosen, on_step=lambda event: event.step < 2).fit()
    run(zoo, backbone, pictures, tmp_path / "parts", chosen).fit(resume=True)
    whole, parts = (load_file(tmp_path / name / "stylist.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("muon_rate", [None, 0.02])
def test_training_lowers_the_style_loss(zoo, backbone, pictures, tmp_path, muon_rate):
    chosen = config(
        pictures, 0, steps=40, log_every=1, checkpoint_every=40, sample_every=40, rate=0.01, muon_rate=muon_rate
    )
    run(zoo, backbone, pictures, tmp_path / "run", chosen).fit()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    styles = [line["style"] for line in lines if "style" in line]
    assert sum(styles[-5:]) < 0.7 * sum(styles[:5])


def test_a_new_style_leaves_the_old_ones_and_the_convolutions_alone(zoo, backbone, pictures, tmp_path):
    trunk = zoo.create("multistyle", weights=None, style_names=("waves", "stars"), **SHAPE).own_state()
    for name, tensor in trunk.items():
        if ".norm." in name:
            tensor += 0.1 * torch.randn(tensor.shape, generator=generator(len(name)))
    path = tmp_path / "trunk.safetensors"
    save_file(
        {name: tensor.contiguous() for name, tensor in trunk.items()}, path, {"style_names": '["waves", "stars"]'}
    )
    chosen = config(pictures, 2, trunk=str(path), ema_decay=0.0)
    assert FastStyle.network_settings("stylist", chosen, None, ())["style_names"] == ("waves", "stars", "2")
    run(zoo, backbone, pictures, tmp_path / "run", chosen).fit()
    trained = load_file(tmp_path / "run" / "stylist.safetensors")
    for name, tensor in trunk.items():
        old = trained[name][:2] if ".norm." in name else trained[name]
        assert torch.equal(old, tensor), name
    changed = [
        name for name in trunk if ".norm." in name and not torch.equal(trained[name][2], trunk[name].mean(dim=0))
    ]
    assert len(changed) == sum(".norm." in name for name in trunk)


def test_a_run_is_a_trunk_with_its_own_shape_and_names(zoo, backbone, pictures, tmp_path):
    shape = {"channels": (4, 6, 8), "blocks": 2, "expand": (6, 4), "skips": True}
    stylist = zoo.create("multistyle", weights=None, style_names=("waves", "stars"), **shape)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(describe_parts({"stylist": stylist.provenance})))
    save_file(stylist.own_state(), tmp_path / "run" / "stylist.safetensors")
    chosen = config(pictures, 0, trunk=str(tmp_path / "run" / "stylist.safetensors"))
    settings = FastStyle.network_settings("stylist", chosen, None, ())
    assert settings == {**shape, "style_names": ("waves", "stars", "0")}
    assert FastStyle(chosen, {"stylist": zoo.create("multistyle", weights=None, **settings)}, backbone=backbone)


def test_photos_that_cannot_be_read_are_left_out(zoo, backbone, pictures, tmp_path):
    (pictures / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    (pictures / "photos" / "empty.jpg").write_bytes(b"")
    training = run(zoo, backbone, pictures, tmp_path / "run", config(pictures, 0, steps=8, log_every=1))
    training.fit()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) >= 8
    assert all(math.isfinite(loss) for loss in losses)
    assert "2 pictures unreadable" in (tmp_path / "run" / "README.md").read_text()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_style_of_one_colour_is_learned(zoo, backbone, pictures, tmp_path, value):
    Image.new("RGB", (40, 48), (value,) * 3).save(pictures / "paintings" / "0.png")
    run(zoo, backbone, pictures, tmp_path / "run", config(pictures, 0, 1)).fit()
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "run" / "stylist.safetensors").values())


def test_muon_makes_singular_values_equal():
    matrix = torch.randn(12, 30, generator=generator(1))
    for given in (matrix, matrix.mT):
        values = torch.linalg.svdvals(orthogonalized(given))
        assert 0.6 < values.min() <= values.max() < 1.3
        left, _, right = torch.linalg.svd(given, full_matrices=False)
        between = left.mT @ orthogonalized(given) @ right.mT
        torch.testing.assert_close(between, between.diag().diag(), rtol=0, atol=1e-4)
    assert torch.equal(orthogonalized(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_settings_that_do_not_fit_are_refused_in_words(zoo, backbone, pictures, tmp_path):
    with pytest.raises(SettingsError, match="has no style to learn; give pictures with --style"):
        FastStyle.network_settings("stylist", config(pictures), None, ())
    (tmp_path / "other").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "other" / "0.png")
    twice = config(pictures, 0).model_copy(
        update={"style": (str(pictures / "paintings" / "0.png"), str(tmp_path / "other" / "0.png"))}
    )
    with pytest.raises(SettingsError, match="two styles are named '0'"):
        FastStyle.network_settings("stylist", twice, None, ())
    with pytest.raises(SettingsError, match="trains ganart-faststyle/multistyle, not Johnson"):
        FastStyle(config(pictures, 0), {"stylist": zoo.create("johnson", weights=None)}, backbone=backbone)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="not a multi-style network"):
        FastStyle.network_settings("stylist", config(pictures, 0, trunk=str(tmp_path / "x.safetensors")), None, ())
