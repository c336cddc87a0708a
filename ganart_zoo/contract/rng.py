"""Noise that depends neither on the device, nor on the batch size, nor on the defaults that a program sets in torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Generator, Tensor

from ganart_zoo.contract.errors import SettingsError

__all__ = ["Rng", "generator", "per_row", "randn"]

Rng = Generator | Sequence[Generator] | None
"""A CPU `torch.Generator`; or n of them, one for each row; or None for torch's global generator."""


def generator(seed: int) -> Generator:
    """Return a CPU generator seeded with `seed`."""
    return Generator(device="cpu").manual_seed(seed)


def per_row(rng: Rng, n: int) -> list[Generator] | None:
    """Return a generator for each of n rows, for work that draws more than once, such as noise in each layer.

    If all rows shared one generator, the second draw of a row would depend on the batch size. This function draws one
    seed per row from it, in the order of the rows. A list of n generators, and None, are returned unchanged.

    Raises:
        SettingsError: The number of generators is not n, or one is not on the CPU.

    Example:
        >>> three, five = per_row(generator(7), 3), per_row(generator(7), 5)
        >>> [row.initial_seed() for row in three] == [row.initial_seed() for row in five[:3]]
        True
    """
    if rng is None:
        return None
    if not isinstance(rng, Generator):
        return _checked(list(rng), n)
    (rng,) = _checked([rng], 1)
    seeds = [torch.randint(2**63 - 1, (), generator=rng, dtype=torch.int64, device="cpu") for _ in range(n)]
    return [generator(int(seed)) for seed in seeds]


def randn(
    shape: Iterable[int],
    rng: Rng = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return standard normal noise of `shape`, drawn row by row (first axis) in float32 on the CPU, then moved.

    The first rows of a larger batch therefore equal a smaller batch with the same seed, on every device.

    Args:
        shape: `[n, ...]`.
        rng: One CPU generator, n of them (row i is drawn from the i-th), or None for torch's global generator.
        device: The device of the result.
        dtype: The dtype of the result; its values are those drawn in float32.

    Raises:
        SettingsError: The number of generators is not n, or one is not on the CPU.

    Example:
        >>> torch.equal(randn((2, 5), generator(7)), randn((9, 5), generator(7))[:2])
        True
    """
    n, *row = shape
    rows: Sequence[Generator | None]
    if rng is None:
        rows = [None] * n
    elif isinstance(rng, Generator):
        rows = _checked([rng], 1) * n
    else:
        rows = _checked(list(rng), n)
    noise = torch.empty((n, *row), dtype=torch.float32, device="cpu")
    for target, source in zip(noise, rows, strict=True):
        # Draws of fewer than 16 values use another stream than longer ones, so at least 16 are drawn.
        count = max(target.numel(), 16)
        drawn = torch.randn(count, generator=source, dtype=torch.float32, device="cpu")
        target.copy_(drawn[: target.numel()].view_as(target))
    return noise.to(device, dtype)


def _checked(rows: list[Generator], n: int) -> list[Generator]:
    if len(rows) != n:
        raise SettingsError(f"rng: {len(rows)} generators for {n} rows; give one generator, or one for each row")
    for source in rows:
        if source.device.type != "cpu":
            raise SettingsError(
                f"rng: a generator is on {source.device}; noise is drawn on the CPU, so give a CPU generator"
            )
    return rows
