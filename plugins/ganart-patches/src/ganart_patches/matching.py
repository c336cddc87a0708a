"""The two methods by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    if options.method == "nearest":
        return match_nearest(start, references, plan, options, rng, report)
    stopped = False

    def watch(loss: Tensor, picture: Callable[[], Tensor], side: int) -> bool:
        nonlocal stopped
        stopped = report(loss, picture, side)
        return stopped

    made = match_sliced(start, references, plan, options, rng, watch)
    if stopped or not options.polish:
        return made
    # The largest principal components, by which nearest patches are found, hardly see the noise.
    last = options.model_copy(update={"method": "nearest", "steps": options.polish, "reuse": None})
    return match_nearest(made, references, plan[-1:], last, rng, report)
