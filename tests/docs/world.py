"""The files that pages speak of: photos, data, weights, runs. Each is built when it is first named, once a session."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganart_zoo.cli import main
from tests.docs.pages import ROOT, read_page

__all__ = ["World", "ganart"]

Builder = Callable[["World", Path], None]


def ganart(*arguments: str) -> None:
    """Run one command in this process; anything but exit code 0 fails, with what the command said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(arguments)
    assert code == 0, f"ganart {shlex.join(arguments)}\nended with exit code {code} and said\n{said.getvalue()}"


def _pixels(seed: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A disc on waves: smooth places, edges and colour."""
    y, x = np.mgrid[0:height, 0:width]
    colours = np.random.default_rng(seed).uniform(40, 220, (3, 3))
    wave = 0.5 + 0.5 * np.sin((x * (1 + seed % 3) + y) / 4)[..., None]
    disc = ((y - height / 2) ** 2 + (x - width / 3) ** 2 < (height / 4) ** 2)[..., None]
    return np.where(disc, colours[2], wave * colours[0] + (1 - wave) * colours[1]).astype(np.uint8)


def _picture(seed: int) -> Builder:
    return lambda _, path: Image.fromarray(_pixels(seed)).save(path)


def _mask(_: World, path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:24] = 255
    Image.fromarray(mask).save(path)


def _folder(count: int, *sides: int) -> Builder:
    def build(_: World, path: Path) -> None:
        path.mkdir()
        for seed in range(count):
            Image.fromarray(_pixels(10 + seed, *sides)).save(path / f"{seed}.jpg")

    return build


def _arrays(_: World, path: Path) -> None:
    images = np.stack([_pixels(seed, 32, 32) for seed in range(20)])
    np.savez(path, images=images, labels=np.arange(20) % 10)


def _run(*arguments: str) -> Builder:
    def build(world: World, path: Path) -> None:
        data = ["--data", str(world.path("pictures.npz")), "--batch", "4", "--steps", "1", "--out", str(path), "-q"]
        small = ["--set", "training.workers=0", "--set", "training.recalibrate=1"]
        ganart("train", *arguments, *data, *small)

    return build


def _projected(world: World, path: Path) -> None:
    steps = ["--steps", "1", "--side", "32", "-o", str(path.with_suffix(".png")), "-q"]
    ganart("project", str(world.path("runs/styles")), str(world.path("portrait.png")), *steps)


def _weights(model: str, **settings: Any) -> Builder:
    """A file of the model's own names, of random weights."""

    def build(_: World, path: Path) -> None:
        import torch
        from safetensors.torch import save_file

        from ganart_zoo import Zoo

        network = Zoo().create(model, weights=None, **settings)
        state = {name: value.contiguous() for name, value in network.own_state().items()}
        save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)

    return build


def _halftone(_: World, path: Path) -> None:
    """The plugin that the README prints."""
    for block in read_page("README.md"):
        if block.path:
            file = path.parent / block.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")


def _prompts(_: World, path: Path) -> None:
    path.write_text("red apple\nlion, 3d\n", encoding="utf-8")


def _clip(_: World, path: Path) -> None:
    from fractions import Fraction

    from ganart_zoo.imaging import from_pil
    from ganart_zoo.imaging.clips import Frame, write_clip

    frames = (Frame(from_pil(Image.fromarray(_pixels(seed))), Fraction(seed, 10)) for seed in range(2))
    write_clip(frames, path, fps=Fraction(10))


def _tiny(plugin: str, module: str, family: str) -> Builder:
    """A folder of random weights in the layout that is published, as the plugin's own tests write it."""

    def build(_: World, path: Path) -> None:
        source = ROOT / "plugins" / plugin / "tests" / f"{module}.py"
        spec = importlib.util.spec_from_file_location(module, source)
        assert spec is not None
        assert spec.loader is not None
        tiny = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tiny)
        tiny.write_tiny(family, path)

    return build


STYLES = ("--size", "16", "--set", "generator.channel_base=1024", "--set", "critic.channel_base=1024")

BUILDERS: dict[str, Builder] = {
    **{f"{name}.jpg": _picture(seed) for seed, name in enumerate(("photo", "painting", "a", "b", "texture"))},
    "portrait.png": _picture(5),
    "clip.mp4": _clip,
    "sky.png": _mask,
    "ground.png": _mask,
    "halftone": _halftone,
    "list.txt": _prompts,
    "holiday": _folder(2),
    "photos": _folder(2),
    "paintings": _folder(3),
    "pictures": _folder(12, 32, 32),
    "pictures.npz": _arrays,
    "runs/first": _run("--generator", "dcgan", "--critic", "dcgan_critic", "--size", "32"),
    "runs/styles": _run("--generator", "stylegan2", "--critic", "stylegan2_critic", *STYLES),
    "projected.safetensors": _projected,
    "squeezenet.safetensors": _weights("squeezenet1_1"),
    "vgg16.safetensors": _weights("vgg16"),
    "vgg16.pth": _weights("vgg16"),
    "vgg19.pth": _weights("vgg19"),
    "pt_inception-2015-12-05-6726825d.pth": _weights("fid_inception"),
    "multistyle26.safetensors": _weights("multistyle", style_names=[f"style{k:02}" for k in range(26)]),
    "clip-vit-base-patch32": _tiny("ganart-clip", "tiny_clip", "clip"),
    "sd-turbo": _tiny("ganart-diffusers", "tiny_diffusers", "stable"),
    "candy.safetensors": _weights("johnson"),
    "ffhq-256.safetensors": _weights("stylegan2", resolution=256, channel_base=16384),
}
"""Name in the pages -> what builds it."""


class World:
    """Builds files in a folder of its own, and gives a page those that it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return where the file is, built if it was not."""
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            BUILDERS[name](self, path)
        return path

    def bring(self, text: str, folder: Path) -> None:
        """Put into `folder` the files that `text` names and that are not there. What follows an -o is not brought."""
        for name in _named(text):
            target = folder / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source = self.path(name)
                shutil.copytree(source, target) if source.is_dir() else os.link(source, target)


def _named(text: str) -> Iterator[str]:
    text = f" {text}".replace(" ./", " ")
    for name in BUILDERS:
        if re.search(
            rf"(?<![\w./-])(?<!-o )(?<!--out )(?<!--output ){re.escape(name)}(?![\w-]|\.\w)", text.replace(" ./", " ")
        ):
            yield name
