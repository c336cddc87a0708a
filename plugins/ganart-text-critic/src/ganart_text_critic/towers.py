"""What both text critics share: vectors of pictures and texts, calibrated votes, and the list of known words.

Contrastive training of two towers: Radford et al. 2021 (CLIP), https://arxiv.org/abs/2103.00020.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_text_critic.config import _TwoTowersConfig
from ganart_zoo.contract import Condition, Critic, SettingsError
from ganart_zoo.data.captions import unknown, words

__all__ = ["TwoTowers", "Vectors"]

_MAX_SCALE = 100.0
_CHUNK = 64


class Vectors(NamedTuple):
    """Vectors of length 1 that training compares."""

    pictures: Tensor
    """`[n, dimension]`."""
    texts: Tensor
    """`[m, dimension]`."""
    scale: Tensor
    """Scalar: similarities are multiplied by it."""


class TwoTowers(Critic):
    """A critic of picture and text: one network for each, and their vectors compared.

    **Votes compare across prompts.** The towers are trained by InfoNCE, whose optimum is, but for a constant, the
    pointwise mutual information log p(picture, text) / (p(picture) p(text)) (van den Oord et al. 2018,
    https://arxiv.org/abs/1807.03748). A vote is that information in nats: the scaled similarity, less the mean of two
    estimates of its baseline, one over a bank of training pictures for this text, one over a bank of training texts for
    this picture. 0 means that the picture fits the text no better than pictures and texts do at random; 5 means that
    it is 150 times as likely. A general prompt gives lower votes than a specific one, for it says less.

    Args:
        config: What to build.
    """

    config: _TwoTowersConfig
    picture_tower: nn.Module
    text_tower: nn.Module

    def __init__(self, config: _TwoTowersConfig) -> None:
        super().__init__(config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(14.0)))
        self.picture_bank: Tensor
        self.text_bank: Tensor
        self.vocabulary_bytes: Tensor
        self.register_buffer("picture_bank", torch.zeros(config.bank, config.dimension))
        self.register_buffer("text_bank", torch.zeros(config.bank, config.dimension))
        self.register_buffer("vocabulary_bytes", torch.zeros(config.vocabulary, dtype=torch.uint8))

    def forward(
        self, images: Tensor, condition: Condition | None = None, *, contrast: bool = False
    ) -> Tensor | Vectors:
        """Return votes `[n, 1]` on pictures: how much better than at random each fits its text, in nats.

        Args:
            images: `[n, 3, H, W]` in 0..1, of any size.
            condition: `prompts`, or the `embedding` that `embed` made of them, 1 row or n. Other parts are not used.
            contrast: For training: return the vectors of all pictures and all prompts, of any two numbers.

        Raises:
            SettingsError: There are no prompts.
        """
        texts = self._texts(condition)
        pictures = self.picture_vectors(images)
        scale = self.log_scale.exp().clamp(max=_MAX_SCALE)
        if contrast:
            return Vectors(pictures, texts, scale)
        if len(texts) not in (1, len(pictures)):
            raise SettingsError(f"condition: {len(texts)} rows of prompts for {len(pictures)} pictures; give 1 or n")
        # similarities near 1 times a scale near 100: bfloat16 would round votes to whole numbers
        pictures, texts, scale = (part.to(self.picture_dtype) for part in (pictures, texts, scale))
        baseline = self._baseline(texts, self.picture_bank, scale) + self._baseline(pictures, self.text_bank, scale)
        votes = scale * (pictures * texts).sum(dim=1) - baseline / 2
        return votes.unsqueeze(1)

    def embed(self, condition: Condition) -> Condition:
        """Return `condition` with the vectors of its prompts, `[n, dimension]`, as its embedding."""
        if condition.embedding is not None or condition.prompts is None:
            return condition
        return condition._replace(embedding=self.text_vectors(condition.prompts))

    def picture_vectors(self, images: Tensor) -> Tensor:
        """Return vectors of length 1, `[n, dimension]`, of pictures `[n, 3, H, W]`."""
        return functional.normalize(self.picture_tower(images), dim=1)

    def text_vectors(self, prompts: Sequence[str]) -> Tensor:
        """Return vectors of length 1, `[n, dimension]`, of texts.

        Raises:
            SettingsError: A text is too long.
        """
        return functional.normalize(self.text_tower(prompts), dim=1)

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """Return the words of a prompt that the critic was not trained on. It still places them by their spelling."""
        return unknown(words(prompt), self.vocabulary())

    def vocabulary(self) -> frozenset[str]:
        """Return the words that the critic was trained on; empty for an untrained one."""
        return frozenset(bytes(self.vocabulary_bytes.tolist()).rstrip(b"\0").decode("utf-8").split())

    def set_vocabulary(self, known: Iterable[str]) -> None:
        """Write down the words of training, the most important first; those that do not fit are left out."""
        room = len(self.vocabulary_bytes)
        kept = bytearray()
        for word in known:
            written = word.encode("utf-8") + b"\n"
            if len(kept) + len(written) <= room:
                kept += written
        self.vocabulary_bytes.copy_(torch.tensor([*kept, *bytes(room - len(kept))], dtype=torch.uint8))

    def set_banks(self, images: Tensor, prompts: Sequence[str]) -> None:
        """Calibrate votes by the vectors of typical pictures and texts, repeated if they are fewer than the banks."""
        with torch.no_grad():
            pictures = torch.cat([self.picture_vectors(part) for part in images.split(_CHUNK)])
            texts = torch.cat([self.text_vectors(prompts[i : i + _CHUNK]) for i in range(0, len(prompts), _CHUNK)])
        for bank, vectors in ((self.picture_bank, pictures), (self.text_bank, texts)):
            bank.copy_(vectors[torch.arange(len(bank)) % len(vectors)])

    def _texts(self, condition: Condition | None) -> Tensor:
        if condition is None or (condition.prompts is None and condition.embedding is None):
            raise SettingsError(f"{type(self).__name__} compares pictures with a text; give Condition(prompts=...)")
        if condition.embedding is not None:
            return condition.embedding
        assert condition.prompts is not None
        return self.text_vectors(condition.prompts)

    @staticmethod
    def _baseline(vectors: Tensor, bank: Tensor, scale: Tensor) -> Tensor:
        """Return `[n]`: log of the mean, over a bank, of the exponential of scaled similarities."""
        similarities = scale * (vectors @ bank.to(vectors).T)
        return similarities.logsumexp(dim=1) - math.log(len(bank))
