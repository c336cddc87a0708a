"""Randomness without state: each draw is a function of the run's seed, what it is for, and where in the run it falls.

So nothing has to be saved for a killed run to go on exactly, and neither the number of processes nor of loading workers
changes what a row of the global batch is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Generator, Tensor

from ganart_zoo.contract.rng import generator

__all__ = ["key_generator", "key_seed", "row_generators", "uniforms"]


def key_seed(*key: int | str) -> int:
    """Return a seed in 0..2**63 - 1 that depends on every part of `key` and on nothing else."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def key_generator(*key: int | str) -> Generator:
    """Return a CPU generator seeded by `key`."""
    return generator(key_seed(*key))


def row_generators(rows: Iterable[int], *key: int | str) -> list[Generator]:
    """Return one CPU generator for each row of the global batch named in `rows`."""
    return [key_generator(*key, row) for row in rows]


def uniforms(rows: range, columns: int, *key: int | str) -> Tensor:
    """Return `[len(rows), columns]` in [0, 1): those rows of the global batch's draw."""
    drawn = torch.rand(rows.stop, columns, generator=key_generator(*key))
    return drawn[rows.start :]
