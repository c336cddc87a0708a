"""What a run lends its recipe: device, processes, precision, optimizers, averages, and randomness without state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.draws import row_generators
from ganart_zoo.contract.errors import ImageError, ModelError, SettingsError
from ganart_zoo.contract.models import Model
from ganart_zoo.data.indexed import collate
from ganart_zoo.data.pictures import Batch, Data, Sample, Share
from ganart_zoo.registry.runs import average_prefix
from ganart_zoo.training.checkpoint import load_optimizer, optimizer_tensors, prefixed, under
from ganart_zoo.training.ema import MovingAverage, averaging_decay
from ganart_zoo.training.launch import join
from ganart_zoo.training.recipe import Recipe
from ganart_zoo.training.schedules import rate_factor

__all__ = ["Engine", "Part"]


class Part(NamedTuple):
    """What a process computes at once: its rows of one part of a global batch."""

    images: Tensor
    """`[n, 3, size, size]` in 0..1, on the device, in the type of the networks' pictures."""
    condition: Condition | None
    """Labels and prompts of the rows, as far as the run uses them."""
    rows: range
    """Numbers of the rows in the global batch, for `Engine.generators`."""


class Engine:
    """Computes for a recipe, on one device or shared among the processes that a launcher started.

    Args:
        recipe: Its networks are moved to the device, checked, and put into train mode; its optimizers are created.
        data: What is learned from.
        device: `"cpu"`, or `"cuda"` for what the launcher gives this process.
        conditions: Which parts of a batch the networks get: of `"labels"` and `"prompt"`.
        main: The role that the run keeps as its model.

    Raises:
        SettingsError: The device is not there; the data lacks a condition; the batch does not divide among processes;
            or what `Recipe.check` raises.
        ModelError: Likewise.
    """

    def __init__(self, recipe: Recipe, data: Data, device: str, conditions: Sequence[str], main: str) -> None:
        self.config = recipe.config
        self.data = data
        self.conditions = frozenset(conditions)
        self.networks: Mapping[str, Model] = recipe.networks
        self.main = main
        self.steps_done = 0
        """Steps done before the present one, from 0."""
        self.accelerator: Any = join(device)
        self.device: torch.device = self.accelerator.device
        self.is_first: bool = self.accelerator.is_main_process
        """Whether this is the process that writes."""
        self.share = self._divide()
        self._recipe = recipe
        self._optimizers: dict[str, Optimizer] = {}
        self._rates: dict[str, list[float]] = {}
        self._wrapped: dict[str, nn.Module] = {}
        recipe.engine = self
        dtype = torch.float64 if self.config.precision == "float64" else None
        for network in (*self.networks.values(), *recipe.uses.values()):
            network.to(self.device, dtype).eval().requires_grad_(False)
        self._check_conditions()
        recipe.check()
        roles = [main] if recipe.averaged is None else recipe.averaged
        self.averages = {role: MovingAverage(self.networks[role]) for role in roles}
        for network in self.networks.values():
            network.train().requires_grad_(True)
        recipe.begin()

    @property
    def picture_dtype(self) -> torch.dtype:
        """The type of pictures and of the numbers for the journal: float64 for a float64 run, else float32."""
        return self.networks[self.main].picture_dtype

    @property
    def progress(self) -> float:
        """Progress of the training: 0 at its first step, 1 at its last."""
        return self.steps_done / max(1, self.config.steps - 1)

    def wrap(self, role: str) -> nn.Module:
        """Return a network as training must call it: with several processes, its backward passes sum gradients.

        Call the network itself where its own parameters are not to learn.
        """
        if role not in self._wrapped:
            wrapped: nn.Module = self.accelerator.prepare_model(self.networks[role])
            if isinstance(wrapped, nn.parallel.DistributedDataParallel):
                # broadcasting buffers between the passes of one step would change what autograd saved
                wrapped.broadcast_buffers = False
            self._wrapped[role] = wrapped
        return self._wrapped[role]

    def optimizer(self, name: str, optimizer: Optimizer) -> Optimizer:
        """Register an optimizer, so that the run saves it and schedules its learning rate; return it.

        Args:
            name: Unique in the recipe; the role of the network, where each has one.
            optimizer: Its learning rates are those at the height of the schedule.

        Raises:
            ModelError: It has nothing to train, or the name is taken.
        """
        if name in self._optimizers:
            raise ModelError(f"two optimizers are named {name!r}")
        self._optimizers[name] = optimizer
        self._rates[name] = [group["lr"] for group in optimizer.param_groups]
        return optimizer

    def parts(self, batches: Sequence[Batch], *roles: str) -> Iterator[Part]:
        """Yield the parts of one global batch, ready to compute with.

        Args:
            batches: `config.accumulate` parts, as `Recipe.step` gets them.
            roles: Networks that learn from it: their gradients are summed over processes with the last part only.
        """
        for number, batch in enumerate(batches):
            with self._alone(roles if number < len(batches) - 1 else ()):
                yield Part(self.pictures(batch), self.condition(batch), self.share.part(number))

    def pictures(self, batch: Batch) -> Tensor:
        """Return the pictures of a batch, `[n, 3, size, size]` in 0..1 on the device."""
        return batch.images.to(self.device, self.picture_dtype).div_(255)

    def condition(self, batch: Batch) -> Condition | None:
        """Return the conditions of a batch that the run uses; None where it uses none."""
        if not self.conditions:
            return None
        labels = batch.labels if "labels" in self.conditions else None
        return Condition(
            labels=None if labels is None else labels.to(self.device),
            prompts=batch.prompts if "prompt" in self.conditions else None,
        )

    def fixed_condition(self, n: int) -> Condition | None:
        """Return n rows of conditions that are the same at each call: the classes and the first prompts in turn."""
        if not self.conditions:
            return None
        labels = prompts = None
        if "labels" in self.conditions:
            labels = torch.arange(n, device=self.device) % len(self.data.class_names)
        if "prompt" in self.conditions and self.data.prompts:
            prompts = tuple(self.data.prompts[row % len(self.data.prompts)] for row in range(n))
        return Condition(labels=labels, prompts=prompts)

    def examples(self, n: int) -> Batch:
        """Return n pictures of the data, the same at each call, with their labels and prompts; repeated if too few.

        Raises:
            ImageError: No picture can be read.
        """
        samples: list[Sample] = []
        problem = ""
        for sample in self.data.once():
            if isinstance(sample, ImageError):
                problem = problem or str(sample)
                continue
            samples.append(sample)
            if len(samples) == n:
                break
        if not samples:
            raise ImageError(f"no picture of the data can be read; the first: {problem}")
        batch = collate([(samples[row % len(samples)], ()) for row in range(n)])
        assert isinstance(batch, Batch)  # a text only where a sample is missing
        return batch

    def generators(self, rows: range, *key: int | str) -> list[torch.Generator]:
        """Return one CPU generator for each row, that depends on the seed, the step, `key` and the row alone.

        Draw each row's noise from its own: then it does not depend on how the batch is shared out.
        """
        return row_generators(rows, self.config.seed, *key, self.steps_done)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of forward passes and losses: bfloat16 where `config.precision` says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of one part's loss, a scalar, to those of its batch."""
        (loss / self.config.accumulate).backward()

    def step(self, optimizer: Optimizer) -> None:
        """Take a step of an optimizer, with its gradients clipped if `config.clip` is set, and clear the gradients."""
        if self.config.clip is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.config.clip)
        optimizer.step()
        optimizer.zero_grad()

    def mean(self, tensor: Tensor) -> Tensor:
        """Return a tensor's mean over processes; every process must call it."""
        mean: Tensor = self.accelerator.reduce(tensor, "mean")
        return mean

    def average(self, role: str | None = None) -> Model:
        """Return the moving average of a network, in eval mode and frozen; None: of the main one."""
        return self.averages[self.main if role is None else role].model

    def advance(self, terms: Mapping[str, Tensor | float]) -> dict[str, Tensor]:
        """End a step: update the averages and the count; return its terms as tensors of one type. For the run alone."""
        config = self.config
        decay = averaging_decay(config.ema_decay, config.ema_ramp, self.steps_done)
        for average in self.averages.values():
            average.update(decay)
        self.steps_done += 1
        return {
            name: torch.as_tensor(term, device=self.device).detach().to(self.picture_dtype)
            for name, term in terms.items()
        }

    def set_rates(self) -> None:
        """Set learning rates to those of the present step. For the run alone."""
        config = self.config
        factor = rate_factor(
            self.steps_done, config.steps, curve=config.curve, warmup=config.warmup, final=config.final_rate
        )
        for name, optimizer in self._optimizers.items():
            for group, rate in zip(optimizer.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * factor

    def state(self) -> dict[str, Tensor]:
        """Return all that the next step depends on but the count of steps. For the run alone.

        Raises:
            ModelError: The recipe's state has a name that is taken.
        """
        own = self._recipe.state()
        if taken := [name for name in own if name.partition(".")[0] in self._prefixes()]:
            raise ModelError(f"{type(self._recipe).__name__}.state() has {taken[0]!r}, a name that the run uses itself")
        tensors = dict(own)
        for role, network in self.networks.items():
            tensors |= prefixed(role, network.own_state())
        for name, optimizer in self._optimizers.items():
            tensors |= prefixed(f"{name}_optimizer", optimizer_tensors(optimizer))
        for role, average in self.averages.items():
            tensors |= prefixed(self._average_prefix(role), average.model.own_state())
        return tensors

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `state` returned. For the run alone.

        Raises:
            ModelError: The networks differ.
        """
        for role, network in self.networks.items():
            network.load_own_state(under(role, state))
        for name, optimizer in self._optimizers.items():
            load_optimizer(optimizer, under(f"{name}_optimizer", state))
        self.load_averages(state)
        prefixes = self._prefixes()
        self._recipe.load_state(
            {name: tensor for name, tensor in state.items() if name.partition(".")[0] not in prefixes}
        )

    def load_averages(self, state: Mapping[str, Tensor]) -> None:
        """Load the averages of what `state` returned. For the run alone.

        Raises:
            ModelError: The networks differ.
        """
        for role, average in self.averages.items():
            average.model.load_own_state(under(self._average_prefix(role), state))

    def results(self) -> dict[str, Model]:
        """Return the network to save for each role, the main one first: its average where there is one."""
        roles = sorted(self.networks, key=lambda role: role != self.main)
        return {role: self.average(role) if role in self.averages else self.networks[role] for role in roles}

    def _prefixes(self) -> set[str]:
        return {
            *self.networks,
            *(f"{name}_optimizer" for name in self._optimizers),
            *map(self._average_prefix, self.averages),
        }

    def _average_prefix(self, role: str) -> str:
        return average_prefix(role, self.main)

    @contextmanager
    def _alone(self, roles: Sequence[str]) -> Iterator[None]:
        """Keep the gradients of these networks from being exchanged between processes."""
        with ExitStack() as stack:
            for role in roles:
                stack.enter_context(self.accelerator.no_sync(self.wrap(role)))
            yield

    def _divide(self) -> Share:
        processes, config = self.accelerator.num_processes, self.config
        if config.batch % (processes * config.accumulate):
            raise SettingsError(
                f"batch is {config.batch}, expected a multiple of {processes} processes × {config.accumulate} parts"
            )
        return Share(config.batch, self.accelerator.process_index, processes, config.accumulate)

    def _check_conditions(self) -> None:
        if "prompt" in self.conditions and self.data.prompts is None:
            raise SettingsError("the networks are to be conditioned on prompts, and the data has no captions")
        if "labels" in self.conditions and not self.data.class_names:
            raise SettingsError("the networks are to be conditioned on labels, and the data has no classes")
