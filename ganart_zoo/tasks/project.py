"""The verb `project`: the latent whose picture is nearest to a given one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.contract.models import StyleGenerator
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.data.pictures import fit_square
from ganart_zoo.imaging.files import check_ordinary
from ganart_zoo.imaging.images import save
from ganart_zoo.imaging.record import Record
from ganart_zoo.metrics import PerceptualDistance
from ganart_zoo.perceptual import Adam, Descent, Evaluation, descend
from ganart_zoo.running.calls import Steps, stopping_at
from ganart_zoo.running.generators import LoadedGenerator, check_seeds
from ganart_zoo.running.interrupts import interruptible
from ganart_zoo.running.latent_files import Latents, Paint, painter, write_latents
from ganart_zoo.running.outputs import check_pictures
from ganart_zoo.running.pictures import Picture, describe, read
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.showing import Shown
from ganart_zoo.tasks.comparison import DEFAULT_BACKBONE, BackboneChoice, default_side, load_backbone

__all__ = ["Projected", "ProjectionSpace", "project", "rerun"]

ProjectionSpace = Literal["z", "w", "w+"]

_STARTS = 64
"""Seeds whose pictures are compared with the target before the search."""

_BATCH = 16
"""Starts painted at once."""

_PIXEL_WEIGHT = 1.0
"""Weight of the mean squared difference of pixels, for colours that features do not see."""


@dataclass(frozen=True, eq=False)
class Projected(Shown):
    """The result of a call."""

    image: Tensor
    """`[1, 3, H, W]` on the CPU, not clamped: the best picture."""
    latent: Tensor
    """`[1, *latent_shape]` in z, `[1, num_ws, w_dim]` in w and w+."""
    loss: float
    steps: int
    """Steps done when the search ended or was stopped."""
    path: Path | None
    """The picture; its latent is beside it, `.safetensors`."""
    seconds: float
    stopped: bool
    record: Record


@interruptible
def project(
    generator: LoadedGenerator,
    picture: Picture,
    output: str | os.PathLike[str] | None = None,
    *,
    space: ProjectionSpace | None = None,
    steps: int = 300,
    rate: float = 0.05,
    seed: int = 0,
    label: int | str | None = None,
    prompt: str | None = None,
    backbone: BackboneChoice = DEFAULT_BACKBONE,
    side: int | None = None,
    fetch: bool = False,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Projected:
    """Find the latent of a picture by gradient descent on the distance of features and pixels.

    The search starts from the seed, of 64, whose picture is nearest. Adam continues from there; its rate decays to 0
    along a cosine.

    Args:
        generator: From `load_generator`; differentiable.
        picture: Cut to the square in its centre, and scaled to the size of the generator's pictures.
        output: `.png`, `.jpg`, `.jpeg` or `.webp` for the nearest picture. Its latent is saved beside it, under the
            name `z` or `ws` in a `.safetensors` file of the same stem, for `sample(latents=...)`. None saves nothing.
        space: `"w"`: one style for all layers; `"w+"`: one style per layer, which comes nearer and leaves what the
            generator usually paints; `"z"`. None: w for a style generator, else z.
        steps: Steps of the descent.
        rate: Learning rate of Adam, in the units of the latent.
        seed: Seed of the first start, and of the noise inside a generator without styles.
        label: The class; None: the first, where the generator has classes.
        prompt: What the picture shows, for a model that takes a text.
        backbone: Whose features are compared: a name, or a mapping with `model`, `weights` and settings.
        side: Pictures are scaled to this for the backbone, in pixels; None: 299 for Inception, else 128.
        fetch: Download missing weights of the backbone.
        force: Replace files that ganart did not make.
        on_step: Called after each step; returning False ends the search with the best picture so far.

    Raises:
        SettingsError: A number is out of range, or the generator is not differentiable, has no styles or no such class.
        ImageError: The picture cannot be read, or the output not be written.
        ModelError: The generator broke, or memory ran out.
    """
    check_seeds(seed, _STARTS)
    for name, value in (("steps", steps), ("rate", rate)):
        if value <= 0:
            raise SettingsError(f"{name} is {value}, expected more than 0")
    if "differentiable" not in generator.entry.spec.capabilities:
        raise SettingsError(
            f"{generator.entry.canonical} does not say that it is differentiable, and projection needs it"
        )
    space = space or ("w" if isinstance(generator.model, StyleGenerator) else "z")
    if space not in get_args(ProjectionSpace):
        raise SettingsError(f"space is {space!r}, expected one of {', '.join(get_args(ProjectionSpace))}")
    target = None if output is None else Path(output)
    _check_output(target, force)
    source = read(picture)
    condition = generator.one_condition(label, prompt)
    paint, starts = _space(generator, space, condition, seed)
    request: dict[str, Any] = {
        "space": space,
        "steps": steps,
        "rate": rate,
        "class": label,
        "prompt": prompt,
        "starts": _STARTS,
    }
    with generator.work("project", request, path=target, on_step=on_step) as work:
        network = load_backbone(generator.zoo, backbone, device=generator.model.device, fetch=fetch)
        side = default_side(generator.zoo, network) if side is None else side
        assert network.provenance is not None  # Zoo.create set it
        request |= {"backbone": network.provenance.to_json(), "side": side}
        work.details |= request
        with work.calls():
            with torch.no_grad():
                resolution = paint(starts[:1]).shape[-1]
            loss = _loss(PerceptualDistance(network, side=side), source, resolution)
            best = _search(paint, _nearest(paint, starts, loss), loss, steps, rate, work.steps)
        if space == "w":
            best.latent = best.latent.expand(-1, generator.styled("projecting into w").num_ws, -1).contiguous()
        stopped_at = work.steps.stopped_at
        record = generator.record(
            "project", seed, {**request, "stopped_at": stopped_at}, [describe(picture, "picture")]
        )
        if target is not None:
            save(best.image, target, record=record)
            write_latents(target.with_suffix(".safetensors"), Latents("z" if space == "z" else "ws", best.latent))
            work.saved()
    done = stopped_at or steps
    return Projected(best.image, best.latent, best.loss, done, target, work.seconds, work.stopped, record)


@dataclass
class _Best:
    """The nearest picture so far."""

    loss: float
    latent: Tensor
    image: Tensor


def _space(
    generator: LoadedGenerator, space: ProjectionSpace, condition: Condition | None, seed: int
) -> tuple[Paint, Tensor]:
    """Return what paints a point of the space, and the points of the first seeds."""
    latents = generator.latents(range(seed, seed + _STARTS))
    if space == "z":
        return painter(generator, "z", condition, seed), latents
    model = generator.styled(f"projecting into {space}")
    with torch.no_grad():
        ws = generator.truncated(model.map(latents, condition))
    if space == "w+":
        return model.synthesize, ws
    return lambda points: model.synthesize(points.expand(-1, model.num_ws, -1)), ws[:, :1]


def _loss(distance: PerceptualDistance, source: Tensor, side: int) -> Callable[[Tensor], Tensor]:
    """Return what gives the loss `[n]` of pictures against the source at their size."""
    fitted = fit_square(source, side, crop="centre", flip=False, seed=0)[None].float().div(255)
    with torch.no_grad():
        features = distance.embed(fitted)

    def loss(images: Tensor) -> Tensor:
        pixels = (images - fitted.to(images.device)).square().mean(dim=(1, 2, 3))
        return distance.between(distance.embed(images), features) + _PIXEL_WEIGHT * pixels

    return loss


def _nearest(paint: Paint, starts: Tensor, loss: Callable[[Tensor], Tensor]) -> _Best:
    with torch.no_grad():
        losses = torch.cat([loss(paint(some)) for some in torch.split(starts, _BATCH)])
        nearest = starts[int(losses.argmin())][None]
        image = paint(nearest)
        return _Best(float(loss(image)), nearest, image)


def _search(
    paint: Paint, start: _Best, loss: Callable[[Tensor], Tensor], steps: int, rate: float, progress: Steps
) -> _Best:
    point = start.latent.clone().requires_grad_(True)

    def evaluate(_: int) -> Evaluation:
        image = paint(point)
        return Evaluation(loss(image).sum(), image)

    def report(evaluation: Evaluation, best: Descent) -> bool:
        losses = {"loss": float(evaluation.loss)}
        return progress(StepEvent.of(best.steps, steps, "search", losses, picture=best.picture)) is False

    optimizer = Adam([point], lr=rate)
    best = descend(optimizer, evaluate, steps=steps, last_rate=0.0, keep_parameters=True, on_step=report)
    return _Best(float(best.loss), best.parameters[0].cpu(), best.picture.cpu())


def rerun(again: Rerun) -> Projected:
    """Search for a recorded picture again; errors as those of `project`."""
    request = again.record.request
    backbone = request["backbone"]
    return project(
        again.load(LoadedGenerator),
        again.files["picture"],
        again.output,
        space=request["space"],
        steps=request["steps"],
        rate=request["rate"],
        seed=again.record.seed,
        label=request["class"],
        prompt=request.get("prompt"),
        # early records have the name alone
        backbone=backbone if isinstance(backbone, str) else Provenance.from_json(backbone).to_settings(),
        side=request["side"],
        fetch=again.fetch,
        force=True,
        on_step=stopping_at(request["stopped_at"], again.on_step),
    )


def _check_output(target: Path | None, force: bool) -> None:
    if target is None:
        return
    check_pictures([target], force=force)
    latent = target.with_suffix(".safetensors")
    check_ordinary(latent)
    if latent.exists() and not target.exists() and not force:  # only the picture's record says whether ganart made it
        raise ImageError(f"{latent}: exists without {target.name}; choose another output, or use --force (force=True)")
