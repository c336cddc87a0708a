"""PatchGAN: a convolutional critic without a dense layer, so that every patch of a picture has a vote.

Isola et al. 2017 (pix2pix), https://arxiv.org/abs/1611.07004, appendix 6.1.2; several scales as in Wang et al. 2018
(pix2pixHD), https://arxiv.org/abs/1711.11585. Batch norm is replaced, so that votes do not depend on the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_patchgan.config import Config
from ganart_zoo import ops
from ganart_zoo.contract import Condition, Critic, ImageError, SettingsError

__all__ = ["PatchGan"]

_SLOPE = 0.2
_KERNEL = 4
_WIDEST = 8


class _Patches(nn.Module):
    """The critic of one scale: 4×4 convolutions, of stride 2 and then 1, down to one channel of votes."""

    def __init__(self, inputs: int, config: Config) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        strides = [2] * config.halvings + [1]
        for index, stride in enumerate(strides):
            outputs = config.width * min(1 << index, _WIDEST)
            normalised = config.norm == "instance" and index > 0  # as in the paper, the first layer is not normalised
            self.convolutions.append(nn.Conv2d(inputs, outputs, _KERNEL, stride=stride, padding=1))
            self.norms.append(nn.InstanceNorm2d(outputs, affine=True) if normalised else nn.Identity())
            inputs = outputs
        self.vote = nn.Conv2d(inputs, 1, _KERNEL, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            assert isinstance(convolution, nn.Conv2d)
            layer = (images, convolution.weight, convolution.bias)
            stride = convolution.stride[0]
            if isinstance(norm, nn.InstanceNorm2d):
                images = ops.conv2d_bias_act(*layer, stride=stride, padding=1)
                images = ops.instance_norm_act(
                    images, norm.weight, norm.bias, act="lrelu", negative_slope=_SLOPE, eps=norm.eps
                )
            else:
                images = ops.conv2d_bias_act(
                    *layer, stride=stride, padding=1, act="lrelu", negative_slope=_SLOPE, gain=1
                )
        votes: Tensor = self.vote(images)
        return votes.flatten(1)


class PatchGan(Critic):
    """Returns votes `[n, k]` on pictures of any size: one for each patch at each scale."""

    config: Config
    takes_batches = True

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        inputs = 6 if config.reference else 3
        self.scales = nn.ModuleList(_Patches(inputs, config) for _ in range(config.scales))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)
        if config.norm == "spectral":
            for scale in self.scales:
                ops.spectral_norm(scale)

    def forward(self, images: Tensor, condition: Condition | None = None, *, batches: int = 1) -> Tensor:
        """Return votes `[n, k]` on pictures `[n, 3, H, W]`, the finest scale first, each scale row by row.

        Args:
            images: Pictures in 0..1.
            condition: With `reference`, its `images` have the size of the pictures; otherwise it must be empty.
            batches: Without effect, since each picture is judged by itself.

        Raises:
            ImageError: Pictures are too small for the coarsest scale, or the reference has another size.
            SettingsError: The reference is missing, or the condition has a field that this critic does not support.
        """
        self._check_size(images)
        seen = torch.cat([images, *self._reference(images, condition)], dim=1) * 2 - 1
        seen = seen.to(self.compute_dtype, memory_format=torch.channels_last)
        votes: list[Tensor] = []
        for scale in self.scales:
            if votes:
                seen = functional.avg_pool2d(seen, 3, stride=2, padding=1, count_include_pad=False)
            votes.append(scale(seen))
        return torch.cat(votes, dim=1).to(self.picture_dtype)

    def _check_size(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != 3:
            raise ImageError(f"images are {list(images.shape)}, expected [n, 3, H, W]")
        side = min(images.shape[2:])
        for _ in range(self.config.scales - 1):
            side = (side + 1) // 2
        for _ in range(self.config.halvings):
            side //= 2
        if side <= 2 * (_KERNEL - 3):  # two convolutions of stride 1 follow, and each removes a pixel
            raise ImageError(
                f"a picture of {images.shape[3]}×{images.shape[2]} pixels is too small for {self.config.halvings} "
                f"halvings and {self.config.scales} scales; enlarge it, or set fewer"
            )

    def _reference(self, images: Tensor, condition: Condition | None) -> list[Tensor]:
        expanded = (condition or Condition()).rows(len(images))
        for name, part in expanded._asdict().items():
            if part is not None and not (name == "images" and self.config.reference):
                raise SettingsError(f"patchgan got {name}, which it does not support as configured; leave them out")
        if not self.config.reference:
            return []
        if expanded.images is None:
            raise SettingsError(
                "patchgan was built with reference=True and got no reference; pass Condition(images=...)"
            )
        if expanded.images.shape[1:] != images.shape[1:]:
            raise ImageError(
                f"reference pictures are {list(expanded.images.shape)}, expected {list(images.shape)}; resize them"
            )
        return [expanded.images.to(images)]
