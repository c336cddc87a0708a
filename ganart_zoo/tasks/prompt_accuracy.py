"""How often a generator's picture of a prompt is matched to that prompt among others, by a critic: R-precision.

    from ganart_zoo import Zoo
    from ganart_zoo.running.generators import load_generator
    from ganart_zoo.tasks.prompt_accuracy import prompt_accuracy

    zoo = Zoo()
    prompt_accuracy(load_generator(zoo, "latent_flow"), "text-critic-report", ["red apple", "lion, 3d"])

T. Xu et al., "AttnGAN: Fine-grained text to image generation with attentional generative adversarial networks", CVPR
2018, with 99 wrong prompts per picture as there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.draws import key_generator
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.running.critics import LoadedCritic
from ganart_zoo.running.generators import LoadedGenerator, check_seeds
from ganart_zoo.running.prompts import read_prompt

__all__ = ["AMONG", "PromptAccuracy", "prompt_accuracy", "wilson_interval"]

AMONG = 100
"""Prompts that a picture's own prompt is ranked among, itself included."""


@dataclass(frozen=True)
class PromptAccuracy:
    """Figures, and the facts that belong to them."""

    metrics: Mapping[str, float]
    """`r_precision`: share of pictures whose own prompt scores highest; `r_precision_low` and `r_precision_high`: its
    95 % interval; `within_five`; `mean_rank`, from 1; `chance`: what a critic that cannot read would reach."""
    about: Mapping[str, Any]
    """JSON-ready: generator, critic, counts, seed."""
    stopped: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        return {**self.about, "metrics": dict(self.metrics), "stopped": self.stopped, "seconds": self.seconds}


def prompt_accuracy(
    generator: LoadedGenerator,
    critic: str | Path | LoadedCritic,
    prompts: Sequence[str],
    *,
    seed: int = 0,
    fetch: bool = False,
    on_step: OnStep | None = None,
) -> PromptAccuracy:
    """Paint each prompt once, and rank its own prompt among 99 others for that picture.

    Args:
        generator: It must take prompts. The picture of prompt k has the seed `seed + k`.
        critic: A name, the `Path` of a run, or a loaded critic. It must take prompts, and should not be one that chose
            pictures or trained the generator.
        prompts: At least 2, all different. With fewer than 100, all others are the wrong ones.
        seed: Seed of the first picture, and of the choice of wrong prompts.
        fetch: Download missing weights of the critic.
        on_step: Called after each picture. Returning False ends the work, and the figures are of the pictures so far.

    Raises:
        SettingsError: The generator or the critic takes no prompts, or a prompt does not fit.
        ModelError: A model broke or diverged.
    """
    texts = [read_prompt([prompt]).text for prompt in prompts]
    if len(texts) < 2 or len(set(texts)) < len(texts):
        twice = next((text for text in texts if texts.count(text) > 1), None)
        raise SettingsError(
            f"{len(texts)} prompts were given, expected at least 2"
            if twice is None
            else f"the prompt {twice!r:.60} is given twice; each is ranked among different ones"
        )
    check_seeds(seed, len(texts))
    generator.check_prompt(texts[0])
    judge = critic if isinstance(critic, LoadedCritic) else LoadedCritic.load(generator.zoo, critic, fetch=fetch)
    if "prompt" not in judge.entry.spec.capabilities:
        raise SettingsError(f"{judge.entry.canonical} takes no prompt; name a critic that does, such as text-critic")
    among = min(AMONG, len(texts))
    ranks: list[int] = []
    with generator.work("evaluate", {"prompts": len(texts), "seed": seed}, on_step=on_step) as work:
        for row, text in enumerate(texts):
            with work.calls():
                picture = generator.paint([seed + row], generator.condition(None, text)).clamp(0, 1)
            others = torch.randperm(len(texts) - 1, generator=key_generator(seed, "wrong prompts", row))[: among - 1]
            wrong = [texts[index + (index >= row)] for index in others.tolist()]
            with judge.calls("evaluate"), torch.no_grad():
                condition = judge.model.embed(Condition(prompts=(text, *wrong)))
                scores = judge.score(judge.fit(picture.cpu()).expand(among, -1, -1, -1), condition, repr(text))
            # a tie counts against the picture: a critic that gives every prompt the same score reaches nothing
            ranks.append(1 + int((scores[1:] >= scores[0]).sum()))
            right = sum(rank == 1 for rank in ranks) / len(ranks)
            event = StepEvent.of(row + 1, len(texts), "prompts", {"r_precision": right}, picture=picture)
            if work.steps(event) is False:
                break
    right = sum(rank == 1 for rank in ranks)
    low, high = wilson_interval(right, len(ranks))
    metrics = {
        "r_precision": right / len(ranks),
        "r_precision_low": low,
        "r_precision_high": high,
        "within_five": sum(rank <= 5 for rank in ranks) / len(ranks),
        "mean_rank": sum(ranks) / len(ranks),
        "chance": 1 / among,
    }
    assert generator.model.provenance is not None
    assert judge.model.provenance is not None
    about = {
        "model": generator.model.provenance.to_json(),
        "options": generator.options.model_dump(mode="json"),
        "critic": judge.model.provenance.to_json(),
        "prompts": len(ranks),
        "among": among,
        "seed": seed,
    }
    return PromptAccuracy(metrics, about, work.stopped, work.seconds)


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (E. B. Wilson, 1927).

    >>> low, high = wilson_interval(50, 100)
    >>> round(low, 4), round(high, 4)
    (0.4038, 0.5962)
    """
    z = 1.959963984540054
    share = hits / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    whole = 1 + z * z / trials
    return max(0.0, (centre - spread) / whole), min(1.0, (centre + spread) / whole)
