"""The transformer that predicts the velocity of latents, given time and text.

A token stands for `patch` x `patch` latents. Every block attends from the picture's tokens to themselves and to the
words at once, and is scaled, shifted and gated by time and the pooled text (adaLN-Zero: Peebles and Xie, "Scalable
Diffusion Models with Transformers", 2023, https://arxiv.org/abs/2212.09748). A draft, computed from the text alone by
a small perceptron, joins the noisy latents at the input, so that the blocks start from what the words usually mean.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TextEncoder", "Transformer", "Words"]

_FREQUENCIES = 64


class Words(NamedTuple):
    """Text for the transformer."""

    vectors: Tensor
    """`[n, L, width]`: one for each word."""
    mask: Tensor
    """Bool `[n, L]`: where there is a word."""
    pooled: Tensor
    """`[n, width]`: the whole text."""

    def rows(self, n: int) -> Words:
        """Return the same with n rows, repeating a single one."""
        return Words(*(part.expand(n, *part.shape[1:]) for part in self))

    def joined(self, other: Words) -> Words:
        """Return the rows of both, padded to the longer text."""
        length = max(self.vectors.shape[1], other.vectors.shape[1])
        first, second = self._padded(length), other._padded(length)
        return Words(*(torch.cat([one, two]) for one, two in zip(first, second, strict=True)))

    def _padded(self, length: int) -> Words:
        more = length - self.vectors.shape[1]
        return Words(functional.pad(self.vectors, (0, 0, 0, more)), functional.pad(self.mask, (0, more)), self.pooled)


class _Norm(nn.Module):
    """Layer normalisation without learned scale; in the input's own dtype."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._shape = (width,)

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.layer_norm(tokens, self._shape, eps=1e-5)


def _heads(tokens: Tensor, heads: int) -> Tensor:
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)


class _Perceptron(nn.Module):
    """Two linear layers around a squared ReLU (So et al., "Primer", 2021, https://arxiv.org/abs/2109.08668)."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = functional.relu(self.first(tokens))
        output: Tensor = self.second(hidden * hidden)
        return output


class _Attention(nn.Module):
    """Attention from tokens to themselves and, where given, to words."""

    def __init__(self, width: int, heads: int, *, words: bool) -> None:
        super().__init__()
        self._heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.words = nn.Linear(width, 2 * width) if words else None
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, mask: Tensor | None, words: Tensor | None = None) -> Tensor:
        """Return `[n, T, width]`; `mask` is added to the logits of all keys, tokens first."""
        query, key, value = self.project(tokens).chunk(3, dim=2)
        if words is not None and self.words is not None:
            more_keys, more_values = self.words(words).chunk(2, dim=2)
            key, value = torch.cat([key, more_keys], dim=1), torch.cat([value, more_values], dim=1)
        query, key, value = (_heads(part, self._heads) for part in (query, key, value))
        # On a CPU, torch's fused attention is several times slower than plain products for this few tokens.
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        attended = (logits if mask is None else logits + mask).softmax(dim=-1) @ value
        output: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return output


class TextEncoder(nn.Module):
    """Vectors of a caption's words in the light of each other.

    Args:
        inputs: Length of a word's own vector.
        width: Length of the vectors given.
        layers: Transformer blocks.
        heads: Of their attention.
        positions: Words whose place in the caption counts; later ones share the last place.
    """

    def __init__(self, inputs: int, width: int, layers: int, heads: int, positions: int) -> None:
        super().__init__()
        self.lift = nn.Linear(inputs, width)
        # as long as the words' vectors: a tenth of that, and the order of words is not learned
        self.positions = nn.Parameter(torch.randn(positions, width))
        self.attention = nn.ModuleList([_Attention(width, heads, words=False) for _ in range(layers)])
        self.perceptrons = nn.ModuleList([_Perceptron(width, 2 * width, width) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * layers + 1)])
        self.empty = nn.Parameter(torch.randn(width) * 0.1)
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "second.weight")):  # each block starts as the identity
                nn.init.zeros_(parameter)

    def forward(self, vectors: Tensor, mask: Tensor) -> Words:
        """Return words and summary; a row without words is read as one learned empty word.

        Args:
            vectors: `[n, L, inputs]`.
            mask: `[n, L]`, true where there is a word.
        """
        place = torch.arange(vectors.shape[1], device=vectors.device).clamp(max=len(self.positions) - 1)
        nothing = ~mask.any(dim=1)
        first = place == 0
        vectors = torch.where((nothing[:, None] & first)[..., None], self.empty.to(vectors.dtype), self.lift(vectors))
        mask = mask | (nothing[:, None] & first)
        vectors = vectors + self.positions[place].to(vectors.dtype)
        added = torch.zeros(mask.shape, dtype=vectors.dtype, device=mask.device).masked_fill(~mask, -math.inf)
        for block, (attention, perceptron) in enumerate(zip(self.attention, self.perceptrons, strict=True)):
            vectors = vectors + attention(self.norms[2 * block](vectors), added[:, None, None])
            vectors = vectors + perceptron(self.norms[2 * block + 1](vectors))
        vectors = self.norms[-1](vectors)
        weight = mask.to(vectors.dtype)[..., None]
        pooled = (vectors * weight).sum(dim=1) / weight.sum(dim=1)
        return Words(vectors, mask, pooled)


class _Block(nn.Module):
    """One transformer block with adaLN-Zero."""

    def __init__(self, width: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm = _Norm(width)
        self.attention = _Attention(width, heads, words=True)
        self.perceptron = _Perceptron(width, int(width * expansion), width)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, tokens: Tensor, condition: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        modulation = self.modulation(condition)[:, None].to(tokens.dtype)
        shift, scale, gate, shift2, scale2, gate2 = modulation.chunk(6, dim=2)
        attended = self.attention(torch.addcmul(shift, self.norm(tokens), 1 + scale), mask, words)
        tokens = torch.addcmul(tokens, gate, attended.to(tokens.dtype))
        changed = self.perceptron(torch.addcmul(shift2, self.norm(tokens), 1 + scale2))
        return torch.addcmul(tokens, gate2, changed.to(tokens.dtype))


class Transformer(nn.Module):
    """Velocity of noisy latents.

    Args:
        channels: Of the latents.
        side: Latents along each side.
        patch: Latents along each side of a token.
        width: Of the tokens.
        layers: Blocks.
        heads: Of the attention.
        expansion: Hidden units of a block's perceptron per token channel.
        draft: Hidden units of the perceptron that drafts the latents from text.
    """

    def __init__(
        self,
        channels: int,
        side: int,
        patch: int,
        width: int,
        layers: int,
        heads: int,
        expansion: float,
        draft: int,
    ) -> None:
        super().__init__()
        self._channels, self._side, self._patch = channels, side, patch
        tokens, values = (side // patch) ** 2, channels * patch**2
        self.draft = _Perceptron(width, draft, tokens * values)
        self.lift = nn.Linear(2 * values, width)
        self.positions = nn.Parameter(torch.randn(tokens, width) * 0.1)
        self.time = _Perceptron(2 * _FREQUENCIES, width, width)
        self.text = nn.Linear(width, width)
        self.blocks = nn.ModuleList([_Block(width, heads, expansion) for _ in range(layers)])
        self.norm = _Norm(width)
        self.modulation = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, values)
        for last in (self.modulation, self.out):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def tokens(self, latents: Tensor) -> Tensor:
        """Return `[n, T, channels * patch**2]` for latents `[n, channels, side, side]`."""
        return functional.pixel_unshuffle(latents, self._patch).flatten(2).transpose(1, 2)

    def latents(self, tokens: Tensor) -> Tensor:
        """Undo `tokens`."""
        side = self._side // self._patch
        return functional.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (side, side)), self._patch)

    def forward(self, latents: Tensor, time: Tensor, words: Words) -> Tensor:
        """Return the velocity `[n, channels, side, side]`, from noise at time 0 to pictures at time 1.

        Args:
            latents: `[n, channels, side, side]`.
            time: `[n]`, in 0..1.
            words: Of n rows.
        """
        values = self.tokens(latents)
        draft = self.draft(words.pooled).unflatten(1, values.shape[1:])
        tokens = self.lift(torch.cat([values.to(draft.dtype), draft], dim=2)) + self.positions.to(draft.dtype)
        condition = functional.silu(self.time(_waves(time).to(draft.dtype)) + self.text(words.pooled))
        keys = tokens.shape[1] + words.mask.shape[1]
        mask = torch.zeros(tokens.shape[0], keys, dtype=tokens.dtype, device=tokens.device)
        mask[:, tokens.shape[1] :].masked_fill_(~words.mask, -math.inf)
        for block in self.blocks:
            tokens = block(tokens, condition, words.vectors, mask[:, None, None])
        shift, scale = self.modulation(condition)[:, None].chunk(2, dim=2)
        output = self.out(torch.addcmul(shift, self.norm(tokens), 1 + scale))
        return self.latents(output)


def _waves(time: Tensor) -> Tensor:
    """Return sines and cosines of times `[n]`, `[n, 2 * _FREQUENCIES]`."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), _FREQUENCIES, device=time.device, dtype=time.dtype))
    phases = time[:, None] * frequencies
    return torch.cat([phases.sin(), phases.cos()], dim=1)
