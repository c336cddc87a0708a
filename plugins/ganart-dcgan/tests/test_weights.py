"""The weights shipped with DCGAN: they are the file declared, a wheel carries them, and they make what is asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import ganart_dcgan
import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo import Weights, Zoo
from ganart_zoo.contract import Condition, generator
from ganart_zoo.contract.digest import file_sha256

PLUGIN = Path(__file__).resolve().parent.parent
ZOO = Zoo(plugins=[ganart_dcgan])
NAMES = ("garments",)


def _variant(name: str) -> Weights:
    variants = {variant.name: variant for variant in ZOO.spec("dcgan").weights}
    assert tuple(variants) == NAMES
    return variants[name]


def _inside(name: str) -> str:
    return f"ganart_dcgan/weights/{name}.safetensors"


@pytest.mark.parametrize("name", NAMES)
def test_the_declaration_is_of_the_file_and_the_file_is_small(name: str) -> None:
    (file,) = _variant(name).files
    path = PLUGIN / "src" / _inside(name)
    assert file.package == f"ganart-dcgan:{_inside(name)}"
    assert file.sha256 == file_sha256(path)
    assert file.size == path.stat().st_size <= 8_000_000
    assert file.license
    assert file.training_data


def test_a_wheel_carries_the_weights_and_their_card(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    leave_out = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(PLUGIN, source, ignore=leave_out)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as carried:
        for name in NAMES:
            assert carried.read(_inside(name)) == (PLUGIN / "src" / _inside(name)).read_bytes()
            assert f"ganart_dcgan/weights/{name}.md" in carried.namelist()


@pytest.mark.parametrize("name", NAMES)
def test_ganart_sample_makes_a_grid_of_them_offline(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ganart_zoo", "sample", "dcgan", "--weights", name, "-n", "16"]
    environment = {**os.environ, "GANART_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-o", "grid.png", "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"] == 16
    with Image.open(tmp_path / "grid.png") as grid:
        assert min(grid.size) > _variant(name).config["resolution"]
        assert _variant(name).files[0].sha256 in grid.info["ganart"]


def test_garments_look_most_like_the_mean_of_the_class_asked_for() -> None:
    """The nearest of ten class means is a classifier of its own: it is right on two of three real pictures."""
    folder = next((at / "shared/data" for at in PLUGIN.parents if (at / "shared/data").is_dir()), None)
    if folder is None:
        pytest.skip("shared/data is not beside this checkout")
    with np.load(folder / "fashion_mnist_10k.npz") as file:
        real, labels = torch.from_numpy(file["images"]).float() / 255, torch.from_numpy(file["labels"]).long()
    means = torch.stack([real[labels == label].mean(dim=0) for label in range(10)])
    means = torch.nn.functional.interpolate(means[:, None], size=(32, 32), mode="bilinear", antialias=True)[:, 0]
    made = ZOO.create("dcgan", weights="garments")
    asked = torch.arange(200) % 10
    pictures = made(made.sample_latents(200, rng=generator(seed=0)), Condition(labels=asked)).mean(dim=1)
    nearest = torch.cdist(pictures.flatten(1), means.flatten(1)).argmin(dim=1)
    assert (nearest == asked).float().mean() > 0.5
