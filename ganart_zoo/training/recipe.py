"""What a recipe is: the part of a training that says what is learned, as a base class that a plugin derives from.

A run calls a recipe in this order:

1. `__init__(config, networks, **uses)`; the run then sets `engine`, and moves the networks to its device.
2. `check()`, with every network in eval mode and frozen, before anything is written.
3. `begin()`, with every network in train mode and its own parameters thawed: make optimizers here.
4. On resuming, `load_state()`, after networks and optimizers were loaded.
5. `step(batches)` over and over; between steps `gauges()`, `preview()`, `measure()` and `state()`, when they are due.
6. `finish()`, once, on the first process alone, after the last step.

What a recipe may not do: write files, keep a count of steps (`engine.steps_done` is it), draw from a random generator
that outlives a step (`engine.generators`), call `backward` or an optimizer's `step` itself, set learning rates after
`begin`, or print. So the run resumes exactly, and works for any number of processes, parts of a batch and precision.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.models import Model
from ganart_zoo.training.settings import RunSettings

if TYPE_CHECKING:
    from ganart_zoo.data.pictures import Batch, Data
    from ganart_zoo.training.engine import Engine

__all__ = ["Recipe"]


class Recipe(ABC):
    """A way of training networks on pictures.

    Args:
        config: An instance of the recipe's config class.
        networks: The networks by role, as the recipe's declaration names them.
        **uses: The frozen models that its declaration names under `uses`.
    """

    takes: ClassVar[Sequence[str]] = ("labels", "prompt")
    """The conditions of a picture that the recipe can use. It gets those that the data and all networks have too."""
    needs: ClassVar[Sequence[str]] = ()
    """Those it cannot do without; data without them is refused."""
    requires: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Role -> capabilities that its network must declare, such as `"trainable"`."""
    averaged: ClassVar[Sequence[str] | None] = None
    """Roles of which the run keeps a moving average, saved in place of the network itself. None: the main role."""
    batches_per_step: int = 1
    """Global batches that one step takes. May be set in `__init__`."""
    preview_columns: int | None = None
    """Pictures per row of a sample grid; None for a square grid. May be set in `begin`."""
    advice: ClassVar[str] = "lower the learning rate"
    """What to try after a loss that is not finite, as the middle of a sentence."""

    engine: Engine
    """What the run lends the recipe: its device, processes, precision, optimizers, averages and randomness."""

    def __init__(self, config: RunSettings, networks: Mapping[str, Model], **uses: Model) -> None:
        self.config = config
        self.networks = dict(networks)
        self.uses = uses

    @classmethod
    def network_settings(cls, role: str, config: Any, data: Data, conditions: Sequence[str]) -> dict[str, Any]:
        """Return settings of a network that follow from the data or the recipe's config, before it is built.

        Those that the network's own config does not have are left out, and what the user sets goes before them.

        Args:
            role: Of the network.
            config: An instance of the recipe's config class.
            data: What will be learned from.
            conditions: The conditions that will be used, of `takes`.
        """
        follows: dict[str, Any] = {"resolution": data.size}
        if "labels" in conditions:
            follows["class_names"] = data.class_names
        return follows

    def check(self) -> None:  # noqa: B027 optional
        """Try the networks on each other and on the data, before hours are spent.

        Raises:
            GanartError: They do not fit.
        """

    @abstractmethod
    def begin(self) -> None:
        """Make the optimizers, with `engine.optimizer`, and what else the steps need, such as `engine.wrap(role)`."""

    @abstractmethod
    def step(self, batches: Sequence[Batch]) -> Mapping[str, Tensor | float]:
        """Learn from this process' rows of the next global batches, and return numbers for the journal.

        Go through the parts with `engine.parts`, give each loss to `engine.backward`, and end with `engine.step`. The
        numbers are scalars; the journal keeps their means over processes and over the steps since its last line. Every
        process must return the same names in the same order.

        Args:
            batches: `batches_per_step * config.accumulate` parts, those of the first global batch first. Their pictures
                are uint8 on the CPU, `[n, 3, size, size]`.
        """

    @abstractmethod
    def preview(self) -> Tensor:
        """Return pictures that show the progress, `[n, 3, H, W]` in 0..1 on the CPU, the same subjects each time.

        Show what the averages can do: `engine.average(role)`, in eval mode. Take `config.samples` pictures.
        """

    def gauges(self) -> Mapping[str, float]:
        """Return numbers that the journal logs as they are now, beside the means of what `step` returned."""
        return {}

    def measure(self) -> Mapping[str, float]:
        """Return measurements of the averages, by which the best checkpoint is known: the lower the first, the better.

        Called on the first process, every `config.evaluate_every` steps, where the run has no other metric. The rest of
        the values is only logged. An empty mapping, the default, means that nothing is measured.
        """
        return {}

    def state(self) -> dict[str, Tensor]:
        """Return what the next step depends on besides the networks' own state and the optimizers registered.

        Names must not start with a role's.
        """
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027 optional
        """Load what `state` returned."""

    def finish(self) -> None:  # noqa: B027 optional
        """Complete the averages, which hold the weights to be saved: compute statistics of batch norm anew, say.

        Called on the first process alone, so it must not exchange anything with others.
        """

    def dry_run(self) -> Mapping[str, Any]:
        """Return JSON-ready facts about the training to come, for `ganart train --dry-run`; called after `begin`.

        Raises:
            SettingsError: The recipe has no dry run.
        """
        raise SettingsError(f"{type(self).__name__} has no dry run; leave out --dry-run")

    def card_rows(self) -> Mapping[str, str]:
        """Return rows for the table of the finished run's card."""
        return {}
