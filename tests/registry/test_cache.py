"""Kept models: one of each key, the least recently used out, and files that change."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from ganart_zoo.contract import SettingsError
from ganart_zoo.contract.models import Generator
from ganart_zoo.registry.cache import ModelCache, model_bytes, model_key


class Block(Generator):
    """Takes 4000 bytes."""

    latent_shape = (1,)

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(1000))


def test_nothing_is_kept_without_a_budget() -> None:
    models = ModelCache()
    assert models.get("a", "x/a", Block) is not models.get("a", "x/a", Block)
    assert models.bytes == 0


def test_the_least_recently_used_leaves_first() -> None:
    models = ModelCache()
    give_back = models.reserve(8000)
    first, second = (models.get(key, f"x/{key}", Block) for key in "ab")
    assert models.get("a", "x/a", Block) is first
    models.get("c", "x/c", Block)
    assert models.names == ("x/a", "x/c")
    assert models.bytes == 8000
    assert models.get("b", "x/b", Block) is not second
    give_back()
    give_back()
    assert models.names == ()


def test_a_released_model_is_gone_once_its_users_are() -> None:
    models = ModelCache()
    models.reserve(10**6)
    seen = weakref.ref(models.get("a", "x/a", Block))
    models.get("b", "x/b", Block)
    assert models.release("x/a", unused_for=60) == 0
    assert models.release("x/a") == 4000
    gc.collect()
    assert seen() is None
    assert models.names == ("x/b",)


def test_the_largest_budget_counts() -> None:
    models = ModelCache()
    small, large = models.reserve(100), models.reserve(5000)
    models.get("a", "x/a", Block)
    assert models.budget == 5000
    large()
    assert (models.budget, models.names) == (100, ())
    small()
    for wrong in (-1, 1.5, True, "1"):
        with pytest.raises(SettingsError, match="budget of models"):
            models.reserve(wrong)  # type: ignore[arg-type]


def test_threads_that_ask_at_once_get_one_model() -> None:
    models = ModelCache()
    models.reserve(10**6)
    built, found = [], []
    start = threading.Barrier(8)

    def make() -> Block:
        built.append(Block())
        return built[-1]

    def ask() -> None:
        start.wait()
        found.append(models.get("a", "x/a", make))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert all(model is built[0] for model in found)


def test_keys_tell_settings_and_files_apart(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"one")
    key = model_key("x/a", file, {"b": (1, 2), "a": 1.0})
    assert key == model_key("x/a", file, {"a": 1.0, "b": (1, 2)})
    assert key != model_key("x/a", file, {"a": 1, "b": (1, 2)})
    assert key != model_key("x/b", file, {"a": 1.0, "b": (1, 2)})
    file.write_bytes(b"other")
    assert key != model_key("x/a", file, {"a": 1.0, "b": (1, 2)})
    assert model_key("x/a", {"backbone": Block()}) is None
    assert hash(model_key(torch.float32, ["a"], None)) is not None


def test_shared_storage_counts_once() -> None:
    block = Block()
    block.again = nn.Parameter(block.values.detach())
    assert model_bytes(block) == 4000
