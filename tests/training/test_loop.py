"""The loop: what a run leaves, how it stops, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ganart_zoo.contract import load_tensors
from ganart_zoo.training import ArrayData, TrainConfig, Trainer

from .networks import networks, write_npz

SHORT = {"batch": 8, "workers": 0, "log_every": 2, "sample_every": 4, "checkpoint_every": 2, "samples": 4}


def trainer(folder: Path, *, classes: int = 0, steps: int = 4, pair=None, on_step=None, on_event=None, **settings):
    data = ArrayData(write_npz(folder.parent / "data.npz", classes=classes))
    generator, critic = pair or networks(classes)
    config = TrainConfig(**{**SHORT, "steps": steps, **settings})
    conditions = ["labels"] if classes else []
    return Trainer(generator, critic, data, config, folder, conditions=conditions, on_step=on_step, on_event=on_event)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "generator.safetensors") | {
        f"critic.{name}": tensor for name, tensor in load_tensors(folder / "critic.safetensors").items()
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_all_that_it_promises(tmp_path: Path) -> None:
    trained = trainer(tmp_path / "run", steps=5, classes=3).fit()
    assert trained.finished
    assert trained.step == 5
    names = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {
        "README.md",
        "config.json",
        "critic.safetensors",
        "generator.safetensors",
        "metrics.jsonl",
        "samples/step-00000004.png",
        "samples/step-00000005.png",
        "checkpoints/step-00000004.safetensors",
        "checkpoints/step-00000005.safetensors",
    } <= names
    assert not [name for name in names if name.endswith(".part")]
    assert "checkpoints/step-00000002.safetensors" not in names  # only the newest two are kept
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["training"]["steps"] == 5
