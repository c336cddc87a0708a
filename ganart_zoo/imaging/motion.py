"""Motion between two frames by dense optical flow: where a pixel was before, and where nothing can be said of it.

The flow is that of OpenCV's DIS (Kroeger et al. 2016). It needs the extra `ganart-zoo[video]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as nn_functional

from ganart_zoo.contract.errors import ImageError

__all__ = ["Motion", "check_motion", "is_cut", "motion_between"]

_STILL = 0.15
"""Pixels. Flow below this is taken for none, so that what stands still is copied and not interpolated."""
_CUT = 0.1
"""Mean difference, in 0..1, of a frame from the one before from which the scene is another: with and without moving it
by the flow."""


@dataclass(frozen=True)
class Motion:
    """What is known of a frame from the one before it."""

    flow: Tensor
    """`[1, 2, H, W]`, pixels: the pixel at (x, y) was at (x + flow[0], y + flow[1])."""
    valid: Tensor
    """`[1, 1, H, W]` in 0..1: 0 where the pixel was hidden, outside, or its motion is not certain."""
    difference: Tensor
    """`[1, 1, H, W]`: mean difference over channels from the frame before, moved by the flow."""
    is_cut: bool
    """Whether the frames show different scenes."""

    def warp(self, before: Tensor) -> Tensor:
        """Return a picture of the frame before, `[1, c, H, W]`, moved to where its parts are now (bicubic)."""
        return _warped(before, self.flow)


def check_motion() -> None:
    """Raise ImageError where OpenCV is missing. Call it before long work."""
    try:
        import cv2  # noqa: F401  only checks that it is installed
    except ImportError:
        raise ImageError("clips need OpenCV; pip install 'ganart-zoo[video]'") from None


def motion_between(before: Tensor, now: Tensor) -> Motion:
    """Return the motion from one frame to the next.

    A pixel is valid where going back and forth by the flows ends near where it began, and the flow has no edge
    (Sundaram, Brox, Keutzer 2010, equations 5 and 6).

    Args:
        before: `[1, 3, H, W]` in 0..1.
        now: The same shape.

    Raises:
        ImageError: OpenCV is missing.
    """
    check_motion()
    first, second = _grey(before), _grey(now)
    backward, forward = _dis(second, first), _dis(first, second)
    backward = torch.where(backward.square().sum(1, keepdim=True) < _STILL**2, torch.zeros_like(backward), backward)
    there = _warped(forward, backward, mode="bilinear")
    gap = (backward + there).square().sum(1, keepdim=True)
    size = backward.square().sum(1, keepdim=True) + there.square().sum(1, keepdim=True)
    valid = gap <= 0.01 * size + 0.5
    edges = sum(step.square().sum(1, keepdim=True) for step in _steps(backward))
    valid &= edges <= 0.01 * backward.square().sum(1, keepdim=True) + 0.5
    valid &= _inside(backward)
    difference = (_warped(before, backward, mode="bilinear") - now).abs().mean(1, keepdim=True)
    another = float(difference.mean()) > _CUT and _differ(before, now)
    return Motion(backward, valid.float(), difference, another)


def is_cut(before: Tensor, now: Tensor) -> bool:
    """Return `motion_between(before, now).is_cut`, without computing the motion of frames that look alike."""
    return _differ(before, now) and motion_between(before, now).is_cut


def _differ(before: Tensor, now: Tensor) -> bool:
    return float((before - now).abs().mean()) > _CUT


def _grey(frame: Tensor) -> npt.NDArray[np.uint8]:
    weights = frame.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    grey: npt.NDArray[np.uint8] = (
        (frame[0].detach().cpu() * weights.cpu()).sum(0).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    )
    return grey


def _dis(source: npt.NDArray[np.uint8], target: npt.NDArray[np.uint8]) -> Tensor:
    import cv2

    height, width = source.shape
    if min(height, width) < 16:  # less than DIS can work on
        return torch.zeros(1, 2, height, width)
    library: Any = cv2  # whose type stubs lack it
    method = library.DISOpticalFlow_create(library.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = method.calc(source, target, None)
    return torch.from_numpy(np.ascontiguousarray(flow)).permute(2, 0, 1)[None]


def _grid(flow: Tensor) -> tuple[Tensor, Tensor]:
    height, width = flow.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return columns + flow[:, 0], rows + flow[:, 1]


def _warped(image: Tensor, flow: Tensor, mode: str = "bicubic") -> Tensor:
    height, width = flow.shape[-2:]
    x, y = _grid(flow)
    place = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1).to(image.dtype)
    moved = nn_functional.grid_sample(image.cpu(), place, mode=mode, padding_mode="border", align_corners=False)
    still = (flow == 0).all(1, keepdim=True)
    return torch.where(still, image.cpu(), moved)


def _inside(flow: Tensor) -> Tensor:
    height, width = flow.shape[-2:]
    x, y = _grid(flow)
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[:, None]


def _steps(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences to the right and downwards, zero at the last column and row."""
    right = nn_functional.pad(flow[..., 1:] - flow[..., :-1], (0, 1))
    down = nn_functional.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
    return right, down
