"""Training of a generator against a critic, built by hand or by `Zoo.create`: a run of the recipe `gan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.models import Critic, Generator
from ganart_zoo.data.pictures import Data
from ganart_zoo.training.gan.config import TrainConfig
from ganart_zoo.training.gan.recipe import Gan
from ganart_zoo.training.run import Metric, OnEvent, Run, Trained

__all__ = ["Trainer"]


class Trainer:
    """Trains a generator against a critic, in a run folder.

    Args:
        generator: From `Zoo.create`, or built by hand. It is trained in place; the run saves its moving average.
        critic: From `Zoo.create`, or built by hand. It is trained in place.
        data: What to learn from.
        config: How to train.
        folder: The run folder, which is created if needed.
        device: `"cpu"`, or `"cuda"` for what the launcher gives this process.
        conditions: Which conditions of a picture both networks get: of `"labels"` and `"prompt"`.
        record: JSON-ready facts for `config.json`, such as `registry.runs.describe_parts` gives.
        metric: Measured every `config.evaluate_every` steps, to know the best checkpoint.
        on_step: Called after each step, on every process, with the losses logged last; returning False ends it all.
        on_event: Called on the first process.

    Raises:
        SettingsError: The device is not there; the data lacks a condition; the batch does not divide among processes;
            or a penalty does not fit the generator.
        ModelError: The networks and the data are of different sizes, or have nothing to train.
    """

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        data: Data,
        config: TrainConfig,
        folder: Path,
        *,
        device: str = "cpu",
        conditions: Sequence[str] = (),
        record: Mapping[str, Any] | None = None,
        metric: Metric | None = None,
        on_step: OnStep | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self._run = Run(
            Gan(config, {"generator": generator, "critic": critic}),
            data,
            folder,
            device=device,
            conditions=conditions,
            record=record,
            metric=metric,
            on_step=on_step,
            on_event=on_event,
        )

    @property
    def generator(self) -> Generator:
        """The averaged generator, in eval mode."""
        model = self._run.model
        assert isinstance(model, Generator)
        return model

    def fit(self, *, resume: bool = False, allow_changes: bool = False) -> Trained:
        """Train to the last step, or until `on_step` says stop. A run that is finished already stays as it is.

        Args:
            resume: Continue from the newest checkpoint of the folder, or from the start if there is none.
            allow_changes: Resume although the settings differ from those the run was started with.

        Raises:
            SettingsError: The folder holds a run and `resume` is off, or a run with other settings; or another training
                is writing it.
            ModelError: A loss or a weight is no longer finite, or a file cannot be written.
            ImageError: No picture can be read.
        """
        return self._run.fit(resume=resume, allow_changes=allow_changes)
