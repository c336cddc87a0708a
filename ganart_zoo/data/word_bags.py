"""Captions as index tensors for `torch.nn.EmbeddingBag`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.data.captions import MAX_WORDS, features, words

__all__ = ["WordBags", "word_bags"]


class WordBags(NamedTuple):
    """The distinct words of some captions, each a bag of feature ids, and where each caption uses them."""

    ids: Tensor
    """int64 `[total]`: the features of all bags, one after another."""
    offsets: Tensor
    """int64 `[bags]`: where each bag starts in `ids`. Bag 0 is empty and stands for padding."""
    rows: Tensor
    """int64 `[n, length]`: the bag of each word of each caption, 0 after the last."""

    @property
    def mask(self) -> Tensor:
        """Bool `[n, length]`: where there is a word."""
        return self.rows > 0

    def to(self, device: torch.device | str) -> WordBags:
        """Return the same on another device."""
        return WordBags(*(part.to(device) for part in self))

    def embed(self, weight: Tensor) -> Tensor:
        """Return a vector `[n, length, d]` for each word, the mean of its features' rows of `weight` `[buckets, d]`.

        Padding gives zeros.
        """
        table = functional.embedding_bag(self.ids, weight, self.offsets, mode="mean")
        return functional.embedding(self.rows, table)


def word_bags(captions: Sequence[str], buckets: int, *, max_words: int = MAX_WORDS) -> WordBags:
    """Return the index tensors of captions.

    Args:
        captions: n texts; an empty one is all padding.
        buckets: Rows of the table of embeddings, see `features`.
        max_words: Words after so many are left out.

    Raises:
        SettingsError: A text is too long (see `words`), or a number is less than 1.
    """
    if max_words < 1:
        raise SettingsError(f"max_words is {max_words}, expected at least 1")
    split = [words(caption)[:max_words] for caption in captions]
    bags = {word: number for number, word in enumerate(dict.fromkeys(w for row in split for w in row), start=1)}
    ids: list[int] = []
    offsets = [0]
    for word in bags:
        offsets.append(len(ids))
        ids.extend(features(word, buckets))
    rows = torch.zeros(len(split), max((len(row) for row in split), default=0) or 1, dtype=torch.int64)
    for number, row in enumerate(split):
        rows[number, : len(row)] = torch.tensor([bags[word] for word in row], dtype=torch.int64)
    return WordBags(torch.tensor(ids, dtype=torch.int64), torch.tensor(offsets, dtype=torch.int64), rows)
