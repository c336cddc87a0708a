"""One whole step of style transfer by optimisation: the loss of a 512 x 512 picture and its gradient, through VGG-19.

Plain: contiguous float32, Gram matrices by `bmm`, differences by `mse_loss`, as most published code does it. Both stop
at the deepest tap and compute no gradient of weights. Weights are random: they cost what trained ones do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo import ops
from ganart_zoo.bench import baselines
from ganart_zoo.perceptual import StyleGroup, fastest, range_penalty, total_variation, with_margin

if TYPE_CHECKING:
    from .conftest import Race

pytest.importorskip("ganart_gatys", reason="the plugin ganart-gatys is not installed")
pytest.importorskip("ganart_backbones", reason="the plugin ganart-backbones is not installed")

from ganart_backbones.config import VggConfig
from ganart_backbones.vgg import VGG19
from ganart_gatys.config import Options
from ganart_gatys.objective import LayerWeights, Objective, Painting

SIDE = 512
LAYERS = LayerWeights(
    style={name: 1 / len(VGG19.taps["style"]) for name in VGG19.taps["style"]},
    content={name: 1 / len(VGG19.taps["content"]) for name in VGG19.taps["content"]},
)


class PlainObjective:
    """The formula at the head of `ganart_gatys.objective`, written plainly for one painting and no regions."""

    def __init__(self, backbone: VGG19, content: Tensor, painting: Tensor, options: Options) -> None:
        self._backbone = backbone
        self._options = options
        with torch.no_grad():
            photo, style = self._features(content), self._features(painting)
            self._content = {name: photo[name].clone() for name in LAYERS.content}
            self._grams = {name: baselines.gram_matrix(style[name]) for name in LAYERS.style}

    def __call__(self, picture: Tensor) -> Tensor:
        seen = self._features(picture)
        options = self._options
        loss = options.tv_weight * total_variation(picture) + 10 * range_penalty(picture)
        for name, weight in LAYERS.content.items():
            target = self._content[name]
            relative = functional.mse_loss(seen[name], target) / target.square().mean()
            loss = loss + options.content_weight * weight * relative
        for name, weight in LAYERS.style.items():
            target = self._grams[name]
            relative = baselines.style_loss(seen[name], target) / target.square().mean()
            loss = loss + options.style_weight * weight * relative
        return loss

    def _features(self, picture: Tensor) -> dict[str, Tensor]:
        return self._backbone(with_margin(picture), [*LAYERS.style, *LAYERS.content])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gatys_step(race: Race, dtype: str, device: str) -> None:
    torch.manual_seed(0)
    photo, painting, picture = torch.rand(3, 1, 3, SIDE, SIDE, device=device).unbind()
    options = Options()
    backbone = VGG19(VggConfig()).to(device).eval().requires_grad_(False)

    def step(objective: Callable[[Tensor], Tensor]) -> Callable[[], Tensor]:
        own = picture.clone().requires_grad_()
        return lambda: torch.autograd.grad(objective(own), own)[0]

    with ops.use("native"):
        plain = PlainObjective(backbone, photo, painting, options)
        with torch.no_grad():
            everywhere = StyleGroup(region=None, share=1.0, members=((0, 1.0),))
            paintings = [Painting(painting, None)]
            tuned = Objective(fastest(backbone, dtype), LAYERS, photo, paintings, [everywhere], options)
        # The same maths, or the ratio means nothing.
        tolerance = 1e-4 if dtype == "float32" else 5e-2
        torch.testing.assert_close(tuned(picture).total, plain(picture), rtol=tolerance, atol=0)
        race(
            {"ganart": step(lambda picture: tuned(picture).total), "eager float32": step(plain)},
            device=device,
            dtype=dtype,
            op="gatys_step",
            group="VGG-19",
            shape=f"{SIDE}x{SIDE}",
            direction="forward+backward",
        )
