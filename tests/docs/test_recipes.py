"""The recipe printed in docs/recipes.md is declared soundly, trains by the command printed there, and is a model."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.contract import load_tensors
from ganart_zoo.testing import RecipeSubject, recipe_checks

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^`(?P<path>[\w./]+)`.*?:\n\n```\w+\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.search(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The plugin of the page, imported from files as printed."""
    root = tmp_path_factory.mktemp("plugin")
    for block in BLOCK.finditer(PAGE):
        path = root / block["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["code"], encoding="utf-8")
    folder = root / "sharpen"
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]["ganart_zoo.plugins"]
    (module,) = points.values()
    sys.path.insert(0, str(folder))
    yield import_module(module)
    sys.path.remove(str(folder))


@pytest.fixture
def zoo(plugin: ModuleType) -> Zoo:
    return Zoo(plugins=[plugin], strict=True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (70, 80, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_the_commands_of_the_page(
    zoo: Zoo, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    assert COMMANDS
    train, info = (shlex.split(line)[1:] for line in COMMANDS[1].splitlines() if line.startswith("ganart "))
    short = ["--steps", "2", "--batch", "2", "--set", "workers=0", "--set", "rate=0.01", "--set", "samples=4", "-q"]
    assert main([*train, *short], zoo=zoo) == 0
    run = Path("runs/sharp")
    described = json.loads((run / "config.json").read_text())
    assert described["recipe"] == "ganart-sharpen/sharpen"
    assert described["training"]["rate"] == 0.01
    with Image.open(run / "samples" / "step-00000002.png") as grid:
        assert grid.size == (2 * 64 + 3 * 2, 2 * 64 + 3 * 2)  # four pictures in a square, with lines of 2 pixels
    model = zoo.create(run)
    assert (type(model).__name__, model.kind) == ("Sharpener", "style_transfer")
    saved = load_tensors(run / "sharpener.safetensors")
    assert all(bool((tensor == saved[name]).all()) for name, tensor in model.own_state().items())
    assert "ganart stylize" in (run / "README.md").read_text()
    assert main(["stylize", "photos/0.png", "-m", str(run), "-o", "sharp.png", "-q"], zoo=zoo) == 0
    assert main(["train", "-o", str(run), "--resume", "-q"], zoo=zoo) == 0
    assert main(["train", "-o", str(run), "--resume", "--set", "rate=0.02", "-q"], zoo=zoo) == 2
    assert "training.rate was 0.01, now 0.02" in capsys.readouterr().err
    assert main(info, zoo=zoo) == 0
    told = capsys.readouterr().out
    assert "Trains a network to sharpen photos." in told
    assert "Learning rate (Adam)." in told


def test_the_recipe_passes_the_kit(zoo: Zoo, photos: Path) -> None:
    subject = RecipeSubject(zoo, "sharpen", photos, networks={"sharpener": "sharpener"}, size=16, settings={"steps": 6})
    for check in recipe_checks(subject):
        check(subject)
