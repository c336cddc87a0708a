"""The text-to-picture model: a prompt and noise to latents by rectified flow, latents to pictures by the autoencoder.

Rectified flow: Liu et al., "Flow Straight and Fast", 2023, https://arxiv.org/abs/2209.03003. Guidance: Ho and
Salimans, "Classifier-Free Diffusion Guidance", 2022, https://arxiv.org/abs/2207.12598.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_latent_flow.autoencoder import STRIDE, Autoencoder
from ganart_latent_flow.compact import unpack
from ganart_latent_flow.config import Config, Options
from ganart_latent_flow.transformer import TextEncoder, Transformer, Words
from ganart_latent_flow.upscaler import Upscaler
from ganart_zoo.contract import (
    Condition,
    Generator,
    ImageError,
    ModelError,
    OnStep,
    Rng,
    Settings,
    SettingsError,
    StepEvent,
    load_tensors,
    randn,
)
from ganart_zoo.data.captions import features, words
from ganart_zoo.data.word_bags import WordBags, word_bags

__all__ = ["LatentFlow"]

_log = logging.getLogger(__name__)
_SEEN_BITS = 1 << 16
_DECODED_AT_ONCE = 64
_FEATURES_SCALE = 3.0


class LatentFlow(Generator):
    """Paints 64-pixel pictures of prompts; the latents are the noise that the flow starts from.

    The embedding of a condition is `[n, L, word_width + 1]`: the vectors of the prompt's words, and a last channel
    that is 1 where there is a word.

    Args:
        config: What to build.
    """

    seen: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._config = config
        side = config.resolution // STRIDE
        self.latent_shape = (config.latent_channels, side, side)
        self.autoencoder = Autoencoder(
            config.latent_channels, config.encoder_widths, config.decoder_widths, config.decoder_blocks
        )
        self.table = nn.Parameter(torch.randn(config.buckets, config.word_width))
        self.text = TextEncoder(config.word_width, config.width, config.text_layers, config.heads, config.words_placed)
        self.transformer = Transformer(
            config.latent_channels,
            side,
            config.patch,
            config.width,
            config.layers,
            config.heads,
            config.expansion,
            config.draft,
        )
        self.upscaler = Upscaler(config.upscaler_width, config.upscaler_blocks)
        self.register_buffer("seen", torch.zeros(_SEEN_BITS // 8, dtype=torch.uint8))

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load the tensors of all files together, strictly, from floating-point numbers or as `compact.pack` writes.

        The autoencoder, say, may be in a file of its own.

        Raises:
            ModelError: A tensor is missing, unexpected, of another shape, or in two files.
            WeightsError: A file is damaged.
        """
        tensors: dict[str, Tensor] = {}
        for path in files.values():
            part = load_tensors(path)
            if twice := sorted(tensors.keys() & part.keys()):
                raise ModelError(f"{path.name} holds {twice[0]!r}, which another file of these weights holds too")
            tensors |= part
        self.load_own_state(unpack(tensors))

    def sample_latents(self, n: int, *, rng: Rng = None, options: Settings | None = None) -> Tensor:
        """Return the noise `[n, *latent_shape]` that the flow starts from."""
        return randn((n, *self.latent_shape), rng, self.device, self.compute_dtype)

    # -- text

    def learn_words(self, captions: Iterable[str]) -> None:
        """Remember the words of captions as known ones. Training calls it."""
        known = self.seen.cpu()
        for word in {word for caption in captions for word in words(caption)}:
            bit = _bit(word)
            known[bit // 8] |= 1 << bit % 8
        self.seen.copy_(known)

    def unknown_words(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """Return the words of prompts that training did not show, each once, in order of appearance.

        Words are remembered as bits of a hash table, so a few in a hundred unknown words go unnoticed.
        """
        known = self.seen.tolist()
        found = dict.fromkeys(word for prompt in prompts for word in words(prompt))
        return tuple(word for word in found if not known[_bit(word) // 8] >> _bit(word) % 8 & 1)

    def embed_bags(self, bags: WordBags) -> Tensor:
        """Return the embedding of captions that are already hashed."""
        # a mean of many independent rows is short; this gives it about the length of one
        vectors = bags.to(self.table.device).embed(self.table) * _FEATURES_SCALE
        return torch.cat([vectors, bags.mask.to(vectors)[..., None]], dim=2)

    def embed(self, condition: Condition) -> Condition:
        """Return `condition` with its prompts embedded. Words that training never showed are logged as a warning.

        Raises:
            SettingsError: A prompt is too long.
        """
        if condition.embedding is not None or condition.prompts is None:
            return condition
        prompts = list(condition.prompts)
        if any(self.seen.tolist()) and (unknown := self.unknown_words(prompts)):
            _log.warning("words not seen in training, drawn by their spelling: %s", ", ".join(unknown))
        return condition._replace(embedding=self.embed_captions(prompts))

    def embed_captions(self, prompts: Sequence[str]) -> Tensor:
        """Return the embedding of captions, without a word on unknown ones."""
        if not any(map(words, prompts)):
            return self.table.new_zeros(len(prompts), 1, self._config.word_width + 1)
        return self.embed_bags(word_bags(prompts, self._config.buckets))

    def read(self, embedding: Tensor) -> Words:
        """Return what the transformer is given of an embedding `[n, L, word_width + 1]`."""
        found: Words = self.text(embedding[..., :-1], embedding[..., -1] > 0.5)
        return found

    # -- pictures

    def forward(
        self,
        latents: Tensor,
        condition: Condition | None = None,
        *,
        init: Tensor | None = None,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, size, size]`, around 0..1.

        Args:
            latents: The noise to start from, `[n, *latent_shape]`.
            condition: Prompts or an embedding, of 1 or n rows; None paints anything.
            init: Pictures `[1 or n, 3, H, W]` to start from; `options.strength` says how much of them may change.
            rng: Not used: all noise is in the latents.
            options: An `Options`; None for its defaults.
            on_step: Called after each step; a returned False ends with the picture that the flow then points to.

        Raises:
            SettingsError: Latents or options do not fit, or there are neither 1 nor n rows of prompts.
            ImageError: `init` is not such pictures.
        """
        chosen = options if isinstance(options, Options) else Options()
        if latents.shape[1:] != self.latent_shape:
            expected = ", ".join(map(str, self.latent_shape))
            raise SettingsError(f"latents are {list(latents.shape)}, expected [n, {expected}]")
        n = latents.shape[0]  # len() would fix it in an exported network
        if n == 0:
            return self._finish(latents, chosen)
        velocity = self._velocity(n, condition, chosen)
        start, count = 0.0, chosen.steps
        state = latents.to(self.compute_dtype)
        if init is not None:
            start = 1 - chosen.strength
            state = state.lerp(self._encode(init, n), start)
            count = max(1, round(chosen.steps * chosen.strength))
        times = torch.linspace(start, 1.0, count + 1, dtype=torch.float64).tolist()
        for step, (time, following) in enumerate(pairwise(times), start=1):
            slope = velocity(state, time)
            ahead = state + (following - time) * slope
            if chosen.sampler == "heun" and step < count:
                slope = (slope + velocity(ahead, following)) / 2
                ahead = state + (following - time) * slope
            estimate = state + (1 - time) * slope
            state = ahead
            if on_step is not None:
                event = StepEvent(step, count, "denoise", {}, partial(self._preview, estimate, chosen))
                if on_step(event) is False:
                    state = estimate
                    break
        return self._finish(state, chosen)

    def _velocity(self, n: int, condition: Condition | None, options: Options) -> Callable[[Tensor, float], Tensor]:
        """Return the guided velocity of a call as a function of state and time."""
        condition = self.embed(condition) if condition is not None else Condition()
        embedding = condition.embedding if condition.embedding is not None else self.embed_captions([""])
        if embedding.shape[0] not in (1, n):
            raise SettingsError(f"condition: {embedding.shape[0]} rows of prompts for {n} pictures; give 1 or {n}")
        asked = self.read(embedding.to(self.compute_dtype)).rows(n)
        if options.guidance == 1:
            return lambda state, time: self.transformer(state, state.new_full((n,), time), asked)
        avoided = self.read(self.embed_captions([options.negative_prompt]).to(self.compute_dtype)).rows(n)
        both = asked.joined(avoided)

        def guided(state: Tensor, time: float) -> Tensor:
            found = self.transformer(torch.cat([state, state]), state.new_full((2 * n,), time), both)
            towards, away = found[:n], found[n:]
            return away + options.guidance * (towards - away)

        return guided

    def _encode(self, init: Tensor, n: int) -> Tensor:
        if init.ndim != 4 or init.shape[1] != 3 or init.shape[0] not in (1, n) or not init.is_floating_point():
            raise ImageError(
                f"init is {init.dtype} {list(init.shape)}, expected floating point [1 or {n}, 3, H, W] in 0..1"
            )
        side = (self._config.resolution,) * 2
        if tuple(init.shape[2:]) != side:
            init = functional.interpolate(init, size=side, mode="bilinear", antialias=True)
        return self.autoencoder.encode(init.to(self.device, self.compute_dtype)).expand(n, -1, -1, -1)

    def _finish(self, state: Tensor, options: Options) -> Tensor:
        rows = (state,) if torch.compiler.is_exporting() else state.split(_DECODED_AT_ONCE)
        parts = [self._decode(part, options) for part in rows]
        return (torch.cat(parts) if len(parts) != 1 else parts[0]).to(self.picture_dtype)

    def _decode(self, state: Tensor, options: Options) -> Tensor:
        pictures = self.autoencoder.decode(state)
        size = options.size or self._config.resolution
        if size > self._config.resolution:
            pictures = self.upscaler(pictures)
        if pictures.shape[-1] != size:
            shrinks = pictures.shape[-1] > size
            mode = "bilinear" if shrinks else "bicubic"
            pictures = functional.interpolate(pictures, size=(size, size), mode=mode, antialias=shrinks)
        return pictures

    @torch.no_grad()
    def _preview(self, estimate: Tensor, options: Options) -> Tensor:
        return self._finish(estimate.detach(), options).clamp(0, 1)


def _bit(word: str) -> int:
    return features(word, _SEEN_BITS)[0]
