"""Stateless randomness: each draw is a function of the run's seed, its purpose, and its position in the run.

A killed run can therefore resume exactly without any saved generator state, and the rows of the global batch depend
neither on the number of processes nor on the number of loading workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Generator, Tensor

from ganart_zoo.contract.rng import generator

__all__ = ["key_generator", "key_seed", "row_generators", "uniforms"]


def key_seed(*key: int | str) -> int:
    """Return a seed in 0..2**63 - 1 that is a function of all parts of `key`."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def key_generator(*key: int | str) -> Generator:
    """Return a CPU generator seeded by `key`."""
    return generator(key_seed(*key))


def row_generators(rows: Iterable[int], *key: int | str) -> list[Generator]:
    """Return a CPU generator for each row number of the global batch in `rows`."""
    return [key_generator(*key, row) for row in rows]


def uniforms(rows: range, columns: int, *key: int | str) -> Tensor:
    """Return `[len(rows), columns]` uniform in [0, 1): the given rows of the draw for the whole global batch."""
    drawn = torch.rand(rows.stop, columns, generator=key_generator(*key), dtype=torch.float32, device="cpu")
    return drawn[rows.start :]
