"""The verb `dream`: a photo becomes a picture that exaggerates what a network sees in it, or an animation into it.

    from ganart_zoo import Zoo
    from ganart_zoo.tasks.dream import dream, zoom

    dream(Zoo(), "photo.jpg", "out.png", settings={"layers": ["block8"]})
    zoom(Zoo(), "photo.jpg", "out.gif", frames=60, size=256)

A `Dreamer` keeps the model, for many photos.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.imaging.animation import check_animation, save_animation
from ganart_zoo.imaging.decode import MAX_PIXELS
from ganart_zoo.imaging.images import resize
from ganart_zoo.registry import Zoo
from ganart_zoo.running.calls import stopping_at
from ganart_zoo.running.interrupts import interruptible
from ganart_zoo.running.loaded import Work
from ganart_zoo.running.outputs import check_folder
from ganart_zoo.running.pictures import Picture, name_of
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.stylists import DEFAULT_SIZE, StyleInput, Stylized, Stylizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ganart_zoo.running.loaded import LoadOptions

__all__ = ["DEFAULT_MODEL", "DEFAULT_SIZE", "Dreamer", "Zoomed", "dream", "rerun", "zoom"]

DEFAULT_MODEL = "ganart-deepdream/deepdream"


@dataclass(frozen=True)
class Zoomed:
    """The result of a zoom."""

    path: Path
    frames: int
    """The number of frames that were saved."""
    seconds: float
    stopped: bool
    """`on_step` ended the work early, and these are the frames so far."""


class Dreamer(Stylizer):
    """A model that needs no style, with its settings and guides, ready for one photo after another.

    Args:
        zoo: Where models come from. Faults and events are reported to it.
        model: The name of a style transfer with the capability `no_style`.
        guides: Pictures, or `StyleInput`s with weights, for models that have the capability `image_styles`.
        init: As for `Stylizer`, and so are the other arguments.

    Raises:
        GanartError: The model, a setting or a guide is not valid.
    """

    task = "dream"

    def __init__(
        self,
        zoo: Zoo,
        model: str = DEFAULT_MODEL,
        guides: Sequence[StyleInput | Picture] = (),
        *,
        init: Picture | None = None,
        seed: int = 0,
        size: int | None = DEFAULT_SIZE,
        max_memory: int | None = None,
        max_pixels: int = MAX_PIXELS,
        depth: int = 8,
        **how: Unpack[LoadOptions],
    ) -> None:
        entry = zoo.entry(model)
        if entry.spec.kind == "style_transfer" and "no_style" not in entry.spec.capabilities:
            raise SettingsError(
                f"{entry.canonical} needs a style, so it cannot dream; see ganart list --capability no_style"
            )
        super().__init__(
            zoo,
            model,
            guides,
            init=init,
            seed=seed,
            size=size,
            max_memory=max_memory,
            max_pixels=max_pixels,
            depth=depth,
            **how,
        )

    @interruptible
    def zoom(
        self,
        content: Picture,
        output: Path,
        *,
        frames: int,
        rate: float = 1.04,
        frame_steps: int = 10,
        fps: int = 20,
        force: bool = False,
        on_step: OnStep | None = None,
    ) -> Zoomed:
        """Dream a photo, then enlarge its centre a little and dream again, frame after frame, into an animation.

        Args:
            content: The photo.
            output: A `.gif`, which repeats, or an `.mp4`, for which odd sides lose one pixel.
            frames: The number of frames, at least 2.
            rate: How many times as large each frame shows the centre of the frame before it, in 1..2.
            frame_steps: The steps of each frame after the first, for models that have the option `steps`.
            fps: Frames per second.
            force: Replace an existing file; an animation carries no record that would say whether ganart made it.
            on_step: Called after each step; returning False ends the work, and the frames so far are saved.

        Raises:
            SettingsError: A number is out of range, or the output exists.
            ImageError: The content cannot be read or is too small, or the output cannot be written.
            PluginFaultError: The model broke.
        """
        for name, value, least in (("frames", frames, 2), ("frame_steps", frame_steps, 1), ("fps", fps, 1)):
            if value < least:
                raise SettingsError(f"{name} is {value}, expected at least {least}")
        if not 1 <= rate <= 2:
            raise SettingsError(f"rate is {rate:g}, expected 1 to 2")
        check_animation(output)
        if output.exists() and not force:
            raise SettingsError(f"{output}: exists; choose another output, or use --force (force=True)")
        check_folder(output.parent)
        image, _ = self._read_content(content)
        if output.suffix.lower() == ".mp4":
            image = image[..., : image.shape[-2] // 2 * 2, : image.shape[-1] // 2 * 2]
        details = {"content": name_of(content), "seed": self._seed, "frames": frames, "rate": rate}
        start = time.perf_counter()
        with self._loaded.work(self.task, details, path=output, on_step=on_step) as work:
            made = save_animation(self._frames(image, frames, rate, frame_steps, work), output, fps=fps, loop=True)
            work.results["frames"] = made
            work.saved()
        return Zoomed(output, made, time.perf_counter() - start, work.stopped)

    def _frames(self, image: Tensor, frames: int, rate: float, frame_steps: int, work: Work) -> Iterator[Tensor]:
        """Yield the frames `[1, 3, H, W]` as they are made, until the caller stops."""
        _, own = self.plan(image, self.task)
        has_steps = "steps" in type(own).model_fields
        brief = own.model_copy(update={"steps": frame_steps}) if has_steps else own
        total = own.steps + (frames - 1) * frame_steps if has_steps else None
        counter = _Counter(work, total, frames)
        for number in range(frames):
            counter.frame = number + 1
            options = brief if number else own
            image = self._call_model(image, work, on_step=counter, options=options, seed=self._seed + number)
            yield image
            if work.stopped:
                return
            image = _enlarged(image.clamp(0, 1), rate)


class _Counter:
    """Counts the steps of all frames together."""

    def __init__(self, work: Work, total: int | None, frames: int) -> None:
        self._work = work
        self._total = total
        self._frames = frames
        self._done = 0
        self.frame = 1

    def __call__(self, event: StepEvent) -> bool | None:
        self._done += 1
        phase = f"frame {self.frame} of {self._frames}"
        return self._work.steps(StepEvent(self._done, self._total, phase, event.losses, event.preview))


def dream(
    zoo: Zoo,
    content: Picture,
    output: str | os.PathLike[str] | None = None,
    *,
    model: str = DEFAULT_MODEL,
    guides: Sequence[StyleInput | Picture] = (),
    init: Picture | None = None,
    seed: int = 0,
    size: int | None = DEFAULT_SIZE,
    max_memory: int | None = None,
    max_pixels: int = MAX_PIXELS,
    depth: int = 8,
    on_step: OnStep | None = None,
    **how: Unpack[LoadOptions],
) -> Stylized:
    """Dream one photo; arguments and errors are those of `Dreamer` and its call."""
    dreamer = Dreamer(
        zoo,
        model,
        guides,
        init=init,
        seed=seed,
        size=size,
        max_memory=max_memory,
        max_pixels=max_pixels,
        depth=depth,
        **how,
    )
    return dreamer(content, None if output is None else Path(output), on_step=on_step)


def zoom(
    zoo: Zoo,
    content: Picture,
    output: str | os.PathLike[str],
    *,
    model: str = DEFAULT_MODEL,
    guides: Sequence[StyleInput | Picture] = (),
    seed: int = 0,
    size: int | None = DEFAULT_SIZE,
    frames: int,
    rate: float = 1.04,
    frame_steps: int = 10,
    fps: int = 20,
    force: bool = False,
    on_step: OnStep | None = None,
    **how: Unpack[LoadOptions],
) -> Zoomed:
    """Make an animation into a photo; arguments and errors are those of `Dreamer` and `Dreamer.zoom`."""
    dreamer = Dreamer(zoo, model, guides, seed=seed, size=size, **how)
    return dreamer.zoom(
        content,
        Path(output),
        frames=frames,
        rate=rate,
        frame_steps=frame_steps,
        fps=fps,
        force=force,
        on_step=on_step,
    )


def rerun(again: Rerun) -> Stylized:
    """Dream a recorded picture again; errors are those of `Dreamer` and its call."""
    stopped_at = again.record.request["stopped_at"]
    dreamer = Dreamer.recorded(again)
    return dreamer(again.files["content"], again.output, on_step=stopping_at(stopped_at, again.on_step))


def _enlarged(image: Tensor, rate: float) -> Tensor:
    """Return the centre of an image, a `rate`-th of each side, at the size of the whole."""
    height, width = image.shape[-2:]
    inner_height, inner_width = (max(2, round(side / rate)) for side in (height, width))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    centre = image[..., top : top + inner_height, left : left + inner_width]
    return resize(centre, (height, width)).clamp(0, 1)
