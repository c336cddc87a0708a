"""No task changes anything of the process that calls it: random numbers, defaults, threads, flags, handlers, files."""

from __future__ import annotations

import locale
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import ganart_learners
import ganart_shapes
import ganart_tiny
import ganart_wishes
import numpy as np
import pytest
import torch
from ganart_shapes.runs import save_run
from ganart_wishes.model import COLOURS

from ganart_zoo import Zoo
from ganart_zoo.registry.weights import WeightsStore
from ganart_zoo.service import VERBS
from ganart_zoo.tasks.stylize import stylize
from ganart_zoo.tasks.train import train
from ganart_zoo.training import TrainConfig

TRAINING = {"steps": 2, "batch": 4, "workers": 0, "samples": 4, "checkpoint_every": 2}


def state() -> dict[str, object]:
    """Everything that a task could change for others."""
    flags = torch.backends.cudnn
    return {
        "torch rng": torch.get_rng_state().numpy().tobytes(),
        "python rng": random.getstate(),
        "numpy rng": repr(np.random.get_state()),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": torch.is_grad_enabled(),
        "deterministic": (torch.are_deterministic_algorithms_enabled(), flags.deterministic, flags.benchmark),
        "precision": (torch.get_float32_matmul_precision(), flags.allow_tf32),
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "umask": _umask(),
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": list(warnings.filters),
        "logging": (logging.root.level, list(logging.root.handlers), logging.getLogger("ganart_zoo").handlers),
        "open files": sorted(path for path in map(_target, Path("/proc/self/fd").iterdir()) if path),
        "threads alive": {thread.name for thread in threading.enumerate()},
    }


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _target(link: Path) -> str | None:
    try:
        target = str(link.readlink())
    except OSError:
        return None
    # what libraries keep open for good: devices, and files that they loaded
    return None if target.startswith(("/dev/", "/proc/", "anon_inode:", "pipe:")) else target


@pytest.fixture
def world(tmp_path: Path, photo: Path, painting: Path) -> tuple[Zoo, dict[str, dict[str, object]]]:
    """A zoo of all toy plugins, and a small request of each verb."""
    plugins = [ganart_tiny, ganart_shapes, ganart_wishes, ganart_learners]
    zoo = Zoo(plugins=plugins, strict=True, store=WeightsStore(tmp_path / "home"))
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, images=np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))
    run = save_run(tmp_path / "run", generator=zoo.create("bands", weights=None))
    made = tmp_path / "made.png"
    stylize(zoo, photo, [painting], made, model="blend")
    bands = {"model": "bands"}
    training = {"data": pictures, "config": TRAINING, "size": 8}
    requests: dict[str, dict[str, object]] = {
        "stylize": {"content": photo, "styles": [painting], "model": "blend", "output": tmp_path / "a.png"},
        "dream": {"content": photo, "model": "negative"},
        "zoom": {"content": photo, "model": "negative", "frames": 2, "output": tmp_path / "a.gif"},
        "sample": {**bands, "n": 2},
        "mix": {**bands, "rows": [1], "columns": [2], "layers": [0, 1]},
        "interpolate": {**bands, "seeds": [1, 2], "steps": 2, "output": tmp_path / "b.gif"},
        "project": {**bands, "picture": photo, "steps": 2, "backbone": "pool", "side": 16},
        "imagine": {"model": "ganart-wishes/flat", "prompt": "red", "critics": ["wish"], "count": 4, "budget": 8},
        "rank": {"model": "reddest", "pictures": [photo, painting]},
        "evaluate": {**bands, "data": pictures, "samples": 10, "backbone": "pool", "side": 16},
        "prompt_accuracy": {"model": "ganart-wishes/flat", "critic": "wish", "prompts": list(COLOURS)},
        "reproduce": {"picture": made},
        "export": {"run": run, "folder": tmp_path / "exported", "name": "some-bands", "onnx": False},
        "train": {"generator": "learner", "critic": "plain_judge", "folder": tmp_path / "first", **training},
        "train_recipe": {
            "recipe": "gan",
            "networks": {"generator": "learner", "critic": "plain_judge"},
            "folder": tmp_path / "second",
            **training,
        },
    }
    assert set(requests) == set(VERBS)
    return zoo, requests


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_changes_nothing_for_others(world, name: str) -> None:
    zoo, requests = world
    verb = VERBS[name]
    verb.load()  # what importing does is another matter
    import torch._dynamo  # torch imports it with the first optimizer, and it sets a variable and a filter of warnings

    if name.startswith("train"):
        pytest.importorskip("accelerate")
        import accelerate  # noqa: F401
    arguments = verb.check(requests[name])
    torch.manual_seed(123)
    before = state()
    verb.call(zoo, arguments)
    after = state()
    assert {what for what in before if before[what] != after[what]} == set()


def test_no_verb_but_training_imports_the_compiler() -> None:
    """Torch's optimizers import it when they are built, among others, and it takes seconds."""
    program = Path(__file__).with_name("compiler_imports.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_training_gives_the_same_weights_beside_a_thread_that_creates_models(world, tmp_path: Path) -> None:
    zoo, requests = world
    config = TrainConfig(**{**TRAINING, "steps": 12})

    def learned(folder: str) -> bytes:
        data = requests["train"]["data"]
        train(zoo, "learner", "plain_judge", data, tmp_path / folder, config=config, size=8)
        return (tmp_path / folder / "generator.safetensors").read_bytes()

    alone = learned("alone")
    over = threading.Event()

    def create() -> None:
        while not over.is_set():
            zoo.create("ganart-shapes/flat", weights=None)
            torch.manual_seed(int(torch.randint(0, 1000, ()).item()))

    other = threading.Thread(target=create)
    other.start()
    try:
        assert learned("beside") == alone
    finally:
        over.set()
        other.join()
