"""Fits the cost model by which `ops.conv4x4` chooses between Winograd's algorithm and the vendor library.

    python benchmarks/fit_conv4x4.py [--threads 1] [--rounds 5]

It times both on a grid of shapes, forwards and for both gradients, and prints the constants of
`ganart_zoo/ops/conv4x4.py` that fit this machine best, beside the ones in use, and how much time either set loses to a
choice that is always right. Times are CPU times, so that other processes disturb them little; use one thread on a busy
machine. Constants are worth changing when the new ones lose clearly less on AVX2 and on AVX-512 machines alike
(`GANART_CPU_ISA=avx2` runs the AVX2 kernels on both).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from benchmarks.fit_conv3x3 import SHORTEST, seconds
from ganart_zoo.ops import conv4x4

CHANNELS, SIDES, BATCHES = ((3, 24, 64, 192), (16, 48, 128, 384)), (4, 16, 32), (1, 16)
MOST_MULTIPLY_ADDS = 4e9


class Timing(NamedTuple):
    """One pass over one shape in the terms of the cost model, and the seconds that both ways took."""

    name: str
    direct: float
    """`direct_cost`."""
    terms: tuple[float, float, float]
    """`cost_terms`."""
    winograd_seconds: float
    vendor_seconds: float


def main() -> None:
    """Time, fit and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="torch's number of threads")
    parser.add_argument("--rounds", type=int, default=5, help="timings of each candidate, of which the best counts")
    parser.add_argument("--all", action="store_true", help="print every timing too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    timings = [
        timing
        for samples, inner, outer, side in product(BATCHES, *CHANNELS, SIDES)
        if 16 * samples * inner * outer * side**2 <= MOST_MULTIPLY_ADDS
        for timing in timed(samples, inner, outer, side, options.rounds)
    ]
    if options.all:
        for each in timings:
            ratio = each.vendor_seconds / each.winograd_seconds
            taken = "taken" if is_taken(each, conv4x4.COSTS) else ""
            print(f"{each.name:40} {1e3 * each.winograd_seconds:8.3f} ms, {ratio:.2f}x {taken}")
    isa = torch.ops.ganart.use_cpu_isa("")
    print(f"{len(timings)} passes, {options.threads} threads, {isa}")
    for name, values in (("fitted", fitted(timings)), ("in use", conv4x4.COSTS)):
        slower, missed = losses(timings, values)
        print(f"{name}: {values}:", end=" ")
        print(
            f"{100 * slower:.1f} % lost where it is slower than the vendor, {100 * missed:.1f} % where it is not taken"
        )


def timed(samples: int, inner: int, outer: int, side: int, rounds: int) -> list[Timing]:
    """Time all passes of a convolution to `side` pixels, both ways by turns."""
    x = torch.randn(samples, inner, 2 * side, 2 * side).to(memory_format=torch.channels_last)
    y = torch.randn(samples, outer, side, side).to(memory_format=torch.channels_last)
    weight = torch.randn(outer, inner, 4, 4)

    def vendor(of_weight: bool) -> Tensor:
        wanted = [not of_weight, of_weight, False]
        sizes = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)
        gradients = torch.ops.aten.convolution_backward(y, x, weight, None, *sizes, wanted)
        gradient: Tensor = gradients[int(of_weight)]
        return gradient

    ours = torch.ops.ganart
    passes: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "forward": (lambda: ours.conv4x4(x, weight), lambda: F.conv2d(x, weight, stride=2, padding=1)),
        "gradient": (lambda: ours.conv4x4_transposed(y, weight, False, False), lambda: vendor(False)),
        "weight": (lambda: ours.conv4x4_weight(x, y), lambda: vendor(True)),
    }
    sizes = (samples, side, side, inner, outer)
    terms, found = conv4x4.cost_terms(*sizes), []
    with torch.inference_mode():
        for name, pair in passes.items():
            best = [seconds(candidate, 1) for candidate in pair]
            repeats = [max(1, round(SHORTEST / once)) for once in best]
            for _ in range(rounds):
                best = list(map(min, best, map(seconds, pair, repeats)))
            shape = f"{samples}x{inner}x{2 * side}x{2 * side} to {outer}, {name}"
            found.append(Timing(shape, conv4x4.direct_cost(*sizes, name), terms, *best))
    return found


def fitted(timings: list[Timing]) -> conv4x4.Costs:
    """Return the constants of a grid that lose least, where being slower than the vendor library counts tenfold."""
    grid = product((100, 200, 300, 400, 600), (200, 400, 600, 800), (0.8, 0.9, 1.0, 1.1, 1.3), (0, 5e5, 1e6, 2e6))

    def regret(costs: conv4x4.Costs) -> float:
        slower, missed = losses(timings, costs)
        return 10 * slower + missed

    return min((conv4x4.Costs(*each) for each in grid), key=regret)


def losses(timings: list[Timing], costs: conv4x4.Costs) -> tuple[float, float]:
    """Return the shares of time lost on average by taking Winograd's algorithm wrongly and by not taking it."""
    slower = missed = 0.0
    for timing in timings:
        gain = timing.vendor_seconds / timing.winograd_seconds - 1
        if is_taken(timing, costs):
            slower += max(0.0, -gain)
        else:
            missed += max(0.0, gain)
    return slower / len(timings), missed / len(timings)


def is_taken(timing: Timing, costs: conv4x4.Costs) -> bool:
    """Return what the cost model decides for one pass alone."""
    cost = costs.margin * float(np.dot(timing.terms, (1, costs.tile, costs.weight)))
    return bool(cost < timing.direct + costs.call)


if __name__ == "__main__":
    main()
