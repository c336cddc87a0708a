"""The two networks, their optimizers, and one round of their game: what happens at each step of a training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.draws import row_generators, uniforms
from ganart_zoo.contract.errors import ModelError
from ganart_zoo.contract.models import Critic, CriticOutput, Generator, StyleGenerator
from ganart_zoo.contract.rng import randn
from ganart_zoo.data.pictures import Batch, Share
from ganart_zoo.training.augment import AdaptiveProbability, Augment
from ganart_zoo.training.checkpoint import load_optimizer, optimizer_tensors, prefixed, under
from ganart_zoo.training.config import Penalty, TrainConfig
from ganart_zoo.training.losses import LOSSES
from ganart_zoo.training.regularizers import gradient_penalty, path_lengths, slope_penalty
from ganart_zoo.training.schedules import falling_weight, rate_factor

__all__ = ["Adversaries"]

_PATH_MEAN_RATE = 0.01
"""How fast the running mean of path lengths follows (Karras et al. 2020), which it does after the step."""
_ADAM_EPSILON = 1e-8


class Adversaries:
    """A generator and a critic that learn from each other.

    Each network's terms of a step go into one sum and one backward pass, so that DDP averages gradients once.

    Args:
        generator: In train mode, on its device.
        critic: Likewise.
        config: How they learn.
        conditions: Which parts of a batch both are told: of `"labels"` and `"prompt"`.
        accelerator: Wraps them for several processes.
        share: Which rows of the global batch this process computes.
    """

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        config: TrainConfig,
        conditions: frozenset[str],
        accelerator: Accelerator,
        share: Share,
    ) -> None:
        self.generator = generator
        self.critic = critic
        self._config = config
        self._conditions = conditions
        self._accelerator = accelerator
        self._share = share
        self._device = accelerator.device
        self._loss = LOSSES[config.loss]
        self._augment = Augment(config.augment.policy)
        self.adaptive = AdaptiveProbability(
            config.augment.probability, config.augment.target, config.augment.speed, config.augment.interval
        )
        self._path_mean = 0.0
        self._sign_sum, self._signs = 0.0, 0
        self._generator_optimizer = _adam(generator, config)
        self._critic_optimizer = _adam(critic, config)
        # what DDP wraps sums gradients over processes; the other side's pass goes through the bare network
        self._generator_wrapped = self._wrapped(generator)
        self._critic_wrapped = self._wrapped(critic)

    def round(self, step: int, turns: Sequence[Sequence[Batch]]) -> dict[str, Tensor]:
        """Let the critic learn once a turn, then the generator once; return the terms of this process' losses.

        Args:
            step: From 0.
            turns: For each step of the critic, the parts of its batch. The generator's own step meets the last ones.
        """
        self._set_rates(step)
        terms: dict[str, Tensor] = {}
        for turn, batches in enumerate(turns):
            terms = self._critic_turn(step, turn, batches)
        return terms | self._generator_turn(step, turns[-1])

    def state(self) -> dict[str, Tensor]:
        """Return all that the next round depends on."""
        scalars = torch.tensor(
            [self._path_mean, self.adaptive.probability, self._sign_sum, self._signs], dtype=torch.float64
        )
        return {
            **prefixed("generator", self.generator.own_state()),
            **prefixed("critic", self.critic.own_state()),
            **prefixed("generator_optimizer", optimizer_tensors(self._generator_optimizer)),
            **prefixed("critic_optimizer", optimizer_tensors(self._critic_optimizer)),
            "scalars": scalars,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Load what `state` gave.

        Raises:
            ModelError: The networks differ.
        """
        self.generator.load_own_state(under("generator", state))
        self.critic.load_own_state(under("critic", state))
        load_optimizer(self._generator_optimizer, under("generator_optimizer", state))
        load_optimizer(self._critic_optimizer, under("critic_optimizer", state))
        self._path_mean, self.adaptive.probability, self._sign_sum, signs = state["scalars"].tolist()
        self._signs = int(signs)

    def _wrapped(self, network: Generator | Critic) -> nn.Module:
        wrapped: nn.Module = self._accelerator.prepare_model(network)
        if isinstance(wrapped, nn.parallel.DistributedDataParallel):
            # broadcasting buffers between the passes of one step would change what autograd saved
            wrapped.broadcast_buffers = False
        return wrapped

    def _critic_turn(self, step: int, turn: int, batches: Sequence[Batch]) -> dict[str, Tensor]:
        config = self._config
        r1, r2 = self._weight(config.r1, step), self._weight(config.r2, step)
        gp = self._weight(config.gradient_penalty, step)
        self.generator.requires_grad_(False)
        self.critic.requires_grad_(True)
        self._critic_optimizer.zero_grad()
        terms: dict[str, Tensor] = {}
        for part, batch in enumerate(batches):
            rows = self._share.part(part)
            condition = self._condition(batch)
            real = self._pictures(batch).requires_grad_(r1 > 0)
            with torch.no_grad():
                fake = self._generate(rows, condition, "critic", step, turn)
            fake.requires_grad_(r2 > 0)
            with self._gradients_of(self._critic_wrapped, last=part == len(batches) - 1):
                with self._autocast():
                    real_votes, own = self._votes(real, condition, rows, "real", step, turn)
                    fake_votes, _ = self._votes(fake, condition, rows, "fake", step, turn)
                    found = {"critic": (1.0, self._loss.critic(real_votes, fake_votes))}
                    # what a critic learns besides (to rebuild a picture, say) it learns from real ones
                    found |= {f"critic_{name}": (1.0, term) for name, term in own.items()}
                    if r1:
                        found["r1"] = (r1, slope_penalty(real_votes, real))
                    if r2:
                        found["r2"] = (r2, slope_penalty(fake_votes, fake))
                    if gp:
                        found["gradient_penalty"] = (gp, self._between(real, fake, condition, rows, step, turn))
                self._backward(found, terms)
            self._note(terms, "votes_real", real_votes.mean())
            self._note(terms, "votes_fake", fake_votes.mean())
            self._note(terms, "sign", self._loss.decision(real_votes, fake_votes).sign().mean())
        self._critic_optimizer.step()
        self._adapt(step, turn, terms["sign"])
        return terms

    def _generator_turn(self, step: int, batches: Sequence[Batch]) -> dict[str, Tensor]:
        path = self._weight(self._config.path_length, step)
        self.generator.requires_grad_(True)
        self.critic.requires_grad_(False)
        self._generator_optimizer.zero_grad()
        terms: dict[str, Tensor] = {}
        lengths: list[Tensor] = []
        for part, batch in enumerate(batches):
            rows = self._share.part(part)
            condition = self._condition(batch)
            real = self._pictures(batch)
            real_votes = real.new_zeros(len(real), 1)
            if self._loss.relativistic:
                with torch.no_grad(), self._autocast():
                    real_votes, _ = self._votes(real, condition, rows, "opposite", step, frozen=True)
            with self._gradients_of(self._generator_wrapped, last=part == len(batches) - 1):
                with self._autocast():
                    fake = self._generate(rows, condition, "generator", step, train=True)
                    fake_votes, _ = self._votes(fake, condition, rows, "shown", step, frozen=True)
                    found = {"generator": (1.0, self._loss.generator(real_votes, fake_votes))}
                    if path:
                        lengths.append(self._path_lengths(condition, rows, step))
                        found["path_length"] = (path, (lengths[-1] - self._path_mean).square().mean())
                self._backward(found, terms)
        self._generator_optimizer.step()
        if lengths:
            mean = float(self._accelerator.reduce(torch.cat(lengths).detach().mean(), "mean"))
            self._path_mean += _PATH_MEAN_RATE * (mean - self._path_mean)
        return terms

    def _generate(self, rows: range, condition: Condition | None, *key: str | int, train: bool = False) -> Tensor:
        # one generator a row, for the latent and then for noise inside the network
        rng = row_generators(rows, self._config.seed, "latents", *key)
        latents = self.generator.sample_latents(len(rows), rng=rng).to(self._device)
        network = self._generator_wrapped if train else self.generator
        images: Tensor = network(latents, condition, rng=self._inside(rng))
        return images.to(self.generator.picture_dtype)  # autocast may have left another

    def _votes(
        self, images: Tensor, condition: Condition | None, rows: range, *key: str | int, frozen: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self._augment.columns:
            draw = uniforms(rows, self._augment.columns, self._config.seed, "augment", *key)
            images = self._augment(images, draw, self.adaptive.probability)
        output = (self.critic if frozen else self._critic_wrapped)(images, condition)
        votes, own = output if isinstance(output, CriticOutput) else (output, {})
        return votes.to(self.critic.picture_dtype), dict(own)

    def _between(
        self, real: Tensor, fake: Tensor, condition: Condition | None, rows: range, step: int, turn: int
    ) -> Tensor:
        mix = uniforms(rows, 1, self._config.seed, "mix", step, turn)[:, 0]
        return gradient_penalty(
            lambda images: self._votes(images, condition, rows, "between", step, turn)[0], real, fake, mix
        )

    def _path_lengths(self, condition: Condition | None, rows: range, step: int) -> Tensor:
        assert isinstance(self.generator, StyleGenerator)
        rng = row_generators(rows, self._config.seed, "path", step)
        ws = self.generator.map(self.generator.sample_latents(len(rows), rng=rng).to(self._device), condition)
        images = self.generator.synthesize(ws, rng=self._inside(rng)).to(self.generator.picture_dtype)
        return path_lengths(images, ws, randn(images.shape, rng, images.device, images.dtype))

    def _inside(self, rng: list[torch.Generator]) -> list[torch.Generator] | None:
        """Return what noise inside the generator is drawn from."""
        # on other devices it is drawn where it is needed, from the global generator that each step seeds
        return rng if self._device.type == "cpu" else None

    def _adapt(self, step: int, turn: int, sign: Tensor) -> None:
        if self._config.augment.target is None:
            return
        self._sign_sum += float(self._accelerator.reduce(sign, "mean"))
        self._signs += 1
        if turn == self._config.critic_steps - 1 and self.adaptive.wants(step):
            self.adaptive.correct(self._sign_sum / self._signs, self._config.batch)
            self._sign_sum, self._signs = 0.0, 0

    def _set_rates(self, step: int) -> None:
        config = self._config
        factor = rate_factor(step, config.steps, curve=config.curve, warmup=config.warmup, final=config.final_rate)
        for optimizer, rate in (
            (self._generator_optimizer, config.generator_rate),
            (self._critic_optimizer, config.critic_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    def _weight(self, penalty: Penalty, step: int) -> float:
        """Return what a penalty counts at this step: 0 where it is not due, else for all steps since the last time."""
        if step % penalty.interval:
            return 0.0
        return penalty.interval * falling_weight(penalty.weight, penalty.final, step, self._config.steps)

    def _pictures(self, batch: Batch) -> Tensor:
        return batch.images.to(self._device, self.generator.picture_dtype).div_(255)

    def _condition(self, batch: Batch) -> Condition | None:
        if not self._conditions:
            return None
        labels = batch.labels if "labels" in self._conditions else None
        return Condition(
            labels=None if labels is None else labels.to(self._device),
            prompts=batch.prompts if "prompt" in self._conditions else None,
        )

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._config.precision == "bfloat16")

    def _gradients_of(self, wrapped: nn.Module, *, last: bool) -> AbstractContextManager[object]:
        """Exchange gradients between processes with the last part of a batch only."""
        return nullcontext() if last else self._accelerator.no_sync(wrapped)

    def _backward(self, found: dict[str, tuple[float, Tensor]], terms: dict[str, Tensor]) -> None:
        for name, (_, term) in found.items():
            self._note(terms, name, term)
        whole = sum(weight * term for weight, term in found.values())
        self._accelerator.backward(whole / self._config.accumulate)

    def _note(self, terms: dict[str, Tensor], name: str, term: Tensor) -> None:
        """Add a part's share to the mean over parts."""
        share = term.detach().to(self.generator.picture_dtype) / self._config.accumulate
        terms[name] = terms[name] + share if name in terms else share


def _adam(network: Generator | Critic, config: TrainConfig) -> torch.optim.Adam:
    parameters = list(network.own_parameters())
    if not parameters:
        raise ModelError(f"{type(network).__name__} has no parameters of its own, so there is nothing to train")
    return torch.optim.Adam(parameters, betas=config.betas, eps=_ADAM_EPSILON, fused=True)
