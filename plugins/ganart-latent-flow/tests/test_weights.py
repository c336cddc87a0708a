"""The weights shipped: they are the files declared, fit into 16 MB, and paint what is asked for."""

from __future__ import annotations

from pathlib import Path

import ganart_latent_flow
import torch
from ganart_latent_flow.model import LatentFlow
from torch import Tensor

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, generator
from ganart_zoo.contract.digest import file_sha256

SOURCE = Path(__file__).resolve().parent.parent / "src"
ZOO = Zoo(plugins=[ganart_latent_flow])
VARIANTS = {variant.name: variant for variant in ZOO.spec("latent_flow").weights}


def _paint(weights: str, prompts: list[str], **options: object) -> Tensor:
    model = ZOO.create("latent_flow", weights=weights)
    assert isinstance(model, LatentFlow)
    latents = model.sample_latents(len(prompts), rng=generator(0))
    with torch.no_grad():
        pictures = model(latents, Condition(prompts=prompts), options=ZOO.options("latent_flow", **options))
    return pictures.clamp(0, 1)


def test_the_declarations_are_of_the_files_which_fit_into_16_megabytes() -> None:
    assert list(VARIANTS) == ["emoji", "scenes"]  # the first is what a call without a name takes
    whole = 0
    for variant in VARIANTS.values():
        (file,) = variant.files
        assert file.package is not None
        path = SOURCE / file.package.partition(":")[2]
        assert file.sha256 == file_sha256(path)
        assert file.size == path.stat().st_size < 12_000_000
        assert file.license
        assert file.training_data
        assert path.with_suffix(".md").is_file()
        whole += path.stat().st_size
    assert whole <= 16_000_000


def test_emoji_stand_on_white_and_have_the_colours_of_their_kind() -> None:
    pictures = _paint("emoji", ["red heart, 3d", "green apple, noto", "yellow heart, flat", "blue heart, twemoji"])
    assert pictures.shape == (4, 3, 64, 64)
    assert pictures[:, :, :2, :2].mean() > 0.9  # corners
    coloured = (pictures.amax(dim=1) - pictures.amin(dim=1) > 0.3).to(pictures.dtype)[:, None]
    red, green, yellow, blue = (pictures * coloured).sum(dim=(2, 3)) / coloured.sum(dim=(2, 3))
    assert red[0] > red[1:].max() + 0.2
    assert green[1] > green[[0, 2]].max()
    assert yellow[:2].min() > yellow[2] + 0.2
    assert blue[2] > blue[0] + 0.2


def test_a_larger_picture_shrinks_to_nearly_the_smaller_one() -> None:
    small, large = (_paint("emoji", ["red apple"], size=size) for size in (64, 256))
    shrunk = torch.nn.functional.interpolate(large, size=(64, 64), mode="area")
    assert large.shape == (1, 3, 256, 256)
    assert (shrunk - small).abs().mean() < 0.05


def test_words_of_the_training_are_known_and_others_are_not() -> None:
    model = ZOO.create("latent_flow")
    assert isinstance(model, LatentFlow)
    assert model.unknown_words(["red apple, 3d", "grinning lion, twemoji"]) == ()
    assert "qwxyzzy" in model.unknown_words(["a qwxyzzy"])
