"""What a command takes before its work begins: one step of `ganart stylize` at 64 pixels, beside `import torch`.

Each run is a process of its own, so rows hold wall-clock seconds with all imports, the model's weights and the file.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from .conftest import Race

pytest.importorskip("ganart_gatys", reason="the plugin ganart-gatys is not installed")
pytest.importorskip("ganart_backbones", reason="the plugin ganart-backbones is not installed")


def process(*arguments: str) -> Callable[[], object]:
    """Return a function that runs Python with these arguments to its end."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, stderr=subprocess.DEVNULL)


def test_start_up(race: Race, tmp_path: Path) -> None:
    photo, painting, result = (str(tmp_path / name) for name in ("photo.png", "painting.png", "result.png"))
    Image.linear_gradient("L").convert("RGB").save(photo)
    Image.radial_gradient("L").convert("RGB").save(painting)
    stylize = ["stylize", photo, "--style", painting, "--size", "64", "--steps", "1", "--force", "-o", result]
    race(
        {
            "ganart": process("-m", "ganart_zoo", *stylize),
            "eager": process("-c", "import torch"),
        },
        dtype="float32",
        op="start of a command",
        group="import torch is 'eager'",
        shape="64x64, 1 step",
        direction="forward+backward",
    )
