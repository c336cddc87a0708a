"""The recipes: each learns from captioned pictures, resumes exactly, and leaves the other parts as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ganart_backbones
import ganart_latent_flow
import numpy as np
import pytest
import torch
from ganart_latent_flow.enlarging import LatentUpscaler, edge_difference
from ganart_latent_flow.model import LatentFlow
from ganart_latent_flow.recipes import LatentAutoencoder, LatentFlowRecipe, flow_loss
from ganart_latent_flow.training_config import AutoencoderConfig, FlowConfig, UpscalerConfig
from PIL import Image
from torch import Tensor

from ganart_zoo import Zoo
from ganart_zoo.contract import ModelError, generator
from ganart_zoo.data import open_data
from ganart_zoo.training.run import Run

ZOO = Zoo(plugins=[ganart_latent_flow, ganart_backbones])
TINY = {
    "resolution": 32,
    "latent_channels": 4,
    "encoder_widths": [4, 8, 8],
    "decoder_widths": [8, 8, 4],
    "decoder_blocks": [1, 1, 1],
    "buckets": 64,
    "word_width": 8,
    "width": 16,
    "layers": 1,
    "heads": 2,
    "draft": 16,
    "upscaler_width": 4,
    "upscaler_blocks": 1,
}
COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220)}
QUICK = {"batch": 6, "warmup": 0, "samples": 4, "workers": 0, "log_every": 1, "sample_every": 1000}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve captioned pictures: a red, green or blue square."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = []
    for number in range(12):
        word = list(COLOURS)[number % 3]
        picture = np.full((32, 32, 3), 255, dtype=np.uint8)
        picture[8:24, 8 : 20 + number % 4] = COLOURS[word]
        Image.fromarray(picture).save(folder / f"{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "text": f"a {word} square"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _model(**changes: Any) -> LatentFlow:
    torch.manual_seed(0)
    created = ZOO.create("latent_flow", weights=None, **{**TINY, **changes})
    assert isinstance(created, LatentFlow)
    return created


def _flow(model: LatentFlow, pictures: Path, folder: Path, **settings: Any) -> Run:
    recipe = LatentFlowRecipe(FlowConfig(**{**QUICK, **settings}), {"generator": model})
    return Run(recipe, open_data(pictures, 32), folder, name="latent-flow", conditions=["prompt"])


def _losses(folder: Path, name: str) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [value for line in lines if (value := json.loads(line).get(name)) is not None]


def _changed(model: LatentFlow, before: dict[str, Tensor]) -> set[str]:
    """Return the parts, such as `transformer`, with a tensor that is no longer what it was."""
    after = model.own_state()
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_the_flow_learns_and_changes_neither_autoencoder_nor_upscaler(pictures: Path, tmp_path: Path) -> None:
    model = _model()
    before = {name: tensor.clone() for name, tensor in model.own_state().items()}
    _flow(model, pictures, tmp_path / "run", steps=400, rate=3e-3).fit()
    losses = _losses(tmp_path / "run", "velocity")
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert _changed(model, before) == {"table", "text", "transformer", "seen"}
    assert model.unknown_words(["a red zorkmid"]) == ("zorkmid",)


def test_the_average_that_a_run_keeps_knows_its_words(pictures: Path, tmp_path: Path) -> None:
    run = _flow(_model(), pictures, tmp_path / "run", steps=2)
    run.fit()
    from safetensors.torch import load_file

    assert load_file(tmp_path / "run/generator.safetensors")["seen"].any()


def test_a_resumed_flow_is_bit_for_bit_one_that_was_not_interrupted(pictures: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    settings = {"steps": 6, "checkpoint_every": 3}
    _flow(_model(), pictures, tmp_path / "whole", **settings).fit()
    recipe = LatentFlowRecipe(FlowConfig(**{**QUICK, **settings}), {"generator": _model()})
    stopped = Run(
        recipe,
        open_data(pictures, 32),
        tmp_path / "parts",
        name="latent-flow",
        conditions=["prompt"],
        on_step=lambda event: event.step < 3,
    )
    stopped.fit()
    _flow(_model(), pictures, tmp_path / "parts", **settings).fit(resume=True)
    whole, parts = (load_file(tmp_path / name / "generator.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("train_encoder", [False, True])
def test_the_autoencoder_learns_to_rebuild(pictures: Path, tmp_path: Path, train_encoder: bool) -> None:
    model = _model()
    before = {name: tensor.clone() for name, tensor in model.own_state().items()}
    config = AutoencoderConfig(**{**QUICK, "steps": 60, "rate": 3e-3, "train_encoder": train_encoder})
    backbone = ZOO.create("efficientnet_lite0", weights=None)
    recipe = LatentAutoencoder(config, {"generator": model}, backbone=backbone)
    Run(recipe, open_data(pictures, 32), tmp_path / "run", name="latent-autoencoder").fit()
    losses = _losses(tmp_path / "run", "pixels")
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert _changed(model, before) == {"autoencoder"}
    encoder = [name for name in before if name.startswith("autoencoder.encoder")]
    assert train_encoder != all(torch.equal(before[name], model.own_state()[name]) for name in encoder)


def test_the_loss_is_the_error_of_the_velocity() -> None:
    model = _model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=generator(0))
    latents, noise = (model.sample_latents(3, rng=generator(seed)) for seed in (1, 2))
    embedding, time = model.embed_captions(["a", "b c", ""]), torch.tensor([0.1, 0.5, 0.9])
    rows = []
    for row in range(3):
        mixed = time[row] * latents[row] + (1 - time[row]) * noise[row]
        words = model.read(embedding[row : row + 1])
        velocity = model.transformer(mixed[None], time[row : row + 1], words)[0]
        rows.append((velocity - latents[row] + noise[row]).square().mean())
    torch.testing.assert_close(flow_loss(model, latents, embedding, noise, time), torch.stack(rows).mean())


def test_pictures_of_another_size_are_refused(pictures: Path, tmp_path: Path) -> None:
    recipe = LatentFlowRecipe(FlowConfig(**QUICK), {"generator": _model()})
    data = open_data(pictures, 64)
    with pytest.raises(ModelError, match="32×32, and the data has 64×64; give --size 32"):
        Run(recipe, data, tmp_path / "run", name="latent-flow", conditions=["prompt"])


def _upscaler(model: LatentFlow, pictures: Path, folder: Path, size: int = 128, **settings: Any) -> Run:
    recipe = LatentUpscaler(UpscalerConfig(**{**QUICK, **settings}), {"generator": model})
    return Run(recipe, open_data(pictures, size), folder, name="latent-upscaler")


def test_the_upscaler_learns_and_changes_nothing_else(tmp_path: Path) -> None:
    stripes = np.full((128, 128, 3), 255, dtype=np.uint8)
    stripes[(np.arange(128) // 16) % 2 == 0] = COLOURS["red"]
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    model = _model()
    before = {name: tensor.clone() for name, tensor in model.own_state().items()}
    _upscaler(model, tmp_path, tmp_path / "run", steps=40, rate=3e-3, window=16, decoded=0).fit()
    losses = _losses(tmp_path / "run", "edges")
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert _changed(model, before) == {"upscaler"}


def test_the_upscaler_refuses_pictures_that_are_not_four_times_as_large(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="learns from 128×128, and the data has 64×64; give --size 128"):
        _upscaler(_model(), pictures, tmp_path / "run", size=64)


def test_the_generator_that_the_upscaler_belongs_to_has_a_quarter_of_the_side(pictures: Path) -> None:
    data = open_data(pictures, 128)
    assert LatentUpscaler.network_settings("generator", UpscalerConfig(), data, ()) == {"resolution": 32}


def test_edges_are_the_differences_of_neighbours() -> None:
    first, second = (torch.rand(2, 3, 5, 7, generator=generator(seed)) for seed in (1, 2))
    across = (first.diff(dim=3) - second.diff(dim=3)).abs().mean()
    down = (first.diff(dim=2) - second.diff(dim=2)).abs().mean()
    torch.testing.assert_close(edge_difference(first, second), (across + down) / 2)


def test_a_dry_run_counts_pairs_names_bad_files_and_leaves_the_model_alone(pictures: Path, tmp_path: Path) -> None:
    (pictures / "3.png").write_bytes(b"no picture")
    Image.new("RGB", (32, 32)).save(pictures / "bare.png")
    model = _model()
    before = {name: tensor.clone() for name, tensor in model.own_state().items()}
    run = _flow(model, pictures, tmp_path / "run", steps=600)
    report = run.dry_run()
    assert (report["pictures"], report["pictures_without_caption"]) == (12, 1)
    assert report["unreadable_pictures"] == 1
    assert "3.png" in report["unreadable"][0]
    assert report["trained_parameters"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert report["expected_minutes"] == pytest.approx(report["seconds_per_step"] * 10, abs=0.06)
    assert not _changed(model, before)
    assert not (tmp_path / "run").exists()


def test_the_settings_of_every_recipe_are_sound() -> None:
    for entry in ZOO.recipes():
        assert ZOO.recipe_settings(entry.canonical).config_class().steps > 0
