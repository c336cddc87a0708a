"""Generators as tasks use them: loaded from a name or a run, conditioned on classes or a text, one seed per picture.

from pathlib import Path
from ganart_zoo import Zoo
from ganart_zoo.running.generators import load_generator
from ganart_zoo.tasks.sample import sample

generator = load_generator(Zoo(), Path("runs/first"), settings={"truncation": 0.7})
sample(generator, 16, "grid.png")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.models import Generator, StyleGenerator
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.imaging.record import Record
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.running.classes import class_label
from ganart_zoo.running.loaded import Loaded, LoadOptions, find_entry
from ganart_zoo.running.results import check_result

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["LoadedGenerator", "check_seeds", "generator_entry", "load_generator", "load_recorded"]


class LoadedGenerator(Loaded[Generator]):
    """A generator with the options of its calls."""

    kind = "generator"

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its labels mean; empty where it has no classes, or does not name them."""
        return tuple(getattr(self.model.config, "class_names", ()))

    def labels(self, classes: Sequence[int | str] | None) -> tuple[int, ...] | None:
        """Return the labels of `classes`, each a number or a name; None means all classes.

        Returns:
            None where the generator has no classes and none were asked for.

        Raises:
            SettingsError: The generator has no classes, or lacks one of these.
        """
        names = self.class_names
        if classes is None:
            return tuple(range(len(names))) or None
        nameless = "class_names" not in self.zoo.settings(self.entry.canonical).config_names
        if "labels" not in self.entry.spec.capabilities or not (names or nameless):
            raise SettingsError(f"{self.entry.canonical} has no classes to choose from; leave classes out")
        if not classes:
            raise SettingsError("classes is empty; name at least one, or leave it out")
        return tuple(class_label(self.entry.canonical, names, one) for one in classes)

    def check_prompt(self, prompt: str | None) -> None:
        """Raise SettingsError where a prompt is given and not used, or is needed and missing."""
        can, name = self.entry.spec.capabilities, self.entry.canonical
        if prompt is not None and "prompt" not in can:
            raise SettingsError(f"{name} takes no text; leave the prompt out")
        if prompt is None and "prompt" in can and "unconditional" not in can:
            raise SettingsError(f"{name} paints from a text; give a prompt")

    def check_reference(self, given: bool) -> None:
        """Raise SettingsError where a reference picture is given and not used, or is needed and missing."""
        can, name = self.entry.spec.capabilities, self.entry.canonical
        if given and "reference" not in can:
            raise SettingsError(f"{name} takes no reference picture; leave the reference out")
        if not given and "reference" in can and "unconditional" not in can:
            raise SettingsError(f"{name} paints from a reference picture; give one")

    def condition(
        self, labels: Sequence[int] | None, prompt: str | None = None, reference: Tensor | None = None
    ) -> Condition | None:
        """Return the condition with one row per label, and the same prompt and reference picture in all rows."""
        found = self.rows_condition(range(len(labels or ())), labels, None if prompt is None else (prompt,))
        if reference is None:
            return found
        images = reference.to(self.model.device, self.model.picture_dtype)
        return (found or Condition())._replace(images=images)

    def one_condition(
        self, label: int | str | None, prompt: str | None, reference: Tensor | None = None
    ) -> Condition | None:
        """Return the condition that all pictures of a task share.

        Args:
            label: A class by number or name; None: the first, where the generator has classes.
            prompt: What to paint.
            reference: `[1, 3, H, W]`: a picture to paint from.

        Raises:
            SettingsError: The class, the prompt or the reference does not fit the generator.
        """
        labels = self.labels(None if label is None else [label])
        self.check_prompt(prompt)
        self.check_reference(reference is not None)
        return self.condition(None if labels is None else labels[:1], prompt, reference)

    def rows_condition(
        self, rows: Sequence[int], labels: Sequence[int] | None, prompts: Sequence[str] | None
    ) -> Condition | None:
        """Return the condition of some rows: `labels` has one label per row; the prompts are used in turn."""
        if labels is None and prompts is None:
            return None
        numbers = None if labels is None else torch.tensor([labels[row] for row in rows], device=self.model.device)
        texts = prompts if prompts is None or len(prompts) == 1 else [prompts[row % len(prompts)] for row in rows]
        return Condition(labels=numbers, prompts=None if texts is None else tuple(texts))

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Return `[n, *latent_shape]`; row i depends on seed i alone, whatever the other rows are."""
        return self.model.sample_latents(len(seeds), rng=[seeded(seed) for seed in seeds], options=self.options)

    def paint(self, seeds: Sequence[int], condition: Condition | None, on_step: OnStep | None = None) -> Tensor:
        """Return the pictures `[n, 3, H, W]` of seeds.

        A style generator uses its stored noise, so that a seed's picture is the one that mixing and interpolating start
        from. Other generators draw their noise from the seed, after the latent.
        """
        rows = [seeded(seed) for seed in seeds]
        latents = self.model.sample_latents(len(seeds), rng=rows, options=self.options)
        noise = None if isinstance(self.model, StyleGenerator) else rows
        with torch.no_grad():
            pictures = self.model(latents, condition, rng=noise, options=self.options, on_step=on_step)
            return check_result(pictures, len(seeds))

    def truncated(self, ws: Tensor) -> Tensor:
        """Return styles as `paint` uses them: pulled to the mean as far as the option `truncation` says."""
        truncation = getattr(self.options, "truncation", None)
        if truncation is None:
            return ws
        assert isinstance(self.model, StyleGenerator)  # only these have styles
        return self.model.truncate(ws, truncation)

    def styled(self, what: str) -> StyleGenerator:
        """Return the model as a style generator.

        Raises:
            SettingsError: It has no styles, and `what` needs them.
        """
        if not isinstance(self.model, StyleGenerator):
            raise SettingsError(f"{self.entry.canonical} has no styles, and {what} needs a style generator")
        return self.model


def load_generator(zoo: Zoo, model: str | Path, **how: Unpack[LoadOptions]) -> LoadedGenerator:
    """Load a generator for the tasks.

    Args:
        zoo: Where models come from.
        model: A name, or the `Path` of a run.
        **how: See `LoadOptions`: `settings`, `weights`, `device`, `dtype`, `fetch`.

    Raises:
        GanartError: The model or a setting is not valid; see `Zoo.create`.
    """
    return LoadedGenerator.load(zoo, model, **how)


def load_recorded(zoo: Zoo, record: Record, *, device: str, fetch: bool) -> LoadedGenerator:
    """Load the generator of a record, with the options it was called with; errors as those of `load_generator`."""
    return LoadedGenerator.load_recorded(zoo, record, device=device, fetch=fetch)


def generator_entry(zoo: Zoo, model: str | Path) -> Entry:
    """Return the declaration behind a name or a run.

    Raises:
        GanartError: There is no such model or run, or it is not a generator.
    """
    return find_entry(zoo, model, "generator")


def check_seeds(first: int, n: int) -> None:
    """Raise SettingsError unless `n` is positive and `first` to `first + n - 1` are valid seeds."""
    if n < 1:
        raise SettingsError(f"n is {n}, expected at least 1 picture")
    if not 0 <= first <= 2**63 - n:
        raise SettingsError(f"seed is {first}, expected 0 to 2**63 - {n}")
