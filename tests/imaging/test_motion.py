"""Motion between frames that are made with a known flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("cv2", reason="needs the extra video")

from ganart_zoo.imaging.motion import motion_between


def texture(height: int, width: int, seed: int) -> Tensor:
    """Return smooth noise, which has detail everywhere and no period."""
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(rng.random((1, 3, height // 6 + 2, width // 6 + 2))).float()
    return torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -4), (5, 2)])
def test_a_pan_has_its_own_motion(dx: int, dy: int) -> None:
    world = texture(140, 180, 0)
    before = world[..., 20:116, 20:148]
    now = world[..., 20 + dy : 116 + dy, 20 + dx : 148 + dx]  # the camera moves, so all was further to the right before
    motion = motion_between(before, now)
    inner = motion.flow[0, :, 16:-16, 16:-16]
    assert (inner[0] - dx).abs().median() < 0.3
    assert (inner[1] - dy).abs().median() < 0.3
    assert not motion.is_cut
    sure = motion.valid[..., 16:-16, 16:-16].mean()
    assert sure > 0.9
    moved = motion.warp(before)
    error = ((moved - now).abs() * motion.valid)[..., 16:-16, 16:-16].mean()
    assert error < 0.2 * (before - now).abs()[..., 16:-16, 16:-16].mean()


def test_a_still_frame_is_copied_exactly() -> None:
    frame = texture(64, 80, 1)
    motion = motion_between(frame, frame)
    assert not motion.flow.any()
    assert motion.valid.all()
    assert torch.equal(motion.warp(frame), frame)


def test_what_an_object_uncovers_is_not_trusted() -> None:
    ground, thing = texture(96, 128, 2), texture(32, 32, 3)
    before, now = ground.clone(), ground.clone()
    before[..., 32:64, 32:64] = thing
    now[..., 32:64, 38:70] = thing
    motion = motion_between(before, now)
    trusted = (motion.valid > 0) & (motion.difference < 0.05)
    assert trusted[..., 36:60, 33:37].float().mean() < 0.5
    assert trusted[..., :20, :].float().mean() > 0.95
    assert trusted[..., 40:56, 46:62].float().mean() > 0.9
    assert (motion.flow[0, 0, 40:56, 46:62].median() + 6).abs() < 0.5


def test_another_scene_is_a_cut() -> None:
    assert motion_between(texture(64, 80, 4), 1 - texture(64, 80, 5)).is_cut
    assert not motion_between(texture(64, 80, 4), (texture(64, 80, 4) * 0.95).clamp(0, 1)).is_cut


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (17, 16)], ids=str)
def test_frames_of_any_size_have_a_motion(shape: tuple[int, int]) -> None:
    frame = torch.rand(1, 3, *shape)
    motion = motion_between(frame, frame)
    assert motion.flow.shape == (1, 2, *shape)
    assert torch.isfinite(motion.flow).all()
