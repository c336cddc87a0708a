"""Style transfer models as tasks use them: loaded with their settings and styles, ready for one photo after another."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Previous, Style
from ganart_zoo.contract.defaults import standard_defaults
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.models import StyleTransfer
from ganart_zoo.contract.rng import generator
from ganart_zoo.imaging.decode import MAX_PIXELS, capture_date, picture_sides
from ganart_zoo.imaging.formats import check_depth, format_of
from ganart_zoo.imaging.images import save
from ganart_zoo.imaging.record import InputFile, Record, read_record
from ganart_zoo.imaging.strips import RowSource, save_strips
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.running.arguments import whole
from ganart_zoo.running.interrupts import interruptible
from ganart_zoo.running.loaded import Loaded, LoadOptions, Work, find_entry
from ganart_zoo.running.memory import MemoryPlan, plan_memory, resident, spare_limit
from ganart_zoo.running.outputs import check_pictures
from ganart_zoo.running.pictures import MIN_SIDE, Picture, check_side, describe, fit, name_of, read, shrink
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.results import check_result
from ganart_zoo.running.showing import Shown

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ganart_zoo.contract.settings import Settings

__all__ = ["DEFAULT_MODEL", "DEFAULT_SIZE", "LoadedStyleTransfer", "StyleInput", "Stylized", "Stylizer"]

DEFAULT_MODEL = "ganart-gatys/gatys"

_STYLE_ROLES = ("style", "region", "source region")
"""Of input files, before the number of the style."""

DEFAULT_SIZE = 512
"""Pixels: a size that optimisation finishes in about a minute on a laptop. Memory and time grow with its square."""

_AS_TENSORS = 60
"""Bytes for each pixel of a picture that becomes a tensor, with the result and what saving it takes."""
_COLLECTED = 7
"""Bytes for each pixel of a result that is collected before it is encoded."""
_MOST_PER_PIXEL = 16 * 1024
"""Bytes for each pixel that no model in use comes near to. Below that no forecast is made."""


@dataclass(frozen=True, eq=False)
class StyleInput:
    """One style as a task accepts it: a picture, or the name of a learned style."""

    image: Picture | None = None
    name: str | None = None
    weight: float = 1.0
    """Its share; the weights are divided by their sum."""
    region: Picture | None = None
    """A mask over the content, white where this style goes; any size, scaled to the content's. None: everywhere."""
    source_region: Picture | None = None
    """A mask over the style picture, white where the style is taken from. None: all of it."""


@dataclass(frozen=True, eq=False)
class Stylized(Shown):
    """The result of a call."""

    images: Tensor
    """`[1, 3, H, W]`, not clamped. `[0, 3, H, W]` for a picture that went to its file in strips: read it from there."""
    path: Path | None
    """The saved file."""
    seconds: float
    """Duration of the model's own work."""
    stopped: bool
    """`on_step` ended the work early, and this is the best picture so far."""
    record: Record
    plan: MemoryPlan | None = None
    """How the call kept within its memory; None where that was no question."""


class LoadedStyleTransfer(Loaded[StyleTransfer]):
    """A style transfer model with the options of its calls."""

    kind = "style_transfer"


class Stylizer:
    """A model with its settings and styles, ready for one content after another.

    Args:
        zoo: Where models come from. Faults and events are reported to it.
        model: A name, or the `Path` of a run.
        styles: `StyleInput`s, or just pictures; several are blended by weight. None where the model needs no style.
        init: The picture to start from, scaled to the content's size. None: the model's own choice.
        seed: For all noise. The same seed, machine and thread count give the same picture, bit by bit.
        size: The long side of the result, in pixels: a larger content is scaled down to it before anything else, and a
            smaller one is **never scaled up**. None: the content's own size.
        max_memory: Bytes that the whole process may hold at its peak. A forecast is made before each picture; where
            that is needed the model works in tiles. None: tiles are used where less memory than that is free.
        max_pixels: A picture file of more pixels is refused, unless it can be decoded at a smaller size.
        depth: Bits of each channel of the saved pictures: 8, or 16 for PNG and TIFF.
        **how: See `LoadOptions`: `settings`, `weights`, `device`, `dtype`, `fetch`.

    Raises:
        GanartError: The model, a setting or a style is not valid; see `Zoo.create` and `imaging.load`.
    """

    task: ClassVar[str] = "stylize"
    """The verb, for events and records."""

    def __init__(
        self,
        zoo: Zoo,
        model: str | Path = DEFAULT_MODEL,
        styles: Sequence[StyleInput | Picture] = (),
        *,
        init: Picture | None = None,
        seed: int = 0,
        size: int | None = DEFAULT_SIZE,
        max_memory: int | None = None,
        max_pixels: int = MAX_PIXELS,
        depth: int = 8,
        **how: Unpack[LoadOptions],
    ) -> None:
        size, seed = None if size is None else whole("size", size), whole("seed", seed)
        if size is not None and size < MIN_SIDE:
            raise SettingsError(f"size is {size}, expected at least {MIN_SIDE} pixels")
        if not 0 <= seed < 2**63:
            raise SettingsError(f"seed is {seed}, expected 0 to 2**63 - 1")
        if isinstance(styles, (str, bytes, os.PathLike, Tensor)):
            styles = [styles]
        self._style_inputs = [style if isinstance(style, StyleInput) else StyleInput(image=style) for style in styles]
        _check_abilities(find_entry(zoo, model, "style_transfer"), self._style_inputs, init is not None)
        self._loaded = LoadedStyleTransfer.load(zoo, model, **how)
        self._seed = seed
        self._size = size
        self._max_memory = max_memory
        self._max_pixels = max_pixels
        self._depth = check_depth(depth)
        self._device = torch.device(how.get("device", "cpu"))
        self._inputs: list[InputFile] = []
        """All input files but the content."""
        self._styles = [self._load_style(style, number) for number, style in enumerate(self._style_inputs, start=1)]
        self._loaded.model.shares(self._styles)  # a wrong name or weight is reported now, not with the first content
        self._init = None if init is None else self._load(init, "init")

    @classmethod
    def recorded(cls, again: Rerun) -> Self:
        """Return what made a recorded picture; errors are those of the constructor."""
        request, files = again.record.request, again.files
        styles = [
            StyleInput(
                image=files.get(f"style {number}"),
                name=style["name"],
                weight=style["weight"],
                region=files.get(f"region {number}"),
                source_region=files.get(f"source region {number}"),
            )
            for number, style in enumerate(request["styles"], start=1)
        ]
        model, how = again.model()
        seed, size = again.record.seed, request["size"]
        depth = request.get("depth", 8)
        return cls(again.zoo, str(model), styles, init=files.get("init"), seed=seed, size=size, depth=depth, **how)

    @property
    def depth(self) -> int:
        """Bits of each channel of the saved pictures."""
        return self._depth

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._loaded.entry.canonical} with {len(self._styles)} styles>"

    def with_options(self, **options: Any) -> Self:
        """Return what restyles by the same model with other options of its calls; all others stay as they are.

        Raises:
            SettingsError: An option is unknown or out of range.
        """
        zoo, name = self._loaded.zoo, self._loaded.entry.canonical
        one = copy(self)
        one._loaded = replace(self._loaded, options=zoo.options(name, **{**dict(self._loaded.options), **options}))
        return one

    @property
    def style_count(self) -> int:
        """The number of styles."""
        return len(self._styles)

    def alone(self, number: int) -> Self:
        """Return what restyles with one of the styles only, by the same model; the first has number 1.

        Its pictures and their records are those of a `Stylizer` that was given this style.
        """
        one = copy(self)
        one._style_inputs, one._styles = [self._style_inputs[number - 1]], [self._styles[number - 1]]
        others = {
            f"{role} {other}" for role in _STYLE_ROLES for other in range(1, self.style_count + 1) if other != number
        }
        one._inputs = [
            replace(each, role=each.role.replace(f" {number}", " 1")) if each.role[-1].isdigit() else each
            for each in self._inputs
            if each.role not in others
        ]
        return one

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files, other than contents, that are read and must not be overwritten."""
        pictures = [(style.image, style.region, style.source_region) for style in self._style_inputs]
        return tuple(Path(each) for group in pictures for each in group if isinstance(each, (str, os.PathLike)))

    @interruptible
    def __call__(self, content: Picture, output: Path | None = None, *, on_step: OnStep | None = None) -> Stylized:
        """Restyle one picture, and save it with its record if `output` names a file. An existing file is replaced.

        Args:
            content: The photo.
            output: With a suffix that `imaging.save` writes, in a folder that exists.
            on_step: Called after each step; returning False ends the work, and the best picture so far is saved.

        Raises:
            ImageError: The content cannot be read or is too small, or the output cannot be written.
            PluginFaultError: The model broke.
            ModelError: Memory ran out.
        """
        if output is not None:
            check_pictures([output], force=True, depth=self._depth)
        details = {"content": name_of(content), "seed": self._seed}
        with self._loaded.work(self.task, details, path=output, on_step=on_step) as work:
            return self._stylize(content, output, work)

    def is_done(self, content: Picture, output: Path) -> bool:
        """Say whether `output` already is what a call would produce, according to its record.

        The contents of all input files, the model with its version, config, weights and used models, its options, the
        seed and the size must be the same. A picture whose work was stopped is not done. File names, device, threads
        and versions of other software do not count.
        """
        try:
            existing = read_record(output)
        except ImageError:
            return False
        wanted = self._record([describe(content, "content"), *self._inputs], None)
        return _decisive(existing) == _decisive(wanted)

    def _stylize(self, content: Picture, output: Path | None, work: Work) -> Stylized:
        if output is not None and self._is_too_large(content):
            made = self._in_strips(content, output, work)
            if made is not None:
                return made
        image, source = self._read_content(content)
        plan, options = self.plan(image, name_of(content))
        start = time.perf_counter()
        images = self._call_model(image, work, on_step=work.steps, options=options)
        seconds = time.perf_counter() - start
        del image
        record = self._record([source, *self._inputs], work.steps.stopped_at, options)
        if output is not None:
            save(images, output, record=record, taken=_taken(content), depth=self._depth)
            work.saved()
        return Stylized(images, output, seconds, work.stopped, record, plan)

    def _is_too_large(self, content: Picture) -> bool:
        """Say whether a content should not become a tensor, if the model can do without."""
        if not isinstance(content, (str, os.PathLike)) or self._device.type != "cpu":
            return False
        if type(self._loaded.model).strips is StyleTransfer.strips:
            return False
        width, height = picture_sides(content)
        limit = spare_limit() if self._max_memory is None else self._max_memory
        if limit is None or (self._size is not None and max(width, height) > self._size):
            return False
        return width * height * _AS_TENSORS > limit - resident()

    def _in_strips(self, content: Picture, output: Path, work: Work) -> Stylized | None:
        """Restyle a picture strip by strip; None where the model cannot with these options."""
        assert isinstance(content, (str, os.PathLike))
        described = describe(content, "content")
        self._check_not_the_style(described)
        source, options = RowSource(content, max_pixels=self._max_pixels), self._loaded.options
        limit = self._max_memory or spare_limit()
        with standard_defaults():
            forecast = self._loaded.model.strip_memory(self._styles, options=options)
        if forecast is None or limit is None or "tile" not in type(options).model_fields:
            return None
        pixels = source.height * source.width
        collected = 0 if format_of(output).streams else _COLLECTED * pixels

        def with_result(height: int, width: int, tile: int | None) -> int:
            return forecast(height, width, tile) + (_AS_TENSORS * height * width if tile is None else collected)

        plan = plan_memory(
            with_result,
            source.height,
            source.width,
            limit=limit,
            tiles=True,
            tile=options.tile,
            what=f"{name_of(content)}: ",
        )
        options = options.model_copy(update={"tile": plan.tile})
        start = time.perf_counter()
        with work.calls(size=(source.width, source.height)):
            strips = self._loaded.model.strips(source, self._styles, options=options, on_step=work.steps)
            if strips is None:
                return None

            def record() -> Record:
                return self._record([described, *self._inputs], work.steps.stopped_at, options)

            save_strips(
                strips, output, source.height, source.width, record=record, depth=self._depth, taken=_taken(content)
            )
        work.saved()
        images = torch.empty(0, 3, source.height, source.width)
        return Stylized(images, output, time.perf_counter() - start, work.stopped, record(), plan)

    def plan(self, image: Tensor, name: str) -> tuple[MemoryPlan | None, Any]:
        """Return how to keep within the memory for a content `[1, 3, H, W]`, and the options of that call.

        Without a limit nothing is forecast for pictures that are small next to the memory that is free.

        Raises:
            SettingsError: It does not fit; the message says what would.
        """
        options, limit = self._loaded.options, self._max_memory
        if self._device.type != "cpu" and limit is None:
            return None, options
        height, width = image.shape[-2:]
        if limit is None:
            limit = spare_limit()
            if limit is None or height * width * _MOST_PER_PIXEL < limit - resident():
                return None, options
        with standard_defaults():
            forecast = self._loaded.model.memory(self._fitted_styles(image), options=options)
        if forecast is None:
            if self._max_memory is None:
                return None, options
            raise SettingsError(
                f"{self._loaded.entry.canonical} cannot say how much memory it takes, so no limit can be kept; "
                "leave max_memory out"
            )
        tiles = "tile" in type(options).model_fields
        plan = plan_memory(
            forecast,
            height,
            width,
            limit=limit,
            tiles=tiles,
            tile=options.tile if tiles else None,
            what=f"{name}: ",
        )
        return plan, options.model_copy(update={"tile": plan.tile}) if tiles else options

    def _read_content(self, content: Picture) -> tuple[Tensor, InputFile]:
        """Return the content at the size to work on, and its entry in the record."""
        image = read(content, max_pixels=self._max_pixels, long_side=self._size)
        image = shrink(image, self._size).to(self._device)
        source = describe(content, "content")
        self._check_not_the_style(source)
        check_side(image, source.name)
        return image, source

    def _call_model(
        self,
        image: Tensor,
        work: Work,
        *,
        on_step: OnStep,
        options: Settings | None = None,
        seed: int | None = None,
        previous: Previous | None = None,
    ) -> Tensor:
        """Restyle an image; without `options` and `seed`, with those of all calls. `previous` is for `temporal`."""
        styles = self._fitted_styles(image)
        temporal: dict[str, Any] = {} if previous is None else {"previous": previous}
        with work.calls(size=(image.shape[3], image.shape[2])):
            images = self._loaded.model.stylize(
                image,
                styles,
                init=None if self._init is None else fit(self._init, image),
                rng=generator(self._seed if seed is None else seed),
                options=self._loaded.options if options is None else options,
                on_step=on_step,
                **temporal,
            )
            return check_result(images, len(image), (image.shape[2], image.shape[3]))

    def _fitted_styles(self, image: Tensor) -> list[Style]:
        """Return the styles, with their regions at the size of an image."""
        return [
            style if style.region is None else replace(style, region=fit(style.region, image)) for style in self._styles
        ]

    def _check_not_the_style(self, content: InputFile) -> None:
        """Refuse a content that would be restyled with nothing but itself; among other styles it may be one."""
        styles = [one.sha256 for one in self._inputs if one.role.startswith("style ")]
        if len(styles) == len(self._styles) and set(styles) == {content.sha256}:
            raise ImageError(f"{content.name}: is the style too, so there is nothing to restyle; give another style")

    def _load(self, picture: Picture, role: str) -> Tensor:
        image = read(picture)
        self._inputs.append(describe(picture, role))
        return image.to(self._device)

    def _load_style(self, style: StyleInput, number: int) -> Style:
        image = region = source_region = None
        if style.image is not None:
            image = self._load(style.image, f"style {number}")
            check_side(image, name_of(style.image))
        if style.region is not None:
            region = self._load(style.region, f"region {number}").mean(dim=1, keepdim=True)
        if style.source_region is not None:
            if image is None:
                raise SettingsError(
                    f"style {style.name!r} is not a picture, so it has no region to take the style from"
                )
            source_region = self._load(style.source_region, f"source region {number}").mean(dim=1, keepdim=True)
            source_region = fit(source_region, image)
        return Style(image, style.name, style.weight, region, source_region)

    def _record(self, inputs: Sequence[InputFile], stopped_at: int | None, options: Settings | None = None) -> Record:
        request: dict[str, Any] = {
            "styles": [{"name": style.name, "weight": style.weight} for style in self._styles],
            "size": self._size,
            "stopped_at": stopped_at,
        }
        if self._depth != 8:  # as in the records of earlier releases
            request["depth"] = self._depth
        record = self._loaded.record(self.task, self._seed, request, inputs)
        if options is not None:
            record = replace(record, options=options.model_dump(mode="json"))
        return replace(record, device=str(self._device))


def _taken(content: Picture) -> str | None:
    return capture_date(content) if isinstance(content, (str, os.PathLike, bytes)) else None


def _check_abilities(entry: Entry, styles: Sequence[StyleInput], from_init: bool) -> None:
    """Raise SettingsError, from the declaration alone, where the model cannot do what is asked."""
    name, can = entry.canonical, entry.spec.capabilities
    if from_init and "init" not in can:
        raise SettingsError(f"{name} cannot start from a given picture; leave init out")
    if not styles and "no_style" not in can:
        raise SettingsError(f"{name} needs at least one style")
    if any(style.image is not None for style in styles) and "image_styles" not in can:
        other = "; it has learned styles, to be given by name" if "named_styles" in can else ""
        raise SettingsError(f"{name} takes no picture as a style{other}")
    if any(style.name is not None for style in styles) and "named_styles" not in can:
        raise SettingsError(f"{name} has no named styles; give a picture")
    if any(style.region is not None or style.source_region is not None for style in styles) and "regions" not in can:
        raise SettingsError(f"{name} cannot confine styles to regions")


def _decisive(record: Record) -> tuple[Any, ...]:
    """Return what decides whether a picture is done: all that its maker was asked for. Tiles change rounding alone."""
    options = {name: value for name, value in record.options.items() if name != "tile"}
    inputs = {(one.role, one.sha256) for one in record.inputs}
    return record.task, record.model.to_json(), options, record.seed, dict(record.request), inputs
