"""The verb `interpolate`: from one seed's picture to the next, as a moving picture or as frames."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.contract.models import StyleGenerator
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.imaging.animation import check_animation, save_animation
from ganart_zoo.imaging.images import save
from ganart_zoo.tasks.calls import Steps
from ganart_zoo.tasks.generating import LoadedGenerator, check_seeds
from ganart_zoo.tasks.latents import lerp, slerp
from ganart_zoo.tasks.outputs import check_folder, check_replaceable, is_folder, make_folder

__all__ = ["Interpolated", "Route", "Space", "frames", "interpolate"]

Space = Literal["z", "w"]
Route = Literal["linear", "spherical"]


@dataclass(frozen=True)
class Interpolated:
    """What a call made."""

    path: Path
    """The file, or the folder of frames."""
    frames: int
    seconds: float
    stopped: bool
    """`on_step` ended the work early."""


def interpolate(
    generator: LoadedGenerator,
    seeds: Sequence[int],
    output: str | os.PathLike[str],
    *,
    steps: int = 30,
    space: Space | None = None,
    route: Route | None = None,
    label: int | str | None = None,
    loop: bool = False,
    fps: int = 30,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Interpolated:
    """Make the pictures on the way through the seeds, and save them.

    Args:
        generator: From `load_generator`.
        seeds: At least two.
        output: A `.gif`, an `.mp4`, or a folder for `frame0000.png`, created if only its last part is missing.
        steps: From one seed to the next.
        space: `"w"` between styles, `"z"` between latents; None: w for a style generator.
        route: `"linear"`, or `"spherical"` along the arc; None: linear in w, spherical in z.
        label: The class of all pictures; None: the first, where it has classes.
        loop: Return to the first seed, so that the last frame goes before the first.
        fps: Frames a second.
        force: Replace frames that ganart did not make, and an existing moving picture.
        on_step: Called after each frame; returning False ends the work, and the frames until then are kept.

    Raises:
        SettingsError: A number is out of range, or the generator has no styles or no such class.
        ImageError: The output cannot be written.
        ModelError: The generator broke, or memory ran out.
    """
    if fps < 1:
        raise SettingsError(f"fps is {fps}, expected at least 1")
    generator.check_prompt(None)
    target = Path(output)
    told = {"seeds": list(seeds), "steps": steps, "space": space, "route": route, "class": label, "loop": loop}
    total, made = frames(generator, seeds, steps=steps, space=space, route=route, label=label, loop=loop)
    files = [target / f"frame{number:04d}.png" for number in range(total)] if is_folder(output) else []
    _check_output(target, files, force)
    progress = Steps(on_step)
    start = time.perf_counter()

    def shown() -> Iterator[Tensor]:
        for number, frame in enumerate(made, start=1):
            yield frame
            event = StepEvent(number, total, "frames", {}, lambda frame=frame: frame.clamp(0, 1))  # type: ignore[misc]
            if progress(event) is False:
                return

    with generator.announced("interpolate", target, told):
        if files:
            # fewer frames than files where it is stopped
            for count, (file, frame) in enumerate(zip(files, shown(), strict=False), start=1):
                save(frame, file, record=generator.record("interpolate", seeds[0], {**told, "frame": count - 1}))
        else:
            count = save_animation(shown(), target, fps=fps, loop=loop)
    seconds = time.perf_counter() - start
    generator.emit("interpolate", "saved", target, told)
    stopped = progress.stopped_at is not None
    generator.emit("interpolate", "stopped" if stopped else "finished", target, {**told, "seconds": seconds})
    return Interpolated(target, count, seconds, stopped)


def frames(
    generator: LoadedGenerator,
    seeds: Sequence[int],
    *,
    steps: int = 30,
    space: Space | None = None,
    route: Route | None = None,
    label: int | str | None = None,
    loop: bool = False,
) -> tuple[int, Iterator[Tensor]]:
    """Return how many frames there are, and the frames `[1, 3, H, W]` as they are asked for.

    The frame at each seed is its picture as `sample` makes it, bit for bit: exactly for style generators and those
    without noise; where a generator draws noise, all frames have that of the first seed. Arguments and errors as those
    of `interpolate`.
    """
    for seed in seeds:
        check_seeds(seed, 1)
    if len(seeds) < 2:
        raise SettingsError(f"{len(seeds)} seeds were given, expected at least 2 to go between")
    if steps < 1:
        raise SettingsError(f"steps is {steps}, expected at least 1")
    styled = isinstance(generator.model, StyleGenerator)
    space = space or ("w" if styled else "z")
    route = route or ("linear" if space == "w" else "spherical")
    for name, value, known in (("space", space, get_args(Space)), ("route", route, get_args(Route))):
        if value not in known:
            raise SettingsError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    picture, latents = _space(generator, space, seeds, label)
    legs = len(seeds) if loop else len(seeds) - 1
    total = legs * steps + (0 if loop else 1)
    way = slerp if route == "spherical" else lerp

    def walk() -> Iterator[Tensor]:
        for number in range(total):
            leg, step = divmod(number, steps)
            a, b = latents[leg % len(seeds)], latents[(leg + 1) % len(seeds)]
            with generator.calls("interpolate"), torch.no_grad():
                frame = picture(way(a[None], b[None], torch.tensor([step / steps]))).to("cpu")
            yield frame

    return total, walk()


def _space(
    generator: LoadedGenerator, space: Space, seeds: Sequence[int], label: int | str | None
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return what paints a point of the space, and the points of the seeds."""
    labels = generator.labels(None if label is None else [label])
    told = generator.condition(None if labels is None else labels[:1])
    with generator.calls("interpolate"), torch.no_grad():
        latents = generator.latents(seeds)
        if space == "w":
            model = generator.styled("interpolating in w")
            # row by row, as for samples: another batch size may round otherwise
            rows = [generator.truncated(model.map(row[None], told)) for row in latents]
            return model.synthesize, torch.cat(rows)

    def paint(points: Tensor) -> Tensor:
        if isinstance(generator.model, StyleGenerator):
            rng = None
        else:
            rng = [seeded(seeds[0])]
            generator.model.sample_latents(1, rng=rng, options=generator.options)  # the noise comes after the latent
        images: Tensor = generator.model(points, told, rng=rng, options=generator.options)
        return images

    return paint, latents


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
