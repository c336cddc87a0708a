"""Style transfer models as tasks use them: loaded with their settings and styles, ready for one photo after another."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Style
from ganart_zoo.contract.errors import GanartError, ImageError, SettingsError
from ganart_zoo.contract.events import OnStep, RunEvent
from ganart_zoo.contract.models import StyleTransfer
from ganart_zoo.contract.rng import generator
from ganart_zoo.imaging.images import save
from ganart_zoo.imaging.record import InputFile, Record, read_record
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.running.calls import Steps, broken_call
from ganart_zoo.running.environment import op_implementations, reproducible, versions
from ganart_zoo.running.pictures import MIN_SIDE, Picture, check_side, describe, fit, name_of, read, shrink

__all__ = ["DEFAULT_MODEL", "DEFAULT_SIZE", "StyleInput", "Stylized", "Stylizer"]

DEFAULT_MODEL = "ganart-gatys/gatys"

DEFAULT_SIZE = 512
"""Pixels: what optimisation paints in about a minute on a laptop. Memory and time grow with the square."""


@dataclass(frozen=True, eq=False)
class StyleInput:
    """One style as a task takes it: a picture, or the name of a learned style."""

    image: Picture | None = None
    name: str | None = None
    weight: float = 1.0
    """Its share: the weights are divided by their sum."""
    region: Picture | None = None
    """A mask over the content, white where this style goes; any size, scaled to the content's. None: everywhere."""
    source_region: Picture | None = None
    """A mask over the style picture, white where the style is taken from. None: all of it."""


@dataclass(frozen=True, eq=False)
class Stylized:
    """What a call made."""

    images: Tensor
    """`[1, 3, H, W]`, not clamped."""
    path: Path | None
    """What was saved."""
    seconds: float
    """The model's own work."""
    stopped: bool
    """`on_step` ended the work early, and this is the best picture until then."""
    record: Record


class Stylizer:
    """A model with its settings and styles, ready for one content after another.

    Args:
        zoo: Where models come from, and who hears of the events.
        model: A name.
        styles: `StyleInput`s, or just pictures; several are blended by weight. None where the model needs no style.
        settings: By name, the model's config, the models it uses, and its options.
        init: The picture to start from, scaled to the content's size. None: the model's own choice.
        seed: Of all noise. The same seed, machine and thread count give the same picture, bit by bit.
        size: The long side of the result, in pixels: a larger content is scaled down to it before anything else, and a
            smaller one is **never scaled up**. None: the content's own size.
        weights: As `Zoo.create` takes them.
        device: Where the model computes.
        dtype: Its compute type; None for float32.
        fetch: Download missing weights.

    Raises:
        GanartError: The model, a setting or a style is not fit; see `Zoo.create` and `imaging.load`.
    """

    def __init__(
        self,
        zoo: Zoo,
        model: str = DEFAULT_MODEL,
        styles: Sequence[StyleInput | Picture] = (),
        *,
        settings: Mapping[str, Any] | None = None,
        init: Picture | None = None,
        seed: int = 0,
        size: int | None = DEFAULT_SIZE,
        weights: str | Path | None = "default",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        fetch: bool = False,
    ) -> None:
        if size is not None and size < MIN_SIDE:
            raise SettingsError(f"size is {size}, expected at least {MIN_SIDE} pixels")
        if not 0 <= seed < 2**63:
            raise SettingsError(f"seed is {seed}, expected 0 to 2**63 - 1")
        self._zoo = zoo
        self._entry = zoo.entry(model)
        self._given = [style if isinstance(style, StyleInput) else StyleInput(image=style) for style in styles]
        _check_abilities(self._entry, self._given)
        for_create, for_call = zoo.settings(model).sort(settings or {})
        self._options = zoo.options(model, **for_call)
        self._seed = seed
        self._size = size
        self._model = _build(zoo, self._entry, for_create, weights, device, dtype, fetch)
        self._device = torch.device(device)
        self._inputs: list[InputFile] = []
        """All but the content."""
        self._styles = [self._load_style(style, number) for number, style in enumerate(self._given, start=1)]
        self._model.shares(self._styles)  # a wrong name or weight shows now, and not with the first content
        self._init = None if init is None else self._load(init, "init")

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files, other than contents, that are read and must not be written over."""
        pictures = [(style.image, style.region, style.source_region) for style in self._given]
        return tuple(Path(each) for group in pictures for each in group if isinstance(each, (str, os.PathLike)))

    def __call__(self, content: Picture, output: Path | None = None, *, on_step: OnStep | None = None) -> Stylized:
        """Restyle one picture, and save it with its record if `output` names a file. An existing file is replaced.

        Args:
            content: The photo.
            output: `.png`, `.jpg`, `.jpeg` or `.webp`, in a folder that exists.
            on_step: Called after each step; returning False ends the work, and the best picture so far is saved.

        Raises:
            ImageError: The content cannot be read or is too small, or the output cannot be written.
            PluginFaultError: The model broke.
            ModelError: Memory ran out.
        """
        about = {"content": name_of(content), "seed": self._seed}
        self._emit("started", output, about)
        try:
            made = self._make(content, output, on_step)
        except BaseException as error:
            self._emit("failed", output, {**about, "error": f"{type(error).__name__}: {error}"})
            raise
        if output is not None:
            self._emit("saved", output, about)
        self._emit("stopped" if made.stopped else "finished", output, {**about, "seconds": made.seconds})
        return made

    def is_done(self, content: Picture, output: Path) -> bool:
        """Say whether `output` already is what a call would make, as its record tells.

        The contents of all input files, the model with its version, config, weights and used models, its options, the
        seed and the size must be the same; a picture whose making was stopped is not done. File names, device, threads
        and versions of other software do not count.
        """
        try:
            found = read_record(output)
        except ImageError:
            return False
        return _request(found) == _request(self._record([describe(content, "content"), *self._inputs], None))

    def _make(self, content: Picture, output: Path | None, on_step: OnStep | None) -> Stylized:
        image = shrink(read(content), self._size).to(self._device)
        source = describe(content, "content")
        self._check_not_the_style(source)
        check_side(image, source.name)
        styles = [
            style if style.region is None else replace(style, region=fit(style.region, image)) for style in self._styles
        ]
        steps = Steps(on_step)
        start = time.perf_counter()
        with reproducible():
            images = self._call(image, styles, steps)
        seconds = time.perf_counter() - start
        record = self._record([source, *self._inputs], steps.stopped_at)
        if output is not None:
            save(images, output, record=record)
        return Stylized(images, output, seconds, steps.stopped_at is not None, record)

    def _call(self, content: Tensor, styles: Sequence[Style], steps: Steps) -> Tensor:
        init = None if self._init is None else fit(self._init, content)
        try:
            return self._model.stylize(
                content,
                styles,
                init=init,
                rng=generator(self._seed),
                options=self._options,
                on_step=steps,
            )
        except GanartError:
            raise
        except Exception as error:
            if error is steps.raised:  # the caller's own
                raise
            height, width = content.shape[-2:]
            raise broken_call(self._zoo, self._entry, "stylize", error, width, height) from error

    def _check_not_the_style(self, content: InputFile) -> None:
        """Refuse a content that would be restyled with nothing but itself; among other styles it may be one."""
        styles = [one.sha256 for one in self._inputs if one.role.startswith("style ")]
        if len(styles) == len(self._styles) and set(styles) == {content.sha256}:
            raise ImageError(f"{content.name}: is the style too, so there is nothing to restyle; give another style")

    def _load(self, picture: Picture, role: str) -> Tensor:
        image = read(picture)
        self._inputs.append(describe(picture, role))
        return image.to(self._device)

    def _load_style(self, given: StyleInput, number: int) -> Style:
        image = region = source_region = None
        if given.image is not None:
            image = self._load(given.image, f"style {number}")
            check_side(image, name_of(given.image))
        if given.region is not None:
            region = self._load(given.region, f"region {number}").mean(dim=1, keepdim=True)
        if given.source_region is not None:
            if image is None:
                raise SettingsError(f"style {given.name!r} is no picture, so it has no region to take it from")
            source_region = self._load(given.source_region, f"source region {number}").mean(dim=1, keepdim=True)
            source_region = fit(source_region, image)
        return Style(image, given.name, given.weight, region, source_region)

    def _record(self, inputs: Sequence[InputFile], stopped_at: int | None) -> Record:
        assert self._model.provenance is not None  # Zoo.create made it
        return Record(
            task="stylize",
            model=self._model.provenance,
            options=self._options.model_dump(mode="json"),
            seed=self._seed,
            device=str(self._device),
            threads=torch.get_num_threads(),
            versions=versions(self._device),
            ops=op_implementations(self._device),
            inputs=tuple(inputs),
            request={
                "styles": [{"name": style.name, "weight": style.weight} for style in self._styles],
                "size": self._size,
                "stopped_at": stopped_at,
            },
        )

    def _emit(self, stage: str, path: Path | None, details: Mapping[str, Any]) -> None:
        self._zoo.emit(RunEvent("stylize", stage, self._entry.canonical, path, details))


def _build(
    zoo: Zoo,
    entry: Entry,
    settings: Mapping[str, Any],
    weights: str | Path | None,
    device: str | torch.device,
    dtype: torch.dtype | None,
    fetch: bool,
) -> StyleTransfer:
    model = zoo.create(entry.canonical, weights=weights, device=device, dtype=dtype, fetch=fetch, **settings)
    assert isinstance(model, StyleTransfer)  # its kind says so, and the zoo holds it to that
    return model


def _check_abilities(entry: Entry, styles: Sequence[StyleInput]) -> None:
    """Refuse, from the declaration alone, what the model cannot do."""
    name, can = entry.canonical, entry.spec.capabilities
    if entry.spec.kind != "style_transfer":
        raise SettingsError(f"{name} is a {entry.spec.kind}, and stylize needs a style_transfer; see ganart list")
    if not styles and "no_style" not in can:
        raise SettingsError(f"{name} needs at least one style")
    if any(style.image is not None for style in styles) and "image_styles" not in can:
        other = "; it has styles of its own, to be given by name" if "named_styles" in can else ""
        raise SettingsError(f"{name} takes no picture as a style{other}")
    if any(style.name is not None for style in styles) and "named_styles" not in can:
        raise SettingsError(f"{name} has no named styles; give a picture")
    if any(style.region is not None or style.source_region is not None for style in styles) and "regions" not in can:
        raise SettingsError(f"{name} cannot confine styles to regions")


def _request(record: Record) -> tuple[Any, ...]:
    """What a picture was asked to be: all of a record that decides whether it is done."""
    inputs = {(one.role, one.sha256) for one in record.inputs}
    return record.task, record.model.to_json(), dict(record.options), record.seed, dict(record.request), inputs
