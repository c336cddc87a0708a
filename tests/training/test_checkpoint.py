"""Checkpoints: whole or not there, whatever happens to the disk."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from ganart_zoo.contract import ModelError
from ganart_zoo.training.checkpoint import Checkpoints, load_optimizer, optimizer_tensors, prefixed, under

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(7)}


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file grow past `room` bytes, which writers see as they see a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, 2).save(3, TENSORS, {"step": 3, "positions": [8, None]})
    tensors, facts = Checkpoints.load(path)
    assert facts == {"step": 3, "positions": [8, None]}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    for step in (10, 9, 100, 200):
        checkpoints.save(step, TENSORS, {"step": step}, best=step == 9)
    assert list(checkpoints.steps()) == [100, 200]
    assert checkpoints.latest() == tmp_path / "step-00000200.safetensors"
    assert Checkpoints.load(checkpoints.best)[1] == {"step": 9}


def test_a_full_disk_costs_only_the_new_one(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    kept = checkpoints.save(1, TENSORS, {"step": 1})
    with full_disk(20_000), pytest.raises(ModelError, match=r"step-00000002.*last good checkpoint is .*step-00000001"):
        checkpoints.save(2, {"large": torch.zeros(100_000)}, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    assert Checkpoints.load(kept)[1] == {"step": 1}


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path, 1).save(1, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"step-00000001\.safetensors is no checkpoint, or damaged"):
        Checkpoints.load(path)


def test_an_optimizer_goes_on_where_it_was() -> None:
    def steps(weight: torch.Tensor, optimizer: torch.optim.Adam, n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            weight.pow(4).sum().backward()
            optimizer.step()

    whole = torch.ones(3, requires_grad=True)
    steps(whole, torch.optim.Adam([whole], fused=True), 6)
    first = torch.ones(3, requires_grad=True)
    before = torch.optim.Adam([first], fused=True)
    steps(first, before, 3)
    second = first.detach().clone().requires_grad_()
    after = torch.optim.Adam([second], fused=True)
    load_optimizer(after, under("o", prefixed("o", optimizer_tensors(before))))
    steps(second, after, 3)
    assert torch.equal(second, whole)
