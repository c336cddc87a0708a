"""What a program sets in torch (default dtype and device, autocast, modes of gradients) changes no result."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganart_zoo import Zoo
from ganart_zoo.contract import Generator, Style, StyleTransfer, generator, per_row, randn
from ganart_zoo.contract.defaults import standard_defaults
from ganart_zoo.contract.draws import uniforms
from ganart_zoo.data import Share, open_data
from ganart_zoo.imaging import load, to_grid
from ganart_zoo.running.generators import load_generator
from ganart_zoo.tasks.imagine import imagine
from ganart_zoo.tasks.project import project
from ganart_zoo.tasks.rank import rank
from ganart_zoo.tasks.stylize import stylize
from ganart_zoo.tasks.train import train
from ganart_zoo.training import TrainConfig


@contextlib.contextmanager
def host(setting: str) -> Iterator[None]:
    """Set a default as a program would, until the block ends."""
    if setting == "float64":
        torch.set_default_dtype(torch.float64)
    elif setting == "bfloat16":
        torch.set_default_dtype(torch.bfloat16)
    elif setting == "meta":
        torch.set_default_device("meta")  # the only device besides the CPU that every machine has
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


HOSTS = pytest.mark.parametrize("setting", ["float64", "bfloat16", "meta"])


def alike(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)


def draws() -> list[Tensor]:
    rows = per_row(generator(3), 2)
    return [randn((2, 5), generator(1)), randn((2, 99), rows), uniforms(range(2, 5), 3, "key", 7)]


@HOSTS
def test_a_seed_means_the_same(setting: str) -> None:
    expected = draws()
    with host(setting):
        assert all(map(alike, draws(), expected))


def made(zoo: Zoo) -> list[Tensor]:
    torch.manual_seed(0)
    model = zoo.create("ganart-dcgan/dcgan", weights=None, resolution=32, width=4)
    assert isinstance(model, Generator)
    picture = model(model.sample_latents(2, rng=generator(1)), rng=generator(2))
    torch.manual_seed(0)
    backbone = {"model": "ganart-backbones/squeezenet1_1", "weights": None}
    painter = zoo.create("ganart-gatys/gatys", backbone=backbone)
    assert isinstance(painter, StyleTransfer)
    options = zoo.options("ganart-gatys/gatys", steps=2)
    photo = picture[:1].sigmoid()
    painted = painter.stylize(photo, [Style(image=photo.flip(2))], rng=generator(1), options=options)
    return [*model.own_state().values(), picture, painted]


@HOSTS
def test_creating_and_calling_models_gives_the_same(setting: str) -> None:
    zoo = Zoo()
    expected = made(zoo)
    with host(setting):
        assert all(map(alike, made(zoo), expected))


def read(root: Path) -> list[Tensor]:
    batch = next(open_data(root, 8, crop="random", flip=True).loader(Share(4), seed=3, workers=0)())
    picture = load(root / "0.png", size=24)
    return [batch.images, picture, to_grid([picture, picture])]


@HOSTS
def test_reading_pictures_gives_the_same(setting: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 20, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    expected = read(tmp_path)
    with host(setting):
        assert all(map(alike, read(tmp_path), expected))


@HOSTS
def test_the_block_gives_float32_on_the_cpu_where_nothing_else_is_said(setting: str) -> None:
    with host(setting):
        before = torch.get_default_dtype(), torch.get_default_device()
        with standard_defaults():
            results = [
                torch.zeros(2),
                torch.full((2,), 0.5),
                torch.tensor([1.0, 2.0]),
                torch.arange(0, 1, 0.5),
                torch.arange(3) / 2,
                torch.linspace(0, 1, 3),
                torch.nn.Linear(2, 2).weight,
            ]
            kept = [
                torch.tensor([1, 2]).dtype == torch.int64,
                torch.arange(3).dtype == torch.int64,
                torch.full((2,), 3).dtype == torch.int64,
                torch.zeros(2, dtype=torch.float16).dtype == torch.float16,
                torch.tensor(np.zeros(2)).dtype == torch.float64,
                (torch.zeros(2, dtype=torch.float64) / 2).dtype == torch.float64,
            ]
        assert {(result.dtype, result.device.type) for result in results} == {(torch.float32, "cpu")}
        assert all(kept)
        assert (torch.get_default_dtype(), torch.get_default_device()) == before


@contextlib.contextmanager
def around(setting: str) -> Iterator[None]:
    """Set what a program sets around calls, or one of the defaults of `host`."""
    blocks = {
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "inference mode": torch.inference_mode,
        "no gradients": torch.no_grad,
    }
    with blocks[setting]() if setting in blocks else host(setting):
        yield


SETTINGS = pytest.mark.parametrize("setting", ["autocast", "inference mode", "no gradients", "float64", "meta"])


def write_pictures(folder: Path, count: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number}.png")


def results_of_tasks(zoo: Zoo, folder: Path) -> list[object]:
    torch.manual_seed(0)
    backbone = {"model": "ganart-backbones/squeezenet1_1", "weights": None}
    painted = stylize(
        zoo, folder / "0.png", [folder / "1.png"], size=32, settings={"backbone": backbone, "steps": 2}
    ).images
    torch.manual_seed(0)
    generator = load_generator(zoo, "ganart-dcgan/dcgan", weights=None, settings={"resolution": 32, "width": 4})
    projected = project(generator, folder / "0.png", steps=2, backbone=backbone, side=32)
    found = imagine(
        zoo, "red apple", model=generator, critics=["ganart-text-critic/text-critic"], count=2, refine="cma", budget=4
    )
    ranked = rank(zoo, "ganart-text-critic/text-critic", [folder], prompt="red apple")
    return [
        *[made.detach().numpy().tobytes() for made in (painted, projected.latent)],
        [result.score for result in found.results],
        [one.score for one in ranked.pictures],
    ]


@SETTINGS
def test_tasks_give_the_same(setting: str, tmp_path: Path) -> None:
    write_pictures(tmp_path, 2, 32)
    zoo = Zoo()
    expected = results_of_tasks(zoo, tmp_path)
    with around(setting):
        assert results_of_tasks(zoo, tmp_path) == expected


@SETTINGS
def test_training_gives_the_same(setting: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    write_pictures(tmp_path / "pictures", 4, 32)

    def losses(folder: Path) -> list[dict[str, float]]:
        config = TrainConfig(steps=1, batch=2)
        small = {"width": 4}
        train(
            *(Zoo(), "ganart-dcgan/dcgan", "ganart-dcgan/dcgan_critic", tmp_path / "pictures", folder),
            config=config,
            size=32,
            generator_settings=small,
            critic_settings=small,
        )
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]

    expected = losses(tmp_path / "one")
    with around(setting):
        assert losses(tmp_path / "other") == expected
