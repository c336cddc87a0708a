"""CPU time to the same content and style loss: gatys, and style transfer as most programs do it, in plain PyTorch.

    python benchmarks/equal_loss.py photo.jpg painting.jpg --weights vgg16.safetensors --size 256

Plain: contiguous float32, Adam on pixels with the rate and the loss that jcjohnson/neural-style and its PyTorch
versions have made usual:

    5 * mean (F - P)^2 + 100 * sum_l mean (G_l - A_l)^2 + 0.001 * sum |differences of neighbours|

for pixels of 0..255, F and P the features `relu4_2` of picture and photo, G_l and A_l the Gram matrices F F^T / (C H W)
of picture and painting at `relu1_1` to `relu5_1` of VGG16, from the photo. gatys is given the same layers and weights,
at `--variation` for its own total variation. Its mark is what plain PyTorch has reached after some steps: it has passed
it at the first step with neither loss above. Both are judged by plain PyTorch as they would be saved, in whole numbers
from 0 to 255. Times are those of the process on one thread, from the loaded pictures and network on, without judging.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo import Zoo, native
from ganart_zoo.contract import Backbone, StepEvent, Style
from ganart_zoo.imaging import load

CONTENT = "relu4_2"
STYLES = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_WEIGHT, STYLE_WEIGHT, VARIATION_WEIGHT = 5.0, 100.0, 1e-3


class Point(NamedTuple):
    """Where a descent was after some time."""

    step: int
    seconds: float
    content: float
    style: float
    variation: float

    def __str__(self) -> str:
        return (
            f"step {self.step:4}  {self.seconds:7.1f} CPU-s  content {self.content:7.1f}  style {self.style:8.1f}  "
            f"variation {self.variation:7.1f}"
        )


class PlainLoss:
    """The loss in plain PyTorch. Pictures are `[1, 3, H, W]`, values 0..1."""

    def __init__(self, backbone: Backbone, photo: Tensor, painting: Tensor) -> None:
        self._backbone = backbone
        with torch.no_grad():
            self._content = backbone(photo, [CONTENT])[CONTENT]
            self._grams = {name: _gram(features) for name, features in backbone(painting, STYLES).items()}

    def __call__(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weighted content loss, style loss and total variation."""
        seen = self._backbone(picture, [*STYLES, CONTENT])
        content = CONTENT_WEIGHT * functional.mse_loss(seen[CONTENT], self._content)
        terms = [functional.mse_loss(_gram(seen[name]), gram) for name, gram in self._grams.items()]
        down, across = picture.diff(dim=-2), picture.diff(dim=-1)
        variation = VARIATION_WEIGHT * 255 * (down.abs().sum() + across.abs().sum())
        return content, STYLE_WEIGHT * torch.stack(terms).sum(), variation

    def energies(self) -> tuple[float, list[float]]:
        """Return the mean squares of the targets: of the content's, and of each style layer's."""
        return float(self._content.square().mean()), [float(gram.square().mean()) for gram in self._grams.values()]

    @torch.no_grad()
    def saved(self, picture: Tensor, step: int, seconds: float) -> Point:
        """Return the losses of the picture as it would be saved."""
        losses = self((picture.clamp(0, 1) * 255).round() / 255)
        return Point(step, seconds, *(float(loss) for loss in losses))


class Watch:
    """Measures the process's time but for pauses."""

    def __init__(self) -> None:
        self._since = time.process_time()

    def seconds(self) -> float:
        """Return the seconds so far."""
        return time.process_time() - self._since

    def paused(self, work: Callable[[float], Point]) -> Point:
        """Do work that takes the seconds so far and does not count."""
        now = self.seconds()
        result = work(now)
        self._since = time.process_time() - now
        return result


def plain(
    backbone: Backbone, photo: Tensor, painting: Tensor, judge: PlainLoss, rate: float, at: list[int]
) -> list[Point]:
    """Return the points of plain PyTorch after these numbers of steps."""
    watch, points = Watch(), []
    objective = PlainLoss(backbone, photo, painting)
    picture = photo.clone().requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=rate / 255)
    for step in range(1, max(at) + 1):
        optimizer.zero_grad()
        torch.stack(objective(picture)).sum().backward()
        optimizer.step()
        if step in at:
            points.append(watch.paused(partial(judge.saved, picture.detach(), step)))
            print("plain ", points[-1], flush=True)
    return points


def ours(
    zoo: Zoo,
    backbone: Backbone,
    photo: Tensor,
    painting: Tensor,
    judge: PlainLoss,
    steps: int,
    every: int,
    variation: float,
    shifts: int,
    compute: str,
) -> list[Point]:
    """Return the points of gatys every few steps, and at its end."""
    content, styles = judge.energies()
    total = STYLE_WEIGHT * sum(styles)
    watch, points = Watch(), []
    model = zoo.create(
        "gatys",
        backbone=backbone,
        style_layers=STYLES,
        style_layer_weights=[STYLE_WEIGHT * energy / total for energy in styles],
        content_layers=(CONTENT,),
        compute=compute,
    )
    options = zoo.options(
        "gatys",
        steps=steps,
        scales=1,
        plateau=0,
        content_weight=CONTENT_WEIGHT * content / total,
        tv_weight=variation,
        shifts=shifts,
    )

    def note(event: StepEvent) -> None:
        if event.step > 1 and (event.step - 1) % every == 0:  # the picture after that many steps
            done = event.step - 1
            points.append(watch.paused(partial(judge.saved, event.preview(), done)))
            print("gatys ", points[-1], flush=True)

    picture = model.stylize(photo, [Style(image=painting)], options=options, on_step=note)
    points.append(watch.paused(partial(judge.saved, picture, steps)))
    print("gatys ", points[-1], flush=True)
    return points


def _gram(features: Tensor) -> Tensor:
    rows = features[0].flatten(1)
    return rows @ rows.T / rows.numel()


def main() -> None:
    """Print both curves and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("painting", type=Path)
    parser.add_argument("--weights", default="default", help="Of vgg16: a file, or a variant.")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--at", type=int, nargs="+", default=[50, 100, 150], help="Steps of plain PyTorch to equal.")
    parser.add_argument("--rate", type=float, default=1.0, help="Of plain PyTorch's Adam, for pixels of 0..255.")
    parser.add_argument("--steps", type=int, default=80, help="Of gatys.")
    parser.add_argument("--every", type=int, default=5, help="Steps of gatys from point to point.")
    parser.add_argument("--variation", type=float, default=0.0, help="Weight of gatys' total variation.")
    parser.add_argument("--shifts", type=int, default=16, help="Of gatys; plain PyTorch has 1.")
    parser.add_argument("--compute", choices=["float32", "bfloat16"], default="float32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    native.tune_allocator()
    zoo = Zoo()
    weights = Path(arguments.weights) if Path(arguments.weights).exists() else arguments.weights
    backbone = zoo.create("vgg16", weights=weights)
    photo, painting = (load(path, size=arguments.size) for path in (arguments.photo, arguments.painting))
    judge = PlainLoss(backbone, photo, painting)
    theirs = plain(backbone, photo, painting, judge, arguments.rate, arguments.at)
    how = (arguments.steps, arguments.every, arguments.variation, arguments.shifts, arguments.compute)
    points = ours(zoo, backbone, photo, painting, judge, *how)
    for mark in theirs:
        passed = [point for point in points if point.content <= mark.content and point.style <= mark.style]
        if passed:
            first = passed[0]
            ratio = mark.seconds / first.seconds
            print(f"{mark.step} plain steps are equalled by {first.step} of gatys in 1/{ratio:.2f} of the time")
        else:
            print(f"{mark.step} plain steps are not equalled within {arguments.steps} of gatys")


if __name__ == "__main__":
    main()
