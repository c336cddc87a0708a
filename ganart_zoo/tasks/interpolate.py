"""The verb `interpolate`: from one seed's picture to the next, as a moving picture or as frames."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
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
from ganart_zoo.registry import Zoo
from ganart_zoo.running.calls import Steps
from ganart_zoo.running.generators import LoadedGenerator, check_seeds, load_recorded
from ganart_zoo.running.latent_files import Paint, painter, read_latents
from ganart_zoo.running.latents import lerp, slerp
from ganart_zoo.running.outputs import check_folder, check_replaceable, is_folder, make_folder

__all__ = ["Frame", "Interpolated", "Route", "Space", "frames", "interpolate", "rerun"]

Space = Literal["z", "w"]
Route = Literal["linear", "spherical"]
Files: TypeAlias = "Sequence[str | os.PathLike[str]]"


@dataclass(frozen=True)
class Interpolated:
    """What a call made."""

    path: Path
    """The file, or the folder of frames."""
    frames: int
    seconds: float
    stopped: bool
    """`on_step` ended the work early."""


@dataclass(frozen=True)
class Frame:
    """One frame made again."""

    path: Path
    seconds: float
    record: Record


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
    """Make the pictures on the way through the seeds and then the latents of files, and save them.

    Args:
        generator: From `load_generator`.
        seeds: With the rows of the files, at least two.
        output: A `.gif`, an `.mp4`, or a folder for `frame0000.png`, created if only its last part is missing.
        latents: Files as `project` saves them, each row a place on the way like a seed's.
        steps: From one seed to the next.
        space: `"w"` between styles, `"z"` between latents; None: that of the files, else w for a style generator.
        route: `"linear"`, or `"spherical"` along the arc; None: linear in w, spherical in z.
        label: The class of all pictures; None: the first, where it has classes.
        prompt: What to paint, for a model that takes a text.
        loop: Return to the first seed, so that the last frame goes before the first.
        fps: Frames a second.
        force: Replace frames that ganart did not make, and an existing moving picture.
        on_step: Called after each frame; returning False ends the work, and the frames until then are kept.

    Raises:
        SettingsError: A number is out of range, a file does not fit, or the generator has no styles or no such class.
        ImageError: The output cannot be written.
        ModelError: The generator broke, or memory ran out.
    """
    if fps < 1:
        raise SettingsError(f"fps is {fps}, expected at least 1")
    target = Path(output)
    way = _Way(generator, seeds, latents, steps, space, route, label, prompt, loop)
    files = [target / f"frame{number:04d}.png" for number in range(way.total)] if is_folder(output) else []
    _check_output(target, files, force)
    progress = Steps(on_step)
    start = time.perf_counter()

    def shown() -> Iterator[Tensor]:
        for number, frame in enumerate(way, start=1):
            yield frame
            event = StepEvent(number, way.total, "frames", {}, lambda frame=frame: frame.clamp(0, 1))  # type: ignore[misc]
            if progress(event) is False:
                return

    with generator.announced("interpolate", target, way.request):
        if files:
            # fewer frames than files where it is stopped
            for count, (file, frame) in enumerate(zip(files, shown(), strict=False), start=1):
                save(frame, file, record=way.record(count - 1))
        else:
            count = save_animation(shown(), target, fps=fps, loop=loop)
    seconds = time.perf_counter() - start
    generator.emit("interpolate", "saved", target, way.request)
    stopped = progress.stopped_at is not None
    generator.emit("interpolate", "stopped" if stopped else "finished", target, {**way.request, "seconds": seconds})
    return Interpolated(target, count, seconds, stopped)


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
    """Return how many frames there are, and the frames `[1, 3, H, W]` as they are asked for.

    The frame at each seed is its picture as `sample` makes it, bit for bit: exactly for style generators and those
    without noise; where a generator draws noise, all frames have that of the first seed. Arguments and errors as those
    of `interpolate`.
    """
    way = _Way(generator, seeds, latents, steps, space, route, label, prompt, loop)
    return way.total, iter(way)


def rerun(
    zoo: Zoo,
    record: Record,
    files: Mapping[str, Path],
    output: Path,
    *,
    device: str,
    fetch: bool = False,
    on_step: OnStep | None = None,
) -> Frame:
    """Make the frame of a record again; arguments and errors as those of `stylize.rerun`."""
    asked = record.request
    way = _Way(
        load_recorded(zoo, record, device=device, fetch=fetch),
        asked["seeds"],
        [files[one.role] for one in record.inputs],
        asked["steps"],
        asked["space"],
        asked["route"],
        asked["class"],
        asked.get("prompt"),
        asked["loop"],
    )
    start = time.perf_counter()
    frame = way.frame(asked["frame"])
    if on_step is not None:
        on_step(StepEvent(1, 1, "frames", {}, lambda: frame.clamp(0, 1)))
    again = way.record(asked["frame"])
    save(frame, output, record=again)
    return Frame(output, time.perf_counter() - start, again)


class _Way:
    """The frames between points of a space, each made when it is asked for; arguments as those of `interpolate`."""

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
        generator.check_prompt(prompt)
        # as it was asked, for the record
        self.request: dict[str, Any] = {
            "seeds": list(seeds),
            "steps": steps,
            "space": space,
            "route": route,
            "class": label,
            "prompt": prompt,
            "loop": loop,
        }
        self._inputs = [InputFile.of(path, f"latents {number}") for number, path in enumerate(latents, start=1)]
        found = [read_latents(generator, path) for path in latents]
        space = space or _own_space(generator, found[0].kind if found else None)
        route = route or ("linear" if space == "w" else "spherical")
        for name, value, known in (("space", space, get_args(Space)), ("route", route, get_args(Route))):
            if value not in known:
                raise SettingsError(f"{name} is {value!r}, expected one of {', '.join(known)}")
        for path, one in zip(latents, found, strict=True):
            if one.kind != ("ws" if space == "w" else "z"):
                raise SettingsError(f"{path} holds {one.kind}, and the way is in {space}; give files of one space")
        labels = generator.labels(None if label is None else [label])
        told = generator.condition(None if labels is None else labels[:1], prompt)
        of_seeds = _points(generator, space, seeds, told) if seeds else []
        self._points = torch.cat([*of_seeds, *(one.rows for one in found)]) if seeds or found else torch.empty(0)
        if len(self._points) < 2:
            raise SettingsError(f"{len(self._points)} seeds were given, expected at least 2 to go between")
        self._generator, self._steps = generator, steps
        self._paint = _painter(generator, space, seeds, told)
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
            return self._paint(self._between(a, b, torch.tensor([step / self._steps]))).to("cpu")

    def record(self, number: int) -> Record:
        """Return the record of frame `number`."""
        seed = next(iter(self.request["seeds"]), 0)
        return self._generator.record("interpolate", seed, {**self.request, "frame": number}, self._inputs)


def _own_space(generator: LoadedGenerator, kind: Literal["z", "ws"] | None) -> Space:
    if kind is None:
        return "w" if isinstance(generator.model, StyleGenerator) else "z"
    return "w" if kind == "ws" else "z"


def _points(generator: LoadedGenerator, space: Space, seeds: Sequence[int], told: Condition | None) -> list[Tensor]:
    """Return the points of the seeds in a space."""
    with generator.calls("interpolate"), torch.no_grad():
        latents = generator.latents(seeds)
        if space == "z":
            return [latents]
        model = generator.styled("interpolating in w")
        # row by row, as for samples: another batch size may round otherwise
        return [generator.truncated(model.map(row[None], told)) for row in latents]


def _painter(generator: LoadedGenerator, space: Space, seeds: Sequence[int], told: Condition | None) -> Paint:
    if space == "w":
        return generator.styled("interpolating in w").synthesize
    if isinstance(generator.model, StyleGenerator) or not seeds:
        return painter(generator, "z", told, 0)

    def paint(points: Tensor) -> Tensor:
        rng = [seeded(seeds[0])]
        generator.model.sample_latents(1, rng=rng, options=generator.options)  # the noise comes after the latent
        images: Tensor = generator.model(points, told, rng=rng, options=generator.options)
        return images

    return paint


def _check_output(target: Path, files: Sequence[Path], force: bool) -> None:
    if files:
        make_folder(target)
        for file in files:
            if file.exists() and not force:
                check_replaceable(file)
        check_folder(target)
        return
    check_animation(target)
    if target.exists() and not force:  # a moving picture carries no record, so whose it is cannot be known
        raise SettingsError(f"{target}: exists; choose another output, or use force")
    check_folder(target.parent)
