"""Noise that does not depend on the device or the batch size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Generator, Tensor

from ganart_zoo.contract.errors import SettingsError

__all__ = ["Rng", "generator", "per_row", "randn"]

Rng = Generator | Sequence[Generator] | None
"""A CPU `torch.Generator`; or n of them, one a row; or None for torch's global one."""


def generator(seed: int) -> Generator:
    """Return a CPU generator seeded with `seed`."""
    return Generator(device="cpu").manual_seed(seed)


def per_row(rng: Rng, n: int) -> list[Generator] | None:
    """Return n generators, one a row, for work that draws more than once: noise a layer, noise a step.

    A single generator shared by all rows would give the second draw of a row other values in a larger batch. This draws
    one seed a row from it, in the order of rows; n generators and None come back as they are.

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
    return [generator(int(torch.randint(2**63 - 1, (), generator=rng))) for _ in range(n)]


def randn(
    shape: Iterable[int],
    rng: Rng = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return standard normal noise of `shape`, drawn row by row (first axis) in float32 on the CPU, then moved.

    So the first rows of a larger batch equal a smaller batch of the same seed, on every device.

    Args:
        shape: `[n, ...]`.
        rng: One CPU generator, n of them (row i is drawn from the i-th), or None for torch's global one.
        device: Where the result goes.
        dtype: Its type; the values are those of float32.

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
    noise = torch.empty((n, *row), dtype=torch.float32)
    for target, source in zip(noise, rows, strict=True):
        # A draw of fewer than 16 values follows another stream than a longer one: always draw at least 16.
        drawn = torch.randn(max(target.numel(), 16), generator=source)
        target.copy_(drawn[: target.numel()].view_as(target))
    return noise.to(device, dtype)


def _checked(rows: list[Generator], n: int) -> list[Generator]:
    if len(rows) != n:
        raise SettingsError(f"rng: {len(rows)} generators for {n} rows; give one generator, or one a row")
    for source in rows:
        if source.device.type != "cpu":
            raise SettingsError(
                f"rng: a generator is on {source.device}; noise is drawn on the CPU so that seeds agree"
            )
    return rows
