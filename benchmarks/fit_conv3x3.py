"""Fits the cost model by which `ops.conv3x3` chooses between Winograd's algorithm and the vendor library.

    python benchmarks/fit_conv3x3.py [--threads 1] [--rounds 7] [--dtype bfloat16]

It times both on a grid of shapes and prints the constants of `ganart_zoo/ops/conv3x3.py` that fit this machine best,
beside the ones in use, and how much time either set loses to a choice that is always right. Times are CPU times, so
that other processes disturb them little; use one thread on a busy machine. Constants are worth changing when the new
ones lose clearly less on AVX2 and on AVX-512 machines alike (`GANART_CPU_ISA=avx2` runs the AVX2 kernels on both). With
bfloat16, on a processor with dot products of it, they are `COSTS_BESIDE_DOTS`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo.ops import conv3x3

CHANNELS, SIDES, BATCHES = (16, 32, 64, 128, 256, 512), (4, 8, 16, 32, 64), (1, 8)
MOST_MULTIPLY_ADDS = 5e9
SHORTEST = 0.02
"""Seconds of one timing; faster calls are repeated."""


class Timing(NamedTuple):
    """One shape's work in the terms of the cost model, and the seconds that both convolutions took."""

    direct: float
    """Multiply-adds of a direct convolution."""
    terms: tuple[tuple[float, float, float], tuple[float, float, float]]
    """`cost_terms` of tiles of 6 x 6 and of 4 x 4."""
    winograd_seconds: float
    vendor_seconds: float


def main() -> None:
    """Time, fit and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="torch's number of threads")
    parser.add_argument("--rounds", type=int, default=7, help="timings of each candidate, of which the best counts")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of features and weights")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype: torch.dtype = getattr(torch, options.dtype)
    shapes = [shape for shape in product(BATCHES, CHANNELS, CHANNELS, SIDES) if fits(*shape)]
    timings = [timed(*shape, options.rounds, dtype) for shape in shapes]
    in_use = conv3x3.costs("cpu", dtype) or conv3x3.Costs(0, 0, float("inf"))
    isa = torch.ops.ganart.use_cpu_isa("")
    print(f"{len(timings)} shapes, {options.dtype}, {options.threads} threads, {isa}")
    for name, values in (("fitted", fitted(timings)), ("in use", in_use)):
        print(f"{name}: tile {values.tile:.0f}, weight {values.weight:.0f}, margin {values.margin:.2f}:", end=" ")
        print(f"{100 * lost(timings, values):.1f} % slower than the right choice for every shape")


def fits(samples: int, channels: int, out_channels: int, side: int) -> bool:
    """Return whether a shape is small enough to be timed often."""
    return 9 * samples * channels * out_channels * side**2 <= MOST_MULTIPLY_ADDS


def timed(samples: int, channels: int, out_channels: int, side: int, rounds: int, dtype: torch.dtype) -> Timing:
    """Time both convolutions by turns."""
    x = torch.randn(samples, channels, side, side).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(out_channels, channels, 3, 3).to(dtype)
    candidates: list[Callable[[], Tensor]] = [
        lambda: conv3x3.conv3x3(x, weight),
        lambda: F.conv2d(x, weight, padding=1),
    ]
    with torch.inference_mode():
        best = [seconds(candidate, 1) for candidate in candidates]
        repeats = [max(1, round(SHORTEST / once)) for once in best]
        for _ in range(rounds):
            again = [seconds(*pair) for pair in zip(candidates, repeats, strict=True)]
            best = list(map(min, best, again))
    sizes = (samples, side, side, channels, out_channels)
    terms = (conv3x3.cost_terms(*sizes, 6), conv3x3.cost_terms(*sizes, 4))
    return Timing(9 * samples * channels * out_channels * side**2, terms, *best)


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def fitted(timings: list[Timing]) -> conv3x3.Costs:
    """Return the constants with the least relative errors in Winograd's times, and the margin that follows."""
    measured = np.array([timing.winograd_seconds for timing in timings])
    # The kernel takes the smaller tiles where they need a tenth fewer products.
    terms = np.array([four if 10 * six[0] >= 11 * four[0] else six for six, four in (t.terms for t in timings)])
    rate, *extra = np.linalg.lstsq(terms / measured[:, None], np.ones(len(timings)), rcond=None)[0]
    vendor = np.median([timing.vendor_seconds / timing.direct for timing in timings])
    return conv3x3.Costs(float(extra[0] / rate), float(extra[1] / rate), float(rate / vendor))


def lost(timings: list[Timing], costs: conv3x3.Costs) -> float:
    """Return the share of time that a choice by these constants takes beyond the faster candidate's, on average."""
    losses = []
    for timing in timings:
        cost = min(float(np.dot(terms, (1, costs.tile, costs.weight))) for terms in timing.terms)
        taken = timing.winograd_seconds if costs.margin * cost < timing.direct else timing.vendor_seconds
        losses.append(taken / min(timing.winograd_seconds, timing.vendor_seconds) - 1)
    return float(np.mean(losses))


if __name__ == "__main__":
    main()
