"""Noise that does not depend on the device or the batch size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Generator, Tensor

from ganart_zoo.contract.errors import SettingsError

__all__ = ["Rng", "generator", "randn"]

Rng = Generator | Sequence[Generator] | None
"""A CPU `torch.Generator`; or n of them, one a row; or None for torch's global one."""


def generator(seed: int) -> Generator:
    """Return a CPU generator seeded with `seed`."""
    return Generator(device="cpu").manual_seed(seed)


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
    rows: Sequence[Generator | None] = [rng] * n if rng is None or isinstance(rng, Generator) else list(rng)
    if len(rows) != n:
        raise SettingsError(f"rng: {len(rows)} generators for {n} rows; give one generator, or one a row")
    for source in rows:
        if source is not None and source.device.type != "cpu":
            raise SettingsError(
                f"rng: a generator is on {source.device}; noise is drawn on the CPU so that seeds agree"
            )
    noise = torch.empty((n, *row), dtype=torch.float32)
    for target, source in zip(noise, rows, strict=True):
        # A draw of fewer than 16 values follows another stream than a longer one: always draw at least 16.
        drawn = torch.randn(max(target.numel(), 16), generator=source)
        target.copy_(drawn[: target.numel()].view_as(target))
    return noise.to(device, dtype)
