"""What a program sets in torch as default dtype and device changes no result, and is as it was afterwards."""

from __future__ import annotations

import contextlib
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
