"""The recipes of autoencoder and flow: the one learns by pixels and features, the other by its velocity."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganart_latent_flow.config import Options
from ganart_latent_flow.learning import BETAS, LatentRecipe
from ganart_latent_flow.model import LatentFlow
from ganart_latent_flow.training_config import AutoencoderConfig, FlowConfig
from ganart_zoo.contract import Backbone, Model, randn
from ganart_zoo.contract.draws import uniforms
from ganart_zoo.data.pictures import Batch
from ganart_zoo.data.variations import (
    HUES,
    PLACES,
    chroma,
    held_out_colour,
    place,
    placed_caption,
    recolour,
    recoloured_caption,
)

__all__ = ["LatentAutoencoder", "LatentFlowRecipe", "feature_difference", "flow_loss"]

_LEAST_CHROMA = 0.15
_MOST_CACHED = 150_000
_STATISTICS_RATE = 0.01
_BYTES_PER_CACHED_VALUE = 4


def feature_difference(backbone: Backbone, layers: Sequence[str], pictures: Tensor, originals: Tensor) -> Tensor:
    """Return the mean absolute difference of features, each layer relative to the mean size of the originals' own.

    Args:
        backbone: Frozen.
        layers: Of it.
        pictures: `[n, 3, H, W]`; gradients reach them.
        originals: `[n, 3, H, W]`.
    """
    with torch.no_grad():
        expected = backbone(originals, layers)
    found = backbone(pictures, layers)
    terms = [
        (found[layer] - expected[layer]).float().abs().mean() / expected[layer].float().abs().mean().clamp(min=1e-6)
        for layer in layers
    ]
    return torch.stack(terms).mean()


def flow_loss(model: LatentFlow, latents: Tensor, embedding: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """Return the squared error of the velocity, averaged, of the straight path from noise to latents.

    Args:
        model: The model.
        latents: `[n, *model.latent_shape]`, at time 1.
        embedding: Of n captions.
        noise: As `latents`, at time 0.
        time: `[n]`.
    """
    share = time.view(-1, 1, 1, 1)
    velocity = model.transformer(noise.lerp(latents, share), time, model.read(embedding))
    return (velocity.to(latents.dtype) - (latents - noise)).square().mean()


class LatentAutoencoder(LatentRecipe):
    """Trains the autoencoder of a latent flow to rebuild pictures.

    Args:
        config: How it learns.
        networks: `"generator"`, a latent flow.
        backbone: Whose features a rebuilt picture must share with its original.
    """

    takes: ClassVar[Sequence[str]] = ()
    config: AutoencoderConfig

    def __init__(self, config: AutoencoderConfig, networks: Mapping[str, Model], *, backbone: Model) -> None:
        super().__init__(config, networks, backbone=backbone)
        assert isinstance(backbone, Backbone)
        self.backbone = backbone
        self.layers = backbone.role_layers("style")

    def begin(self) -> None:
        """Make the optimizer and take the pictures of the sample grid."""
        autoencoder = self.generator.autoencoder
        self.generator.requires_grad_(False)
        trained: nn.Module = autoencoder if self.config.train_encoder else autoencoder.decoder
        trained.requires_grad_(True)
        self._optimizer = self.engine.optimizer(
            "generator", torch.optim.AdamW(trained.parameters(), self.config.rate, BETAS, weight_decay=1e-4)
        )
        half = max(1, self.config.samples // 2)
        self._shown = self.engine.pictures(self.engine.examples(half))
        self.preview_columns = 2 * math.ceil(math.sqrt(half / 2))

    def step(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Rebuild one batch."""
        terms: dict[str, Tensor] = {}
        for part in self.engine.parts(batches, "generator"):
            rng = self.engine.generators(part.rows, "noise")
            amount = uniforms(part.rows, 1, self.config.seed, "amount", self.engine.steps_done).to(part.images)
            with self.engine.autocast():
                latents = self._latents(part.images)
                noise = randn(latents.shape, rng, latents.device, latents.dtype)
                latents = latents + self.config.noise * amount.view(-1, 1, 1, 1) * noise
                pictures = self.generator.autoencoder.decode(latents)
            pictures = pictures.to(part.images.dtype)
            pixels = (pictures - part.images).abs().mean()
            features = feature_difference(self.backbone, self.layers, pictures, part.images)
            self.engine.backward(self.config.pixel_weight * pixels + self.config.feature_weight * features)
            for name, term in (("pixels", pixels), ("features", features)):
                terms[name] = terms.get(name, 0) + term.detach() / self.config.accumulate
        self.descend()
        return terms

    def preview(self) -> Tensor:
        """Return originals, each followed by what the averaged model makes of it."""
        model = self.averaged_model().autoencoder
        with torch.no_grad():
            rebuilt = model.decode(model.encode(self._shown))
        return torch.stack([self._shown, rebuilt.to(self._shown.dtype)], dim=1).flatten(0, 1).clamp(0, 1).cpu()

    def _latents(self, pictures: Tensor) -> Tensor:
        autoencoder = self.generator.autoencoder
        if not self.config.train_encoder:
            with torch.no_grad():
                return autoencoder.encode(pictures).to(pictures.dtype)
        latents: Tensor = autoencoder.encoder(pictures).to(pictures.dtype)
        with torch.no_grad():
            mean, std = self.engine.mean(torch.stack([latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))]))
            autoencoder.mean.lerp_(mean, _STATISTICS_RATE)
            autoencoder.std.lerp_(std, _STATISTICS_RATE)
        return autoencoder.normalise(latents)


class LatentFlowRecipe(LatentRecipe):
    """Trains the text encoder and the transformer of a latent flow on captioned pictures; the autoencoder is frozen.

    Args:
        config: How it learns.
        networks: `"generator"`, a latent flow.
    """

    takes: ClassVar[Sequence[str]] = ("prompt",)
    needs: ClassVar[Sequence[str]] = ("prompt",)
    config: FlowConfig

    def begin(self) -> None:
        """Make the optimizer, and the noise and prompts of the sample grid."""
        model, config = self.generator, self.config
        for frozen in (model.autoencoder, model.upscaler):
            frozen.requires_grad_(False)
        learned = [*model.text.parameters(), *model.transformer.parameters()]
        groups = [
            {"params": learned, "weight_decay": 0.01},
            {"params": [model.table], "lr": config.rate * config.table_rate, "weight_decay": 0.0},
        ]
        self._optimizer = self.engine.optimizer("generator", torch.optim.AdamW(groups, config.rate, BETAS))
        self._cached: dict[bytes, Tensor] = {}
        count = config.samples
        self._prompts = self.engine.fixed_condition(count)
        self._noise = model.sample_latents(count, rng=self.engine.generators(range(count), "grid"))

    def step(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Learn the velocity at one time for each picture of a batch."""
        config, step = self.config, self.engine.steps_done
        whole: Tensor | None = None
        for batch, part in zip(batches, self.engine.parts(batches, "generator"), strict=True):
            assert batch.prompts is not None  # `needs` says so
            rng = self.engine.generators(part.rows, "flow")
            chance = uniforms(part.rows, 4, config.seed, "choices", step)
            images, captions = self._varied(part.images, list(batch.prompts), chance)
            self.generator.learn_words(captions)
            captions = [
                "" if dropped < config.no_prompt else caption
                for caption, dropped in zip(captions, chance[:, 0].tolist(), strict=True)
            ]
            latents = self._latents(images)
            drawn = randn((len(latents), latents[0].numel() + 1), rng, latents.device, latents.dtype)
            noise, time = drawn[:, 1:].view_as(latents), torch.sigmoid(drawn[:, 0] + config.time_mean)
            with self.engine.autocast():
                embedding = self.generator.embed_captions(captions)
                loss = flow_loss(self.generator, latents, embedding, noise, time)
            self.engine.backward(loss)
            share = loss.detach() / config.accumulate
            whole = share if whole is None else whole + share
        assert whole is not None  # a batch has at least one part
        self.descend()
        return {"velocity": whole}

    def preview(self) -> Tensor:
        """Return pictures of the data's first prompts by the averaged model, from the same noise each time."""
        with torch.no_grad():
            pictures = self.averaged_model()(self._noise, self._prompts, options=Options())
        return pictures.clamp(0, 1).cpu()

    def finish(self) -> None:
        """Give the average the words that were learned; averaging leaves them as they were."""
        self.averaged_model().seen.copy_(self.generator.seen)

    def dry_run(self) -> dict[str, Any]:
        """Return what every recipe of the plugin does, and how much memory the cached latents take."""
        report = super().dry_run()
        values = math.prod(self.generator.latent_shape) * _BYTES_PER_CACHED_VALUE
        report["megabytes_of_cached_latents"] = round(min(report["pictures"], _MOST_CACHED) * values / 1e6, 1)
        return report

    def _varied(self, images: Tensor, captions: list[str], chance: Tensor) -> tuple[Tensor, list[str]]:
        """Shorten some captions; recolour or place some pictures, and say so in their captions."""
        share = self.config.vary
        varied = images.clone()
        for row, (_, kind, which, cut) in enumerate(chance.tolist()):
            one = images[row : row + 1]
            if cut < self.config.shorten:
                captions[row] = captions[row].partition(",")[0]
            colour = list(HUES)[int(which * len(HUES))]
            if kind < share / 2 and float(chroma(one)) > _LEAST_CHROMA:
                if held_out_colour(captions[row].partition(",")[0], colour):
                    continue
                varied[row : row + 1] = recolour(one, colour)
                captions[row] = recoloured_caption(captions[row], colour)
            elif share / 2 <= kind < share:
                where = list(PLACES)[int(which * len(PLACES))]
                varied[row : row + 1] = place(one, where)
                captions[row] = placed_caption(captions[row], where)
        return varied, captions

    @torch.no_grad()
    def _latents(self, images: Tensor) -> Tensor:
        """Encode pictures, each only the first time that it is met."""
        keys = [hashlib.blake2b(image.cpu().numpy().tobytes(), digest_size=16).digest() for image in images]
        if len(self._cached) + len(keys) > _MOST_CACHED:
            self._cached.clear()
        for row, key in enumerate(keys):
            if key not in self._cached:
                # one at a time, since the last bits depend on how many are encoded together
                self._cached[key] = self.generator.autoencoder.encode(images[row : row + 1])[0].cpu()
        return torch.stack([self._cached[key] for key in keys]).to(images)
