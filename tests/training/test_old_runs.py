"""Runs that are older than recipes still resume and end with the same weights.

`run_before_recipes` was written at commit 343da0f: a run stopped after step 3 of 5, and the generator that the same
training left when it was not stopped.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from ganart_zoo.contract import load_tensors
from ganart_zoo.data import open_data
from ganart_zoo.training import Augmentation, TrainConfig, Trainer
from ganart_zoo.training.checkpoint import Checkpoints

from .networks import networks, write_npz

OLD = Path(__file__).parent / "run_before_recipes"
CONFIG = TrainConfig(
    steps=5,
    batch=8,
    workers=0,
    samples=2,
    log_every=1,
    checkpoint_every=2,
    keep=2,
    augment=Augmentation(policy=("flip",), probability=0.2, target=0.5),
)


def test_a_run_of_before_recipes_resumes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(OLD, run)
    before = json.loads((run / "config.json").read_text())
    assert "recipe" not in before
    data = open_data(write_npz(tmp_path / "data.npz", classes=3))
    config = CONFIG.model_copy(update={"keep": before["training"]["keep"]})
    assert Trainer(*networks(3), data, config, run, conditions=["labels"]).fit(resume=True).finished
    assert json.loads((run / "config.json").read_text())["recipe"] == "ganart-zoo/gan"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    expected = load_tensors(run / "finished_generator.safetensors")
    made = load_tensors(run / "generator.safetensors")
    for name, tensor in expected.items():  # another processor may sum in another order
        torch.testing.assert_close(made[name], tensor, rtol=1e-4, atol=1e-5)


def test_checkpoints_have_the_names_they_had(tmp_path: Path) -> None:
    data = open_data(write_npz(tmp_path / "data.npz", classes=3))
    run = tmp_path / "run"
    Trainer(*networks(3), data, CONFIG, run, conditions=["labels"], on_step=lambda event: event.step < 3).fit()
    (old,), new = (Checkpoints(folder / "checkpoints", 2).steps().values() for folder in (OLD, run))
    tensors, facts = Checkpoints.load(old)
    *_, last = new
    made, made_facts = Checkpoints.load(last)
    assert made.keys() == tensors.keys()
    assert made_facts.keys() == facts.keys()
