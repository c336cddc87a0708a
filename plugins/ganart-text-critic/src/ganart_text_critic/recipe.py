"""The recipe `text-critic`: two towers that learn to tell pictures' captions from those of other pictures.

InfoNCE over the batch in both directions (Radford et al. 2021, https://arxiv.org/abs/2103.00020), with captions that
are wrong in one detail as further candidates of each picture (as in Yuksekgonul et al. 2023,
https://arxiv.org/abs/2210.01936).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ganart_text_critic.changes import mention, misspelled, vary, wear, without_style, wrong_captions
from ganart_text_critic.recipe_config import TextCriticRecipeConfig
from ganart_text_critic.retrieval import r_precision
from ganart_text_critic.towers import TwoTowers, Vectors
from ganart_zoo.contract import Condition, ImageError, Model, ModelError
from ganart_zoo.contract.draws import key_seed
from ganart_zoo.data import Batch, Data
from ganart_zoo.data.captions import words
from ganart_zoo.data.variations import HUES, PLACES
from ganart_zoo.training import Recipe

__all__ = ["TextCriticRecipe"]

_BETAS = (0.9, 0.98)
_READ = 50_000
"""Pictures whose captions are read for the list of words, at most."""
_PREVIEW_ROWS = 8
_CHUNK = 64


class TextCriticRecipe(Recipe):
    """Trains a critic of picture and text.

    Args:
        config: How it learns.
        networks: `"critic"`.
    """

    takes = ("prompt",)
    needs = ("prompt",)
    requires: ClassVar[Mapping[str, Sequence[str]]] = {"critic": ("trainable", "prompt")}
    preview_columns = _PREVIEW_ROWS
    config: TextCriticRecipeConfig

    def __init__(self, config: TextCriticRecipeConfig, networks: Mapping[str, Model]) -> None:
        super().__init__(config, networks)
        critic = networks["critic"]
        if not isinstance(critic, TwoTowers):
            raise ModelError(
                f"the recipe text-critic trains critics of two towers, and {type(critic).__name__} is none"
            )
        self.critic = critic

    @classmethod
    def network_settings(cls, role: str, config: Any, data: Data, conditions: Sequence[str]) -> dict[str, Any]:
        """Return nothing: critics scale pictures of any size to their own."""
        return {}

    def begin(self) -> None:
        """Make the optimizer. Matrices but the table of words are pulled towards zero."""
        decayed = [p for name, p in self.critic.named_parameters() if p.requires_grad and _decays(name, p)]
        kept = [p for name, p in self.critic.named_parameters() if p.requires_grad and not _decays(name, p)]
        groups = [{"params": decayed, "weight_decay": self.config.decay}, {"params": kept, "weight_decay": 0.0}]
        self._optimizer = self.engine.optimizer("critic", torch.optim.AdamW(groups, self.config.rate, _BETAS))
        self._network = self.engine.wrap("critic")

    def step(self, batches: Sequence[Batch]) -> Mapping[str, Tensor | float]:
        """Learn from one batch; return the loss, the share of pictures that find their caption, and the scale."""
        losses, hits = [], []
        for part in self.engine.parts(batches, "critic"):
            assert part.condition is not None
            assert part.condition.prompts is not None
            key = (self.config.seed, "changes", self.engine.steps_done)
            rows = [Random(key_seed(*key, row)) for row in part.rows]
            images, fulls = vary(
                part.images,
                part.condition.prompts,
                rows,
                recoloured=self.config.recolour,
                placed=self.config.place,
                mirror=self.config.mirror,
            )
            images = wear(images, rows, self.engine.generators(part.rows, "noise"))
            captions = [without_style(text, rng, self.config.drop_style) for text, rng in zip(fulls, rows, strict=True)]
            wrong = [wrong_captions(text, rng, self.config.wrong) for text, rng in zip(captions, rows, strict=True)]
            owners = [row for row, texts in enumerate(wrong) for _ in texts]
            true = mention(captions, fulls)
            captions = [misspelled(text, rng, self.config.misspell) for text, rng in zip(captions, rows, strict=True)]
            prompts = [*captions, *(text for texts in wrong for text in texts)]
            with self.engine.autocast():
                vectors = self._network(images, Condition(prompts=prompts), contrast=True)
            loss, hit = contrastive_loss(vectors, true, owners)
            self.engine.backward(loss)
            losses.append(loss.detach())
            hits.append(hit)
        self.engine.step(self._optimizer)
        return {
            "loss": torch.stack(losses).mean(),
            "found": torch.stack(hits).mean(),
            "scale": self.critic.log_scale.detach().exp(),
        }

    @torch.no_grad()
    def preview(self) -> Tensor:
        """Return eight rows of pictures: for one caption each, the eight of 256 that score highest."""
        images, captions = self._examples(256)
        scores = self._scores(images, captions[:_PREVIEW_ROWS])
        best = scores.T.topk(min(_PREVIEW_ROWS, len(images)), dim=1).indices.flatten()
        return images[best.cpu()]

    @torch.no_grad()
    def measure(self) -> Mapping[str, float]:
        """Return the share of pictures whose own caption is not first of 100."""
        images, captions = self._examples(self.config.measured)
        right = r_precision(self._scores(images, captions), captions)
        return {"retrieval_error": 1 - float(right.double().mean())}

    def finish(self) -> None:
        """Calibrate the average's votes and write down the words it knows."""
        critic = self.engine.average()
        assert isinstance(critic, TwoTowers)
        counts: Counter[str] = Counter()
        for number, sample in enumerate(self.engine.data.once()):
            if number == _READ:
                break
            if not isinstance(sample, ImageError) and sample.prompt is not None:
                counts.update(words(sample.prompt))
        for said, share in ((HUES, self.config.recolour), (PLACES, self.config.place)):
            if share:
                counts.update(word for text in said for word in words(text))
        critic.set_vocabulary(word for word, _ in counts.most_common())
        images, captions = self._examples(len(critic.picture_bank))
        critic.set_banks(images.to(critic.device, critic.picture_dtype), captions)

    def _examples(self, n: int) -> tuple[Tensor, list[str]]:
        batch = self.engine.examples(n)
        assert batch.prompts is not None
        return batch.images.to(torch.float32).div(255), list(batch.prompts)

    def _scores(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """Return similarities `[pictures, captions]` by the average."""
        critic = self.engine.average()
        assert isinstance(critic, TwoTowers)
        texts = critic.text_vectors(captions)
        parts = images.to(critic.device, critic.picture_dtype).split(_CHUNK)
        return torch.cat([critic.picture_vectors(part) @ texts.T for part in parts]).float().cpu()


def contrastive_loss(vectors: Vectors, true: Tensor, owners: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return InfoNCE, the mean of both directions, and the share of pictures that find their own caption first.

    Args:
        vectors: Of n pictures, and of their n captions followed by wrong ones.
        true: Bool `[n, n]`: caption j is true of picture i; those off the diagonal do not count as wrong.
        owners: The picture that each wrong caption belongs to; it is a candidate of that picture alone.
    """
    n = len(vectors.pictures)
    similarities = vectors.scale.float() * (vectors.pictures.float() @ vectors.texts.float().T)
    own = torch.eye(n, dtype=torch.bool)
    out = torch.ones(similarities.shape, dtype=torch.bool)
    out[:, :n] = true & ~own
    out[torch.tensor(owners, dtype=torch.int64), torch.arange(n, n + len(owners))] = False
    out = out.to(similarities.device)
    candidates = similarities.masked_fill(out, -torch.inf)
    target = torch.arange(n, device=similarities.device)
    loss = functional.cross_entropy(candidates, target) + functional.cross_entropy(candidates[:, :n].T, target)
    return loss / 2, (candidates.detach().argmax(dim=1) == target).float().mean()


def _decays(name: str, parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and not name.endswith(("table", "places"))
