"""The verb `export`: what is written installs, samples the run's pictures, and runs in onnxruntime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ganart_shapes.runs import save_run
from safetensors.torch import load_file

from ganart_zoo import Zoo
from ganart_zoo.contract import ModelError, SettingsError
from ganart_zoo.imaging import compare_pixels
from ganart_zoo.tasks.export import export
from ganart_zoo.tasks.generating import load_generator
from ganart_zoo.tasks.sample import sample
from ganart_zoo.training.card import LICENCE_TO_FILL_IN, model_card

SITE = Path(__file__).parent / "site"


@pytest.fixture
def run(shapes: Zoo, tmp_path: Path) -> Path:
    bands = shapes.create("bands", weights=None)
    bands.mean_w += 0.125  # as training would
    return save_run(tmp_path / "run", generator=bands)


def test_the_package_installs_and_samples_the_run_s_pictures(shapes: Zoo, run: Path, tmp_path: Path) -> None:
    made = export(shapes, run, tmp_path / "some_bands", license="CC0-1.0", onnx=False)
    assert [str(file.relative_to(made.folder)) for file in made.files] == [
        "README.md",
        "pyproject.toml",
        "src/ganart_some_bands/__init__.py",
        "src/ganart_some_bands/weights/generator.safetensors",
    ]
    assert load_file(made.files[3]).keys() == load_file(run / "generator.safetensors").keys()
    options = ["-q", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(made.folder)]
    subprocess.run(pip, check=True)
    sample(load_generator(shapes, run), 4, tmp_path / "run.png")
    done = subprocess.run(
        [sys.executable, "-m", "ganart_zoo", "sample", "some-bands", "-n", "4", "-o", str(tmp_path / "package.png")],
        env={**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{SITE}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert compare_pixels(tmp_path / "run.png", tmp_path / "package.png").agree


def test_onnx_gives_the_same_pictures_for_any_number_of_rows(shapes: Zoo, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    made = export(shapes, run, tmp_path / "bands")
    assert made.onnx_error is not None
    assert made.onnx_error < 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "bands" / "generator.onnx"))
    generator = load_generator(shapes, run)
    for n in (1, 7):
        latents = generator.latents(range(n))
        (images,) = session.run(["images"], {"latents": latents.numpy()})
        expected = torch.cat([sample(generator, 1, seed=seed).images for seed in range(n)]).numpy()
        assert np.abs(images - expected).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("ganart-dcgan/dcgan", {"resolution": 16, "width": 4, "class_names": ["a", "b"]}),
        ("ganart-fastgan/fastgan", {"resolution": 32, "width": 8}),
        ("ganart-stylegan2/stylegan2", {"resolution": 8, "channel_base": 1024, "max_channels": 8}),
    ],
)
def test_onnx_of_the_first_party_generators_has_any_number_of_rows(
    model: str, settings: dict[str, object], tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    zoo = Zoo()
    run = save_run(tmp_path / "run", generator=zoo.create(model, weights=None, **settings))
    export(zoo, run, tmp_path / "out")  # compares pictures at 1 and 3 rows
    (latents, *_) = onnxruntime.InferenceSession(str(tmp_path / "out" / "generator.onnx")).get_inputs()
    assert isinstance(latents.shape[0], str)


def test_what_is_not_fit_is_said_and_nothing_is_left(
    shapes: Zoo, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="name is 'a b'"):
        export(shapes, run, tmp_path / "out", name="a b")
    with pytest.raises(SettingsError, match="is not empty"):
        export(shapes, run, run)
    with pytest.raises(ModelError, match="is not a folder"):
        export(shapes, tmp_path / "none", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"ONNX needs onnxruntime; pip install 'ganart-zoo\[onnx\]'"):
        export(shapes, run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_package_s_card_tells_of_the_package(shapes: Zoo, run: Path, tmp_path: Path) -> None:
    """The run's card ends with what lies in the run's folder, and with a command for use there."""
    record = {
        "training": {"steps": 9, "batch": 4, "loss": "rpgan", "seed": 0},
        "data": {"path": "pictures.npz", "holds": "9 pictures"},
        "conditions": [],
    }
    card = model_card(record, 9, 60.0, {}, None, 0).replace(LICENCE_TO_FILL_IN, "CC0")
    (run / "README.md").write_text(card)
    export(shapes, run, tmp_path / "out", onnx=False)
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "| Licence | CC0 |" in readme
    assert "ganart sample out -n 16" in readme
    for text in ("ganart sample .", "critic.safetensors", "samples/"):
        assert text in card
        assert text not in readme
