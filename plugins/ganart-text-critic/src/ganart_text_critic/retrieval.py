"""How well a critic finds a picture's own caption among others.

R-precision: Xu et al. 2018 (AttnGAN), https://arxiv.org/abs/1711.10485, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_text_critic.changes import mention
from ganart_zoo.contract import SettingsError
from ganart_zoo.contract.draws import key_generator

__all__ = ["r_precision"]


def r_precision(scores: Tensor, captions: Sequence[str], *, candidates: int = 100, seed: int = 0) -> Tensor:
    """Return bool `[n]`: whether a picture's own caption scores above all of `candidates - 1` others.

    Captions that are true of the picture too, because its own says the same and more, are not drawn as others.

    Args:
        scores: `[n, n]`, of picture i for caption j.
        captions: n texts.
        candidates: Captions to choose from, the right one among them; fewer where there are not as many.
        seed: Of the choice of others.

    Raises:
        SettingsError: `candidates` is less than 2.
    """
    if candidates < 2:
        raise SettingsError(f"candidates is {candidates}, expected at least 2")
    usable = ~mention(captions, captions)
    rng = key_generator("r_precision", seed)
    right = torch.zeros(len(captions), dtype=torch.bool)
    for row in range(len(captions)):
        others = usable[row].nonzero().flatten()
        others = others[torch.randperm(len(others), generator=rng)[: candidates - 1]]
        right[row] = bool((scores[row, row] > scores[row, others]).all())
    return right
