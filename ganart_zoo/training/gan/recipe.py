"""The recipe `gan`: a generator and a critic that learn from each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ganart_zoo.contract.draws import row_generators, uniforms
from ganart_zoo.contract.errors import GanartError, ModelError, SettingsError
from ganart_zoo.contract.models import Critic, CriticOutput, Generator, Model, StyleGenerator
from ganart_zoo.contract.rng import randn
from ganart_zoo.data.pictures import Batch
from ganart_zoo.training.batch_norm import recalibrate
from ganart_zoo.training.engine import Part
from ganart_zoo.training.gan.augment import AdaptiveProbability, Augment
from ganart_zoo.training.gan.config import Penalty, TrainConfig
from ganart_zoo.training.gan.losses import LOSSES
from ganart_zoo.training.gan.regularizers import gradient_penalty, path_lengths, slope_penalty
from ganart_zoo.training.grid import FixedSamples
from ganart_zoo.training.recipe import Recipe
from ganart_zoo.training.schedules import falling_weight

__all__ = ["Gan"]

_PATH_MEAN_RATE = 0.01
"""How fast the running mean of path lengths follows (Karras et al. 2020), which it does after the step."""
_ADAM_EPSILON = 1e-8
_RECALIBRATED_ROWS = 64
"""Most pictures in each batch that batch norm takes its statistics from at the end."""


class Gan(Recipe):
    """Trains a generator against a critic.

    Each network's terms of a step go into one sum and one backward pass, so that DDP averages gradients once.

    Args:
        config: How they learn.
        networks: `"generator"` and `"critic"`.
    """

    requires: ClassVar[Mapping[str, Sequence[str]]] = {"generator": ("trainable",), "critic": ("trainable",)}
    advice: ClassVar[str] = "lower the learning rates or raise r1"
    config: TrainConfig

    def __init__(self, config: TrainConfig, networks: Mapping[str, Model]) -> None:
        super().__init__(config, networks)
        generator, critic = networks["generator"], networks["critic"]
        assert isinstance(generator, Generator)  # their kinds say so, and the zoo holds them to that
        assert isinstance(critic, Critic)
        self.generator, self.critic = generator, critic
        self.batches_per_step = config.critic_steps
        self._loss = LOSSES[config.loss]
        self._augment = Augment(config.augment.policy)
        self._adaptive = AdaptiveProbability(
            config.augment.probability, config.augment.target, config.augment.speed, config.augment.interval
        )
        self._path_mean = 0.0
        self._sign_sum, self._signs = 0.0, 0

    def check(self) -> None:
        """Try the networks on each other.

        Raises:
            SettingsError: A penalty does not fit the generator.
            ModelError: The networks and the data are of different sizes.
        """
        if self.config.path_length.weight and not isinstance(self.generator, StyleGenerator):
            raise SettingsError(f"path_length needs a style generator, and {type(self.generator).__name__} is not one")
        condition = self.engine.fixed_condition(2)
        rng = row_generators(range(2), "check")
        side = self.engine.data.size
        with torch.no_grad():
            latents = self.generator.sample_latents(2, rng=rng).to(self.engine.device)
            images = self.generator(latents, condition, rng=rng)
            if images.shape != (2, 3, side, side):
                raise ModelError(
                    f"{type(self.generator).__name__} makes pictures {list(images.shape[1:])}, and the data has "
                    f"[3, {side}, {side}]; set its resolution or the size of the data"
                )
            try:
                self.critic(images, condition)
            except GanartError:
                raise
            except Exception as error:
                raise ModelError(
                    f"{type(self.critic).__name__} cannot judge pictures of {side}×{side}: {error}".splitlines()[0]
                ) from error

    def begin(self) -> None:
        """Make the optimizers and the fixed latents of the sample grid."""
        engine, config = self.engine, self.config
        self._generator_optimizer = engine.optimizer("generator", _adam(self.generator, config.generator_rate, config))
        self._critic_optimizer = engine.optimizer("critic", _adam(self.critic, config.critic_rate, config))
        # what DDP wraps sums gradients over processes; the other side's pass goes through the bare network
        self._generator_wrapped = engine.wrap("generator")
        self._critic_wrapped = engine.wrap("critic")
        rng = row_generators(range(config.samples), config.seed, "grid")
        classes = len(engine.data.class_names) if "labels" in engine.conditions else 0
        self.preview_columns = classes if 1 < classes <= config.samples else None
        self._samples = FixedSamples(self.generator, rng, engine.fixed_condition(len(rng)), engine.share.rows)

    def step(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Let the critic learn `critic_steps` times, then the generator once; return the terms of their losses.

        The generator's step meets the last of the global batches.
        """
        parts = self.config.accumulate
        turns = [batches[start : start + parts] for start in range(0, len(batches), parts)]
        terms: dict[str, Tensor] = {}
        for turn, each in enumerate(turns):
            terms = self._critic_turn(self.engine.steps_done, turn, each)
        return terms | self._generator_turn(self.engine.steps_done, turns[-1])

    def gauges(self) -> dict[str, float]:
        """Return the probability of augmentation, where there is any."""
        return {"augment_probability": self._adaptive.probability} if self.config.augment.policy else {}

    def preview(self) -> Tensor:
        """Return pictures of the averaged generator, of the same latents and conditions each time."""
        return self._samples(self._averaged())

    def state(self) -> dict[str, Tensor]:
        """Return the running means, as float64."""
        scalars = [self._path_mean, self._adaptive.probability, self._sign_sum, self._signs]
        return {"scalars": torch.tensor(scalars, dtype=torch.float64)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `state` returned."""
        self._path_mean, self._adaptive.probability, self._sign_sum, signs = state["scalars"].tolist()
        self._signs = int(signs)

    def finish(self) -> None:
        """Compute the averaged generator's statistics of batch norm anew."""
        rows = min(self.config.batch, _RECALIBRATED_ROWS)
        condition = self.engine.fixed_condition(rows)
        recalibrate(self._averaged(), self.config.recalibrate, self.config.seed, condition, rows=rows)

    def card_rows(self) -> dict[str, str]:
        """Return the name of the loss."""
        return {"Loss": self.config.loss}

    def _averaged(self) -> Generator:
        average = self.engine.average()
        assert isinstance(average, Generator)
        return average

    def _critic_turn(self, step: int, turn: int, batches: Sequence[Batch]) -> dict[str, Tensor]:
        config = self.config
        r1, r2 = self._weight(config.r1, step), self._weight(config.r2, step)
        gp = self._weight(config.gradient_penalty, step)
        self.generator.requires_grad_(False)
        self.critic.requires_grad_(True)
        terms: dict[str, Tensor] = {}
        for part in self.engine.parts(batches, "critic"):
            real = part.images.requires_grad_(r1 > 0)
            with torch.no_grad():
                fake = self._generate(part, "critic", step, turn)
            fake.requires_grad_(r2 > 0)
            with self.engine.autocast():
                real_votes, fake_votes, own = self._compared(real, fake, part, step, turn)
                losses = {"critic": (1.0, self._loss.critic(real_votes, fake_votes))}
                # what a critic learns besides (to rebuild a picture, say) it learns from real ones
                losses |= {f"critic_{name}": (1.0, term) for name, term in own.items()}
                if r1:
                    losses["r1"] = (r1, slope_penalty(real_votes, real))
                if r2:
                    losses["r2"] = (r2, slope_penalty(fake_votes, fake))
                if gp:
                    losses["gradient_penalty"] = (gp, self._between(real, fake, part, step, turn))
            self._backward(losses, terms)
            self._note(terms, "votes_real", real_votes.mean())
            self._note(terms, "votes_fake", fake_votes.mean())
            self._note(terms, "sign", self._loss.decision(real_votes, fake_votes).sign().mean())
        self.engine.step(self._critic_optimizer)
        self._adapt(step, turn, terms["sign"])
        return terms

    def _generator_turn(self, step: int, batches: Sequence[Batch]) -> dict[str, Tensor]:
        path = self._weight(self.config.path_length, step)
        self.generator.requires_grad_(True)
        self.critic.requires_grad_(False)
        terms: dict[str, Tensor] = {}
        lengths: list[Tensor] = []
        for part in self.engine.parts(batches, "generator"):
            real_votes = part.images.new_zeros(len(part.images), 1)
            if self._loss.relativistic:
                with torch.no_grad(), self.engine.autocast():
                    real_votes, _ = self._votes(part.images, part, "opposite", step, frozen=True)
            with self.engine.autocast():
                fake = self._generate(part, "generator", step, train=True)
                fake_votes, _ = self._votes(fake, part, "shown", step, frozen=True)
                losses = {"generator": (1.0, self._loss.generator(real_votes, fake_votes))}
                if path:
                    lengths.append(self._path_lengths(part, step))
                    losses["path_length"] = (path, (lengths[-1] - self._path_mean).square().mean())
            self._backward(losses, terms)
        self.engine.step(self._generator_optimizer)
        if lengths:
            mean = float(self.engine.mean(torch.cat(lengths).detach().mean()))
            self._path_mean += _PATH_MEAN_RATE * (mean - self._path_mean)
        return terms

    def _generate(self, part: Part, *key: str | int, train: bool = False) -> Tensor:
        # one generator per row, for the latent and then for noise inside the network
        rng = row_generators(part.rows, self.config.seed, "latents", *key)
        latents = self.generator.sample_latents(len(part.rows), rng=rng).to(self.engine.device)
        network = self._generator_wrapped if train else self.generator
        images: Tensor = network(latents, part.condition, rng=self._inside(rng))
        return images.to(self.generator.picture_dtype)  # autocast may have left another

    def _compared(
        self, real: Tensor, fake: Tensor, part: Part, step: int, turn: int
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the votes on both, and the critic's own losses on the real ones."""
        # in one pass, the gradient of one side for a penalty would be computed for the rows of the other too
        if self.critic.takes_batches and not (real.requires_grad or fake.requires_grad):
            seen = [self._augmented(real, part, "real", step, turn), self._augmented(fake, part, "fake", step, turn)]
            condition = part.condition and part.condition.rows(len(real)).repeated(2)
            votes: Tensor = self._critic_wrapped(torch.cat(seen), condition, batches=2)
            real_votes, fake_votes = votes.to(self.critic.picture_dtype).tensor_split(2)
            return real_votes, fake_votes, {}
        real_votes, own = self._votes(real, part, "real", step, turn)
        fake_votes, _ = self._votes(fake, part, "fake", step, turn)
        return real_votes, fake_votes, own

    def _votes(
        self, images: Tensor, part: Part, *key: str | int, frozen: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        images = self._augmented(images, part, *key)
        output = (self.critic if frozen else self._critic_wrapped)(images, part.condition)
        votes, own = output if isinstance(output, CriticOutput) else (output, {})
        return votes.to(self.critic.picture_dtype), dict(own)

    def _augmented(self, images: Tensor, part: Part, *key: str | int) -> Tensor:
        if not self._augment.columns:
            return images
        draw = uniforms(part.rows, self._augment.columns, self.config.seed, "augment", *key)
        return self._augment(images, draw, self._adaptive.probability)

    def _between(self, real: Tensor, fake: Tensor, part: Part, step: int, turn: int) -> Tensor:
        mix = uniforms(part.rows, 1, self.config.seed, "mix", step, turn)[:, 0]
        return gradient_penalty(lambda images: self._votes(images, part, "between", step, turn)[0], real, fake, mix)

    def _path_lengths(self, part: Part, step: int) -> Tensor:
        assert isinstance(self.generator, StyleGenerator)
        rng = row_generators(part.rows, self.config.seed, "path", step)
        latents = self.generator.sample_latents(len(part.rows), rng=rng).to(self.engine.device)
        ws = self.generator.map(latents, part.condition)
        images = self.generator.synthesize(ws, rng=self._inside(rng)).to(self.generator.picture_dtype)
        return path_lengths(images, ws, randn(images.shape, rng, images.device, images.dtype))

    def _inside(self, rng: list[torch.Generator]) -> list[torch.Generator] | None:
        """Return what noise inside the generator is drawn from."""
        # on other devices it is drawn where it is needed, from the global generator that each step seeds
        return rng if self.engine.device.type == "cpu" else None

    def _adapt(self, step: int, turn: int, sign: Tensor) -> None:
        if self.config.augment.target is None:
            return
        self._sign_sum += float(self.engine.mean(sign))
        self._signs += 1
        if turn == self.config.critic_steps - 1 and self._adaptive.wants(step):
            self._adaptive.correct(self._sign_sum / self._signs, self.config.batch)
            self._sign_sum, self._signs = 0.0, 0

    def _weight(self, penalty: Penalty, step: int) -> float:
        """Return what a penalty counts at this step: 0 where it is not due, else for all steps since the last time."""
        if step % penalty.interval:
            return 0.0
        return penalty.interval * falling_weight(penalty.weight, penalty.final, step, self.config.steps)

    def _backward(self, losses: Mapping[str, tuple[float, Tensor]], terms: dict[str, Tensor]) -> None:
        for name, (_, term) in losses.items():
            self._note(terms, name, term)
        whole = sum(weight * term for weight, term in losses.values())
        assert isinstance(whole, Tensor)  # there is always a term
        self.engine.backward(whole)

    def _note(self, terms: dict[str, Tensor], name: str, term: Tensor) -> None:
        """Add a part's share to the mean over parts."""
        share = term.detach().to(self.generator.picture_dtype) / self.config.accumulate
        terms[name] = terms[name] + share if name in terms else share


def _adam(network: Generator | Critic, rate: float, config: TrainConfig) -> torch.optim.Adam:
    parameters = list(network.own_parameters())
    if not parameters:
        raise ModelError(f"{type(network).__name__} has no parameters of its own, so there is nothing to train")
    return torch.optim.Adam(parameters, lr=rate, betas=config.betas, eps=_ADAM_EPSILON, fused=True)
