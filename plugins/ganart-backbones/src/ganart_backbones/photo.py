"""What the backbones share: checks and normalisation of pictures, the loop over layers, and published weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ganart_zoo.contract import Backbone, ImageError, LayerInfo, ModelError, load_tensors, unwrap_names

__all__ = ["CLASSES", "IMAGENET_MEAN", "IMAGENET_STD", "PhotoBackbone", "folded_batch_norm", "init_parameters"]

CLASSES = 1000
"""The number of classes of ImageNet-1k, in the usual order."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PhotoBackbone(Backbone):
    """A convolutional classifier of photos whose layers follow one another.

    Features have the parameters' dtype (a bfloat16 model returns bfloat16 features, so sum losses in float32). They are
    channels_last where the pictures or the parameters are. They are never changed after they are returned.

    Args:
        mean: Subtracted from the red, green and blue values.
        std: The differences are divided by it.
        layers: The layers that the model builds, in the order in which `steps` yields them.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], layers: Mapping[str, LayerInfo]) -> None:
        super().__init__()
        # Plain numbers and not buffers, which would be rounded to bfloat16 with the model and shift the colours.
        self._scale = [1 / s for s in std]
        self._shift = [-m / s for m, s in zip(mean, std, strict=True)]
        self.layers = dict(layers)

    def steps(self, features: Tensor, kept: frozenset[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's name and output, in the order of `layers`. Each is computed when it is asked for.

        Args:
            features: Normalised pictures `[n, 3, H, W]` of the compute dtype.
            kept: The layers whose outputs are returned, and so must not be changed in place.
        """
        raise NotImplementedError

    def smallest_side(self, layer: str) -> int:
        """Return the fewest pixels a side that a picture must have to reach `layer`."""
        raise NotImplementedError

    def published_names(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names of the tensors that a published file must hold, and of those that it may hold too."""
        raise NotImplementedError

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `own_state()` for the tensors of a published file, whose names have been checked."""
        raise NotImplementedError

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return `{name: [n, C, h, w]}` in the order requested; `"logits"` is `[n, 1000]`. Gradients reach `images`.

        Args:
            images: `[n, 3, H, W]`, sRGB in 0..1; values outside are not clamped.
            layers: Names from `self.layers`. Nothing beyond the deepest one is computed.

        Raises:
            SettingsError: A layer is unknown.
            ImageError: `images` is not floating point `[n, 3, H, W]`, or too small for a layer.
        """
        kept = frozenset(self.check_layers(layers))
        self._check_images(images, kept)
        outputs: dict[str, Tensor] = {}
        if kept:
            for name, features in self.steps(self._normalise(images), kept):
                if name in kept:
                    outputs[name] = features
                if len(outputs) == len(kept):
                    break
        return {name: outputs[name] for name in layers}

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load published weights, strictly, from safetensors or a weights-only torch file of any floating dtype.

        A file with this model's own names, as `own_state()` returns them, loads too. With `classifier=False` the file
        may hold the class head or lack it.

        Raises:
            ModelError: There is not exactly one file, or its tensors do not fit.
            WeightsError: The file is damaged.
        """
        if len(files) != 1:
            names = ", ".join(sorted(files))
            raise ModelError(f"{type(self).__name__} takes one weights file, got {len(files)}: {names}")
        (path,) = files.values()
        published = frozenset[str]().union(*self.published_names())
        tensors = unwrap_names(load_tensors(path), self.own_state().keys() | published)
        if tensors.keys() != self.own_state().keys():
            self._check_published(tensors, path)
            tensors = self.from_published(tensors)
        self.load_own_state(tensors)

    def _check_published(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        required, optional = self.published_names()
        missing = sorted(required - tensors.keys())
        unexpected = sorted(tensors.keys() - required - optional)
        problems = [f"missing {name!r}" for name in missing] + [f"unexpected {name!r}" for name in unexpected]
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            headless = missing and all(name.startswith(("classifier.", "_fc.", "fc.")) for name in missing)
            hint = "; features alone load with classifier=False" if headless else ""
            raise ModelError(f"{path.name} does not fit {type(self).__name__}: {', '.join(problems[:3])}{more}{hint}")

    def _check_images(self, images: Tensor, layers: frozenset[str]) -> None:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ImageError(
                f"images are {images.dtype} {list(images.shape)}, expected floating point [n, 3, H, W] in 0..1"
            )
        height, width = images.shape[2:]
        for layer in layers:
            if min(height, width) < (side := self.smallest_side(layer)):
                raise ImageError(
                    f"a picture of {width}x{height} pixels is too small for layer {layer!r} of {type(self).__name__}, "
                    f"which needs {side} a side; enlarge it or take an earlier layer"
                )

    def _normalise(self, images: Tensor) -> Tensor:
        """Shift and scale in the pictures' own precision, in one pass, then cast to the compute dtype."""
        scale, shift = (images.new_tensor(values).view(3, 1, 1) for values in (self._scale, self._shift))
        return torch.addcmul(shift, images, scale).to(next(self.parameters()).dtype)


def folded_batch_norm(
    tensors: Mapping[str, Tensor], convolution: str, norm: str, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Return the weight and bias, in float64, of a published convolution with the batch norm after it folded in."""
    gain, bias, mean, variance = (
        tensors[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gain * torch.rsqrt(variance + epsilon)
    return tensors[f"{convolution}.weight"].double() * factor.view(-1, 1, 1, 1), bias - mean * factor


def init_parameters(model: nn.Module) -> None:
    """Draw convolution and linear weights so that activations keep their scale (He et al. 2015), with zero biases."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
