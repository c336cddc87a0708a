"""The two methods by their names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor

from ganart_patches.config import MatchingOptions
from ganart_patches.nearest import match_nearest
from ganart_patches.pyramid import Level, Report
from ganart_patches.sliced import match_sliced

__all__ = ["match_patches"]


def match_patches(
    start: Tensor,
    references: Sequence[tuple[Tensor, float]],
    plan: Sequence[Level],
    options: MatchingOptions,
    rng: Generator | None,
    report: Report,
) -> Tensor:
    """Return a picture `[1, 3, H, W]` of the plan's last size with the patches of references, by `options.method`."""
    match = match_nearest if options.method == "nearest" else match_sliced
    return match(start, references, plan, options, rng, report)
