"""Several critics that score pictures together, each against a prompt, a class or a reference picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import ModelError, SettingsError
from ganart_zoo.imaging.images import resize
from ganart_zoo.registry import Zoo
from ganart_zoo.running.critics import LoadedCritic
from ganart_zoo.running.prompts import Prompt

__all__ = ["CriticChoice", "Judge", "Panel", "default_critics", "load_critics"]

_DISTRIBUTION = "ganart-text-critic"
_BY_PROMPT, _BY_REFERENCE = f"{_DISTRIBUTION}/text-critic", f"{_DISTRIBUTION}/reference"


@dataclass(frozen=True)
class CriticChoice:
    """A critic to score with."""

    model: str | Path
    """A name, or the folder of a run."""
    weight: float = 1.0
    """Its share in the score."""
    settings: Mapping[str, Any] | None = None
    """Its config, the models it uses, and `weights`."""
    loaded: LoadedCritic | None = field(default=None, compare=False, repr=False)
    """The critic, where it is loaded already."""

    def to_json(self) -> dict[str, Any]:
        """Return the choice as JSON data, for a record."""
        settings = {
            name: str(value) if isinstance(value, Path) else value for name, value in (self.settings or {}).items()
        }
        return {
            "model": str(self.model),
            "run": isinstance(self.model, Path),
            "weight": self.weight,
            "settings": settings,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CriticChoice:
        """Return the choice that `to_json` described."""
        model = Path(data["model"]) if data["run"] else data["model"]
        return cls(model, data["weight"], dict(data["settings"]))


def default_critics(zoo: Zoo, *, prompt: bool, reference: bool) -> tuple[CriticChoice, ...]:
    """Return the critics of `ganart-text-critic` for what is given; none where that package is not installed."""
    # a critic that is trained must bring weights: an untrained one would choose at random
    installed = {
        entry.canonical
        for entry in zoo.list(kind="critic")
        if entry.spec.weights or "trainable" not in entry.spec.capabilities
    }
    wanted = [*([_BY_PROMPT] if prompt else []), *([_BY_REFERENCE] if reference else [])]
    return tuple(CriticChoice(name) for name in wanted if name in installed)


def load_critics(
    zoo: Zoo, choices: Sequence[CriticChoice], *, device: str | torch.device, fetch: bool
) -> tuple[CriticChoice, ...]:
    """Return the choices with their critics loaded.

    Raises:
        SettingsError: A weight is 0 or not finite.
        GanartError: A critic cannot be built; see `Zoo.create`.
    """
    return tuple(_with_critic(zoo, choice, device, fetch) for choice in choices)


def _with_critic(zoo: Zoo, choice: CriticChoice, device: str | torch.device, fetch: bool) -> CriticChoice:
    if not (math.isfinite(choice.weight) and choice.weight):
        raise SettingsError(
            f"the weight of critic {choice.model} is {choice.weight}, expected a finite number other than 0"
        )
    if choice.loaded is not None:
        return choice
    settings = dict(choice.settings or {})
    weights = settings.pop("weights", "default")
    critic = LoadedCritic.load(zoo, choice.model, settings=settings, weights=weights, device=device, fetch=fetch)
    return replace(choice, loaded=critic)


class Judge:
    """One critic and what it compares pictures with.

    Args:
        critic: The critic.
        share: Its share in the score of a panel.
        prompt: What the pictures should show, for a critic that takes a prompt.
        label: The class to judge pictures as, for a critic with classes.
        reference: `[1, 3, H, W]`, for a critic that takes a reference.

    Raises:
        SettingsError: The critic needs something that is missing, or takes nothing of what is given.
    """

    def __init__(
        self,
        critic: LoadedCritic,
        share: float,
        prompt: Prompt | None,
        label: int | str | None,
        reference: Tensor | None,
    ) -> None:
        self.critic, self.share = critic, share
        can, name = critic.entry.spec.capabilities, critic.entry.canonical
        takes = {"prompt": prompt is not None, "labels": label is not None, "reference": reference is not None}
        used = {what for what, given in takes.items() if given and what in can}
        needed = [what for what in takes if what in can]
        if needed and not used and "unconditional" not in can:
            ways = {"prompt": "a prompt", "labels": "a class", "reference": "a reference picture"}
            raise SettingsError(
                f"{name} scores pictures against {' or '.join(ways[what] for what in needed)}; give one"
            )
        labelled = critic.condition(label) if "labels" in used else None
        base = Condition() if labelled is None else labelled
        if reference is not None and "reference" in used:
            seen = self._as_seen(reference.to(critic.model.device, critic.model.picture_dtype))
            base = base._replace(images=seen)
        parts = prompt.parts if prompt is not None and "prompt" in used else ()
        whole = sum(abs(part.weight) for part in parts)
        self._conditions: list[tuple[float, Condition | None]] = []
        with critic.calls("imagine"), torch.no_grad():
            for part in parts:
                condition = critic.model.embed(base._replace(prompts=(part.text,)))
                self._conditions.append((part.weight / whole, condition))
            if not parts:
                self._conditions.append((1.0, critic.model.embed(base) if used else None))

    def score(self, images: Tensor, what: str) -> Tensor:
        """Return scores `[n]`, float64 on the CPU; differentiable where the critic is.

        Args:
            images: `[n, 3, H, W]` in 0..1.
            what: What a message calls the pictures.
        """
        seen = self._as_seen(images)
        scores = [weight * self.critic.score(seen, condition, what) for weight, condition in self._conditions]
        return torch.stack(scores).sum(dim=0)

    def _as_seen(self, images: Tensor) -> Tensor:
        """Return the pictures as squares of the critic's `resolution`, if it has one."""
        side = getattr(self.critic.model.config, "resolution", None)
        if side is None:
            return images
        height, width = images.shape[-2:]
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        return resize(images[..., top : top + short, left : left + short], (side, side))


class Panel:
    """Critics that score pictures together.

    The scores of several critics are standardised over the first proposals, so that none counts more because its
    votes are larger. Those of one critic stay as they are.
    """

    def __init__(self, judges: Sequence[Judge]) -> None:
        self.judges = tuple(judges)
        self._centre = torch.zeros(len(judges), dtype=torch.float64)
        self._spread = torch.ones(len(judges), dtype=torch.float64)
        self._shares = torch.tensor([judge.share for judge in judges], dtype=torch.float64)
        if len(judges):
            self._shares /= self._shares.abs().sum()

    @classmethod
    def of(
        cls,
        choices: Sequence[CriticChoice],
        *,
        prompt: Prompt | None = None,
        label: int | str | None = None,
        reference: Tensor | None = None,
    ) -> Panel:
        """Return a panel of loaded critics; errors as those of `Judge`."""
        return cls(
            [Judge(one.loaded, one.weight, prompt, label, reference) for one in choices if one.loaded is not None]
        )

    @property
    def differentiable(self) -> bool:
        """Whether gradients of the score reach the pictures."""
        return bool(self.judges) and all(
            "differentiable" in judge.critic.entry.spec.capabilities for judge in self.judges
        )

    def votes(self, images: Tensor, what: str) -> Tensor:
        """Return each critic's scores, `[n, critics]`, float64 on the CPU."""
        if not self.judges:
            return torch.zeros(len(images), 0, dtype=torch.float64)
        columns = []
        for judge in self.judges:
            with judge.critic.calls("imagine", size=(images.shape[3], images.shape[2])):
                columns.append(judge.score(images, what))
        return torch.stack(columns, dim=1)

    def standardise(self, votes: Tensor) -> None:
        """Take the means and standard deviations of the first proposals' votes `[n, critics]`.

        Raises:
            ModelError: There are four proposals or more, and a critic gives all of them the same score.
        """
        for column, judge in enumerate(self.judges):
            values = votes[:, column]
            if len(values) >= 4 and float(values.max()) == float(values.min()):
                raise ModelError(
                    f"{judge.critic.entry.canonical} gives all of the first {len(values)} pictures the score "
                    f"{float(values[0]):.4g}, so it cannot choose; use another critic"
                )
        if len(self.judges) > 1 and len(votes) > 1:
            self._centre, self._spread = votes.mean(dim=0), votes.std(dim=0).clamp_min(1e-12)

    def total(self, votes: Tensor) -> Tensor:
        """Return the panel's scores `[n]` of votes `[n, critics]`; zeros without critics."""
        return ((votes - self._centre) / self._spread) @ self._shares
