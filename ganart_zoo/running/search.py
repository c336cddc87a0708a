"""Propose and score: pictures of consecutive seeds, the best of them refined, until a budget or a goal is reached.

Only the best few candidates are kept, and a batch is painted at once, so memory does not grow with their number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.draws import key_generator
from ganart_zoo.contract.errors import ModelError, SettingsError
from ganart_zoo.contract.events import StepEvent
from ganart_zoo.contract.models import StyleGenerator
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.contract.rng import randn
from ganart_zoo.imaging.images import resize
from ganart_zoo.perceptual import Adam
from ganart_zoo.running.generators import LoadedGenerator
from ganart_zoo.running.loaded import Work
from ganart_zoo.running.panel import Panel
from ganart_zoo.running.results import check_result

__all__ = ["REFINEMENTS", "Candidate", "Goal", "Refinement", "Search"]

Refinement = Literal["auto", "gradient", "cma", "resample", "none"]
REFINEMENTS: tuple[Refinement, ...] = ("auto", "gradient", "cma", "resample", "none")

_BATCH = 16
_BATCH_PIXELS = 2**18
"""Pictures are painted so many at once that they have about this many pixels together, from 1 to 16."""
_SPARE = 2
"""Pictures kept for each one that is wanted, since a better one may be a near-duplicate of several."""
_ALIKE = 0.008
"""Mean difference, in 0..1, of two thumbnails below which pictures count as near-duplicates."""
_THUMBNAIL = 16
_GRADIENT_RATE = 0.08
_GRADIENT_SHARE = 4
"""A gradient takes the memory of so many pictures."""
_STEPS_PER_PARENT = 8
"""Gradient steps that the budget must allow for each candidate that is refined."""
_LENGTHS = 3 / math.sqrt(2)
"""Three standard deviations of the length of normal noise, which is about the root of a half in any dimension."""
_CMA_SIGMA = 0.4
_CMA_POPULATION = 16
_CMA_DIAGONAL = 400
"""Latents of more numbers are searched with a diagonal covariance, which learns faster."""
_FRAMES = 64


@dataclass(frozen=True, eq=False)
class Candidate:
    """One picture that was scored."""

    seed: int
    """Seed of the proposal, or of the proposal it was refined from."""
    latents: Tensor
    """`[1, *latent_shape]` on the CPU."""
    score: float
    """The panel's score; higher is better."""
    votes: tuple[float, ...]
    """Each critic's score, in the order of the panel."""
    picture: Tensor
    """`[1, 3, H, W]` in 0..1 on the CPU."""
    refined: bool = False


@dataclass(frozen=True, eq=False)
class _Kept:
    """A candidate among the best so far."""

    candidate: Candidate
    thumbnail: Tensor
    order: int


@dataclass(frozen=True)
class Goal:
    """When to stop.

    Raises:
        SettingsError: `check` finds a number out of range.
    """

    proposals: int = 16
    keep: int = 4
    evaluations: int | None = None
    """Pictures to score in all; what remains after the proposals is spent on refining. None: no refining."""
    seconds: float | None = None
    target: float | None = None
    """Stop once the best score is this high."""
    patience: int | None = None
    """While refining, stop after so many evaluations without a better score."""
    repeated: int | None = None
    """Stop after exactly so many evaluations, where work is repeated that was stopped then or reached its goal."""

    def check(self) -> None:
        """Raise SettingsError where a number is out of range."""
        numbers = {"count": self.proposals, "keep": self.keep, "budget": self.evaluations, "patience": self.patience}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}, expected at least 1")
        if self.keep > self.proposals:
            raise SettingsError(f"keep is {self.keep}, expected at most {self.proposals}, as many as are proposed")
        if self.seconds is not None and not self.seconds > 0:
            raise SettingsError(f"seconds is {self.seconds}, expected more than 0")
        if self.target is not None and not math.isfinite(self.target):
            raise SettingsError(f"target is {self.target}, expected a score")


class Search:
    """One search for pictures.

    Args:
        generator: It paints.
        condition: What it is conditioned on, 1 row; None for nothing.
        panel: It scores. Without critics, proposals stay in the order of their seeds.
        goal: When to stop.
        seed: Seed of the first proposal; each following proposal uses the next seed.
        refinement: How candidates are refined. `"auto"`: by gradient where generator and critics are differentiable,
            else by CMA-ES.
        work: Steps are reported to it.

    Raises:
        SettingsError: The refinement does not fit the models, or CMA-ES is not installed.
    """

    def __init__(
        self,
        generator: LoadedGenerator,
        condition: Condition | None,
        panel: Panel,
        goal: Goal,
        seed: int,
        refinement: Refinement,
        work: Work,
    ) -> None:
        self._generator, self._condition, self._panel = generator, condition, panel
        self._goal, self._seed, self._work = goal, seed, work
        self.refinement = self._choose(refinement)
        self._total = max(goal.proposals, goal.evaluations or 0)
        self._began = time.monotonic()
        self.evaluations = 0
        """Pictures scored so far."""
        self.frames: list[Tensor] = []
        """The best picture each time there was a better one, at most 64 of them."""
        self._best: Candidate | None = None
        """For the preview: the best so far, or before scores are comparable the first."""
        self._pool: list[_Kept] = []
        self._order = count()
        self._batch = 1
        self._since_better = 0

    def run(self) -> list[Candidate]:
        """Return the best candidates, the best first, without near-duplicates of better ones; at most `Goal.keep`."""
        self._propose()
        if self.refinement != "none" and not self._done():
            {"gradient": self._by_gradient, "cma": self._by_cma, "resample": self._by_resampling}[self.refinement]()
        return self._best_of_pool(self._goal.keep)

    def paint(self, candidate: Candidate, options: Any) -> Tensor:
        """Return a candidate's picture `[1, 3, H, W]` painted with other options, such as a larger size."""
        with self._work.calls(), torch.no_grad():
            return self._images(candidate.latents, [candidate.seed], options).to("cpu")

    # -- the loop

    def _propose(self) -> None:
        waiting: list[Candidate] = []  # scores are comparable only once they are standardised, over the first of them
        calibrated = False
        first, end = self._seed, self._seed + self._goal.proposals
        while first < end and not self._out_of_time():
            seeds = range(first, min(first + self._batch, end))
            first = seeds.stop
            with self._work.calls(), torch.no_grad():
                latents = torch.cat([self._latents(seed)[0] for seed in seeds])
                images = self._images(latents, seeds, self._generator.options, self._inner)
            if self._work.stopped and self._best is not None:
                break
            waiting += self._scored(images, latents, seeds)
            if not calibrated and self.evaluations >= min(_BATCH, self._goal.proposals):
                self._panel.standardise(_votes(waiting))
                calibrated = True
            if calibrated:
                self._take_scored(waiting)
                waiting = []
            elif self._best is None:
                self._best = waiting[0]
            self._grow_batch(images)
            if self._report("proposals") or self._reached():
                break
        if waiting:
            self._panel.standardise(_votes(waiting))
            self._take_scored(waiting)

    def _by_gradient(self) -> None:
        parents = self._parents()
        latents = torch.cat([parent.latents for parent in parents]).to(self._generator.model.device).detach().clone()
        optimizer = Adam([latents], lr=_GRADIENT_RATE)
        at_once = max(1, self._batch // _GRADIENT_SHARE)
        while not self._done():
            gradients: list[Tensor] = []
            for first in range(0, len(parents), at_once):
                rows = slice(first, first + min(at_once, self._left()))
                seeds = [parent.seed for parent in parents[rows]]
                if not seeds or (gradient := self._gradient(latents[rows], seeds)) is None:
                    return
                gradients.append(gradient)
            if sum(map(len, gradients)) < len(parents):
                return
            latents.grad = torch.cat(gradients)
            optimizer.step()
            latents.copy_(_plausible(latents))
            if self._report("refining by gradient"):
                return

    def _gradient(self, latents: Tensor, seeds: Sequence[int]) -> Tensor | None:
        """Score the pictures of latents; return the gradient of the loss for them, or None where work was stopped."""
        latents = latents.detach().clone().requires_grad_(True)
        with self._work.calls(), torch.enable_grad():
            images = self._images(latents, seeds, self._generator.options, self._inner)
            # what is saved is scored, and the gradient passes where it is clamped too
            shown = images + (images.clamp(0, 1) - images).detach()
            votes = self._panel.votes(shown, "a refined picture")
            totals = self._panel.total(votes)
        if self._work.stopped:
            return None
        if not totals.requires_grad:
            raise ModelError(
                f"no gradient of the score reaches the latents of {self._generator.entry.canonical}, although the "
                "models are declared differentiable; refine with cma"
            )
        self._count(shown.detach(), latents.detach(), seeds, votes.detach(), totals.detach())
        (gradient,) = torch.autograd.grad(-totals.sum(), latents)
        return torch.nan_to_num(gradient)

    def _by_cma(self) -> None:
        import cma  # type: ignore[import-untyped]

        (parent,) = self._parents()[:1]
        shape = parent.latents.shape
        random = key_generator(self._seed, "cma")

        def normal(*shape: int) -> Any:
            return torch.randn(*shape, generator=random, dtype=torch.float64).numpy()

        size = parent.latents.numel()
        options = {
            "seed": math.nan,  # draws come from `randn`, and the global generator is left alone
            "randn": normal,
            "verbose": -9,
            "CMA_diagonal": size > _CMA_DIAGONAL,
            "popsize": _CMA_POPULATION,
        }
        strategy = cma.CMAEvolutionStrategy(parent.latents.double().flatten().numpy(), _CMA_SIGMA, options)
        while not self._done():
            asked = strategy.ask()
            latents = torch.stack([torch.as_tensor(one) for one in asked]).view(-1, *shape[1:]).to(parent.latents.dtype)
            totals = self._evaluate(latents, [parent.seed] * len(latents))
            if totals is None or len(totals) < len(asked):
                return
            strategy.tell(asked, [-total for total in totals])
            if self._report("refining by CMA-ES"):
                return

    def _by_resampling(self) -> None:
        parents = self._parents()
        for turn in count():
            if self._done():
                return
            spread = max(0.1, 0.6 * 0.97**turn)
            seeds = [parents[row % len(parents)].seed for row in range(min(self._batch, self._left()))]
            noise = randn(
                (len(seeds), *parents[0].latents.shape[1:]),
                [key_generator(self._seed, "resample", turn, row) for row in range(len(seeds))],
            ).to(parents[0].latents)
            near = torch.cat([parents[row % len(parents)].latents for row in range(len(seeds))])
            if self._evaluate(math.sqrt(1 - spread**2) * near + spread * noise, seeds) is None:
                return
            parents = self._parents()
            if self._report("refining by resampling"):
                return

    # -- candidates

    def _evaluate(self, latents: Tensor, seeds: Sequence[int]) -> list[float] | None:
        """Return the scores of latents, in batches: fewer where the budget ends; None where the work was stopped."""
        totals: list[float] = []
        for first in range(0, len(latents), self._batch):
            rows = latents[first : first + min(self._batch, self._left())]
            if not len(rows):
                break
            of_rows = seeds[first : first + len(rows)]
            with self._work.calls(), torch.no_grad():
                shown = self._images(rows, of_rows, self._generator.options, self._inner).clamp(0, 1)
                if self._work.stopped:
                    return None
                votes = self._panel.votes(shown, "a refined picture")
            scores = self._panel.total(votes)
            self._count(shown, rows, of_rows, votes, scores)
            totals += scores.tolist()
        return totals

    def _count(self, images: Tensor, latents: Tensor, seeds: Sequence[int], votes: Tensor, totals: Tensor) -> None:
        """Take refined pictures as candidates."""
        self.evaluations += len(images)
        before = self._best
        for row, seed in enumerate(seeds):
            self._take(
                Candidate(
                    seed,
                    latents[row : row + 1].to("cpu", copy=True),
                    float(totals[row]),
                    tuple(votes[row].tolist()),
                    images[row : row + 1].clamp(0, 1).to("cpu", copy=True),
                    refined=True,
                )
            )
        self._since_better = 0 if self._best is not before else self._since_better + len(images)

    def _scored(self, images: Tensor, latents: Tensor, seeds: Sequence[int]) -> list[Candidate]:
        """Return proposals with their votes; their scores come later."""
        self.evaluations += len(images)
        shown = images.clamp(0, 1)
        with torch.no_grad():
            votes = self._panel.votes(shown, f"the picture of seed {seeds[0]}" if len(seeds) == 1 else "the proposals")
        return [
            Candidate(
                seed,
                latents[row : row + 1].to("cpu", copy=True),
                0.0,
                tuple(votes[row].tolist()),
                shown[row : row + 1].to("cpu", copy=True),
            )
            for row, seed in enumerate(seeds)
        ]

    def _take_scored(self, candidates: Sequence[Candidate]) -> None:
        totals = self._panel.total(_votes(candidates)).tolist()
        for candidate, total in zip(candidates, totals, strict=True):
            self._take(replace(candidate, score=total))

    def _take(self, candidate: Candidate) -> None:
        """Keep a candidate if it is among the best so far, and no better one is nearly the same picture.

        Of equal scores, the earlier is the better.
        """
        if not self.frames or self._best is None or candidate.score > self._best.score:
            self._best = candidate
            self._keep_frame(candidate.picture)
        most = _SPARE * self._goal.keep
        if len(self._pool) >= most and candidate.score <= self._pool[-1].candidate.score:
            return
        thumbnail = resize(candidate.picture, (_THUMBNAIL, _THUMBNAIL), mode="bilinear")
        alike = [one for one in self._pool if float((one.thumbnail - thumbnail).abs().mean()) < _ALIKE]
        if any(one.candidate.score >= candidate.score for one in alike):
            return
        # compared by identity, for tensors have no plain equality
        kept = [one for one in self._pool if not any(one is other for other in alike)]
        kept.append(_Kept(candidate, thumbnail, next(self._order)))
        self._pool = sorted(kept, key=lambda one: (-one.candidate.score, one.order))[:most]

    def _keep_frame(self, picture: Tensor) -> None:
        if len(self.frames) < _FRAMES:
            self.frames.append(picture)
        else:  # thin out early ones, and always end with the best
            self.frames = [*self.frames[::2], picture]

    def _best_of_pool(self, number: int) -> list[Candidate]:
        return [one.candidate for one in self._pool[:number]]

    def _parents(self) -> list[Candidate]:
        most = max(1, self._remaining() // _STEPS_PER_PARENT)
        return self._best_of_pool(min(self._goal.keep, most))

    # -- the models

    def _latents(self, seed: int) -> tuple[Tensor, torch.Generator]:
        """Return the latent of a seed, and its generator for the noise that follows."""
        rng = seeded(seed)
        return self._generator.model.sample_latents(1, rng=[rng], options=self._generator.options), rng

    def _images(
        self,
        latents: Tensor,
        seeds: Sequence[int],
        options: Any,
        on_step: Callable[[StepEvent], bool | None] | None = None,
    ) -> Tensor:
        model = self._generator.model
        noise = None if isinstance(model, StyleGenerator) else [self._latents(seed)[1] for seed in seeds]
        images = model(
            latents.to(model.device, model.compute_dtype), self._condition, rng=noise, options=options, on_step=on_step
        )
        return check_result(images, len(latents), warn=False)

    def _grow_batch(self, images: Tensor) -> None:
        self._batch = max(1, min(_BATCH, _BATCH_PIXELS // (images.shape[-2] * images.shape[-1])))

    # -- stopping and reporting

    def _inner(self, event: StepEvent) -> bool | None:
        """Report a step inside a picture: the count of evaluations stays, and the best picture is shown."""
        shown = event.preview if self._best is None else self._preview
        phase = f"picture {self.evaluations + 1}  {event.phase} {event.step}/{event.total or '?'}"
        return self._work.steps(StepEvent(self.evaluations, self._total, phase, self._losses(), shown))

    def _report(self, phase: str) -> bool:
        """Report the evaluations so far; return whether to stop."""
        event = StepEvent(min(self.evaluations, self._total), self._total, phase, self._losses(), self._preview)
        self._work.steps(event)
        return self._work.stopped

    def _losses(self) -> dict[str, float]:
        return {} if self._best is None or not self._panel.judges else {"best": self._best.score}

    def _preview(self) -> Tensor:
        assert self._best is not None
        return self._best.picture

    def _remaining(self) -> int:
        """Return the evaluations that the budget leaves; it decides how many candidates are refined."""
        return max(0, (self._goal.evaluations or 0) - self.evaluations)

    def _left(self) -> int:
        """Return the evaluations that may still be done."""
        ends = self._goal.repeated
        return self._remaining() if ends is None else min(self._remaining(), max(0, ends - self.evaluations))

    def _reached(self) -> bool:
        return self._goal.target is not None and self._best is not None and self._best.score >= self._goal.target

    def _out_of_time(self) -> bool:
        # at least one picture is painted, however little time there is
        spent = time.monotonic() - self._began
        return self._goal.seconds is not None and self._best is not None and spent > self._goal.seconds

    def _done(self) -> bool:
        tired = self._goal.patience is not None and self._since_better >= self._goal.patience
        return self._left() == 0 or tired or self._work.stopped or self._reached() or self._out_of_time()

    def _choose(self, refinement: Refinement) -> Refinement:
        if refinement not in REFINEMENTS:
            raise SettingsError(f"refinement is {refinement!r}, expected one of {', '.join(REFINEMENTS)}")
        more = (self._goal.evaluations or 0) > self._goal.proposals
        if not more or not self._panel.judges:
            return "none"
        name = self._generator.entry.canonical
        differentiable = "differentiable" in self._generator.entry.spec.capabilities and self._panel.differentiable
        chosen = ("gradient" if differentiable else "cma") if refinement == "auto" else refinement
        if chosen == "gradient" and not differentiable:
            raise SettingsError(f"{name} or a critic is not differentiable; refine with cma or resample")
        if chosen == "cma":
            try:
                import cma  # noqa: F401  only checks that it is installed
            except ImportError:
                if refinement == "auto":
                    return "resample"
                raise SettingsError("CMA-ES needs cma; pip install 'ganart-zoo[search]', or use resample") from None
        return chosen


def _votes(candidates: Sequence[Candidate]) -> Tensor:
    """Return `[n, critics]`."""
    return torch.tensor([candidate.votes for candidate in candidates], dtype=torch.float64).view(len(candidates), -1)


def _plausible(latents: Tensor) -> Tensor:
    """Return latents no longer or shorter than normal noise is, within three standard deviations of its length.

    Generators were trained on such noise, and paint worse pictures of any other.
    """
    usual = math.sqrt(latents[0].numel())
    norms = latents.flatten(1).norm(dim=1).view(-1, *[1] * (latents.ndim - 1)).clamp_min(1e-12)
    scale: Tensor = norms.clamp(max(0.0, usual - _LENGTHS), usual + _LENGTHS) / norms
    return latents * scale
