"""The verb `interpolate`: an animation, or frames, from one seed's picture to the next."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.contract.models import StyleGenerator
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.imaging.animation import check_animation, save_animation
from ganart_zoo.imaging.images import save
from ganart_zoo.imaging.record import InputFile, Record
from ganart_zoo.running.generators import LoadedGenerator, check_seeds
from ganart_zoo.running.interrupts import interruptible
from ganart_zoo.running.latent_files import Paint, painter, read_latents
from ganart_zoo.running.latents import lerp, slerp
from ganart_zoo.running.outputs import check_folder, check_pictures, is_folder
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.results import check_result

__all__ = ["Frame", "Interpolated", "Route", "Space", "frames", "interpolate", "rerun"]

Space = Literal["z", "w"]
Route = Literal["linear", "spherical"]
Files: TypeAlias = "Sequence[str | os.PathLike[str]]"


@dataclass(frozen=True)
class Interpolated:
    """The result of a call."""

    path: Path
    """The file, or the folder of frames."""
    frames: int
    seconds: float
    stopped: bool
    """`on_step` ended the work early."""


@dataclass(frozen=True)
class Frame:
    """One frame painted again."""

    path: Path
    seconds: float
    record: Record


@interruptible
def interpolate(
    generator: LoadedGenerator,
    seeds: Sequence[int],
    output: str | os.PathLike[str],
    *,
    latents: Files = (),
    steps: int = 30,
    space: Space | None = None,
    route: Route | None = None,
    label: int | str | None = None,
    prompt: str | None = None,
    loop: bool = False,
    fps: int = 30,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Interpolated:
    """Paint the frames on a path through the seeds and then the latents of files, and save them.

    Args:
        generator: From `load_generator`.
        seeds: Together with the rows of the files, at least two.
        output: A `.gif`, an `.mp4`, or a folder for `frame0000.png`, created if its parent exists.
        latents: Files as `project` saves them. Each row is a point of the path, as a seed is.
        steps: Frames from one point to the next.
        space: `"w"` between styles, `"z"` between latents; None: that of the files, else w for a style generator.
        route: `"linear"`, or `"spherical"` along the arc; None: linear in w, spherical in z.
        label: The class of all pictures; None: the first, where the generator has classes.
        prompt: What to paint, for a model that takes a text.
        loop: Return to the first point, so that the animation repeats without a jump.
        fps: Frames per second.
        force: Replace frames that ganart did not make, and an existing animation.
        on_step: Called after each frame; returning False ends the work, and the frames so far are kept.

    Raises:
        SettingsError: A number is out of range, a file does not fit, or the generator has no styles or no such class.
        ImageError: The output cannot be written.
        ModelError: The generator broke, or memory ran out.
    """
    if fps < 1:
        raise SettingsError(f"fps is {fps}, expected at least 1")
    target = Path(output)
    path = LatentPath(generator, seeds, latents, steps, space, route, label, prompt, loop)
    files = [target / f"frame{number:04d}.png" for number in range(path.total)] if is_folder(output) else []
    _check_output(target, files, force)
    with generator.work("interpolate", path.request, path=target, on_step=on_step) as work:

        def shown() -> Iterator[Tensor]:
            for number, frame in enumerate(path, start=1):
                yield frame
                if work.steps(StepEvent.of(number, path.total, "frames", picture=frame)) is False:
                    return

        if files:
            # there are fewer frames than files where the work is stopped
            for count, (file, frame) in enumerate(zip(files, shown(), strict=False), start=1):
                save(frame, file, record=path.record(count - 1))
        else:
            count = save_animation(shown(), target, fps=fps, loop=loop)
        work.saved()
    return Interpolated(target, count, work.seconds, work.stopped)


def frames(
    generator: LoadedGenerator,
    seeds: Sequence[int],
    *,
    latents: Files = (),
    steps: int = 30,
    space: Space | None = None,
    route: Route | None = None,
    label: int | str | None = None,
    prompt: str | None = None,
    loop: bool = False,
) -> tuple[int, Iterator[Tensor]]:
    """Return the number of frames, and an iterator that paints each frame `[1, 3, H, W]` when it is asked for.

    The frame at each seed is its picture as `sample` paints it, bit for bit, for style generators and for generators
    without noise; where a generator draws noise, all frames have that of the first seed. Arguments and errors are those
    of `interpolate`.
    """
    path = LatentPath(generator, seeds, latents, steps, space, route, label, prompt, loop)
    return path.total, iter(path)


def rerun(again: Rerun) -> Frame:
    """Paint a recorded frame again; errors as those of `interpolate`."""
    request = again.record.request
    path = LatentPath(
        again.load(LoadedGenerator),
        request["seeds"],
        [again.files[one.role] for one in again.record.inputs],
        request["steps"],
        request["space"],
        request["route"],
        request["class"],
        request.get("prompt"),
        request["loop"],
    )
    start = time.perf_counter()
    frame = path.frame(request["frame"])
    if again.on_step is not None:
        again.on_step(StepEvent.of(1, 1, "frames", picture=frame))
    record = path.record(request["frame"])
    save(frame, again.output, record=record)
    return Frame(again.output, time.perf_counter() - start, record)


class LatentPath:
    """The frames between points of a space, each painted when it is asked for; arguments are those of `interpolate`."""

    def __init__(
        self,
        generator: LoadedGenerator,
        seeds: Sequence[int],
        latents: Files,
        steps: int,
        space: Space | None,
        route: Route | None,
        label: int | str | None,
        prompt: str | None,
        loop: bool,
    ) -> None:
        for seed in seeds:
            check_seeds(seed, 1)
        if steps < 1:
            raise SettingsError(f"steps is {steps}, expected at least 1")
        # as the user gave it, for the record
        self.request: dict[str, Any] = {
            "seeds": list(seeds),
            "steps": steps,
            "space": space,
            "route": route,
            "class": label,
            "prompt": prompt,
            "loop": loop,
        }
        self._inputs = [InputFile.of(file, f"latents {number}") for number, file in enumerate(latents, start=1)]
        from_files = [read_latents(generator, file) for file in latents]
        space = space or _own_space(generator, from_files[0].kind if from_files else None)
        route = route or ("linear" if space == "w" else "spherical")
        for name, value, known in (("space", space, get_args(Space)), ("route", route, get_args(Route))):
            if value not in known:
                raise SettingsError(f"{name} is {value!r}, expected one of {', '.join(known)}")
        for file, points in zip(latents, from_files, strict=True):
            if points.kind != ("ws" if space == "w" else "z"):
                raise SettingsError(f"{file} holds {points.kind}, and the path is in {space}; give files of one space")
        condition = generator.one_condition(label, prompt)
        of_seeds = _points(generator, space, seeds, condition) if seeds else []
        every = [*of_seeds, *(points.rows for points in from_files)]
        self._points = torch.cat(every) if every else torch.empty(0)
        if len(self._points) < 2:
            raise SettingsError(f"{len(self._points)} seeds were given, expected at least 2 to go between")
        self._generator, self._steps = generator, steps
        self._paint = _painter(generator, space, seeds, condition)
        self._between = slerp if route == "spherical" else lerp
        legs = len(self._points) if loop else len(self._points) - 1
        self.total = legs * steps + (0 if loop else 1)

    def __iter__(self) -> Iterator[Tensor]:
        return (self.frame(number) for number in range(self.total))

    def frame(self, number: int) -> Tensor:
        """Return frame `number` from 0, `[1, 3, H, W]` on the CPU."""
        leg, step = divmod(number, self._steps)
        a, b = (self._points[place % len(self._points)][None] for place in (leg, leg + 1))
        with self._generator.calls("interpolate"), torch.no_grad():
            point = self._between(a, b, torch.tensor([step / self._steps]))
            return check_result(self._paint(point), 1).to("cpu")

    def record(self, number: int) -> Record:
        """Return the record of frame `number`."""
        seed = next(iter(self.request["seeds"]), 0)
        return self._generator.record("interpolate", seed, {**self.request, "frame": number}, self._inputs)


def _own_space(generator: LoadedGenerator, kind: Literal["z", "ws"] | None) -> Space:
    if kind is None:
        return "w" if isinstance(generator.model, StyleGenerator) else "z"
    return "w" if kind == "ws" else "z"


def _points(
    generator: LoadedGenerator, space: Space, seeds: Sequence[int], condition: Condition | None
) -> list[Tensor]:
    """Return the points of the seeds, in the space."""
    with generator.calls("interpolate"), torch.no_grad():
        latents = generator.latents(seeds)
        if space == "z":
            return [latents]
        model = generator.styled("interpolating in w")
        # row by row, as `sample` does: another batch size may round otherwise
        return [generator.truncated(model.map(row[None], condition)) for row in latents]


def _painter(generator: LoadedGenerator, space: Space, seeds: Sequence[int], condition: Condition | None) -> Paint:
    if space == "w":
        return generator.styled("interpolating in w").synthesize
    if isinstance(generator.model, StyleGenerator) or not seeds:
        return painter(generator, "z", condition, 0)

    def paint(points: Tensor) -> Tensor:
        rng = [seeded(seeds[0])]
        generator.model.sample_latents(1, rng=rng, options=generator.options)  # the noise comes after the latent
        images: Tensor = generator.model(points, condition, rng=rng, options=generator.options)
        return images

    return paint


def _check_output(target: Path, files: Sequence[Path], force: bool) -> None:
    if files:
        check_pictures(files, target, force=force)
        return
    check_animation(target)
    if target.exists() and not force:  # an animation carries no record that would say whether ganart made it
        raise SettingsError(f"{target}: exists; choose another output, or use --force (force=True)")
    check_folder(target.parent)
