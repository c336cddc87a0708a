"""The verb `stylize` for clips: every frame is restyled, and what was painted moves with what it shows.

from ganart_zoo import Zoo
from ganart_zoo.tasks.clip import ClipStylizer

ClipStylizer(Zoo(), "multistyle", [StyleInput(name="mosaic")]).clip("clip.mp4", "out.mp4")
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Previous
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.imaging.clips import Clip, Frame, check_clip_output, open_clip, write_clip
from ganart_zoo.imaging.files import whole_file, write_text
from ganart_zoo.imaging.images import from_pil, load, save, to_pil
from ganart_zoo.imaging.motion import Motion, check_motion, is_cut, motion_between
from ganart_zoo.imaging.record import InputFile, Record
from ganart_zoo.running.interrupts import interruptible
from ganart_zoo.running.loaded import Work
from ganart_zoo.running.memory import MemoryPlan
from ganart_zoo.running.outputs import make_folder
from ganart_zoo.running.pictures import check_side, shrink
from ganart_zoo.running.processes import Processes
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.stylists import Stylizer

__all__ = ["ClipStylizer", "RestyledClip", "rerun"]

_log = logging.getLogger("ganart_zoo")

_STATE = "clip.json"
_FRAMES = "frames"
"""The phase of the event of a finished frame."""
_READY = "clip"
"""What the first process says when the others may begin; with a number, what they say at their end."""
_RESIDUAL = 0.06
"""Difference, in 0..1, of what is seen from what was seen there, at which the old paint counts for a third."""


@dataclass(frozen=True)
class RestyledClip:
    """The result of a call."""

    path: Path
    """The clip, or the folder of its frames."""
    frames: int
    resumed: int
    """Frames of an earlier call that was stopped."""
    cuts: tuple[int, ...]
    """Numbers, from 0, of the frames at which a new scene begins, as far as this call went."""
    seconds: float
    stopped: bool
    """`on_step` ended the work early; the clip has the frames so far, and the same call goes on from there."""
    record: Record | None = None
    """How it was made; None where nothing was."""
    plan: MemoryPlan | None = None
    """How the frames keep within their memory; None where that was no question."""


class ClipStylizer(Stylizer):
    """A `Stylizer` for clips; its arguments are the same.

    Each frame is restyled by itself. What was painted on the frame before is moved by the optical flow and laid over
    it, where the flow is certain and the scene looks as it did. A model that can start from a picture starts from that.
    """

    @interruptible
    def clip(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str],
        *,
        smooth: float = 0.8,
        fps: float | None = None,
        force: bool = False,
        processes: Processes | None = None,
        on_step: OnStep | None = None,
    ) -> RestyledClip:
        """Restyle a clip.

        While it works, finished frames are kept in a folder beside the output. If the work is stopped or killed, the
        same call goes on with the next frame, and the result is the same as without a break.

        Args:
            source: A video, a GIF or WebP, or a folder of frames.
            output: `.mp4`, `.mov`, `.mkv`, `.webm`, `.gif` or `.webp`; or a folder for frames.
            smooth: How much of the paint moves along, 0 (each frame by itself) to 1. What stands still keeps its paint.
            fps: Frames per second of a folder of frames; None: 25.
            force: Replace an existing output.
            processes: Those that share the scenes of the clip, and make this call too; they see the same files, and the
                first of them writes the clip. Without `smooth` they share the frames. None: this process alone.
            on_step: Called after each frame; returning False ends the work with the frames so far.

        Raises:
            SettingsError: A number is out of range, or the output exists.
            ImageError: The source cannot be read, the output cannot be written, or an extra is missing.
            PluginFaultError: The model broke.
        """
        target, team = Path(output), processes or Processes()
        if not 0 <= smooth <= 1:
            raise SettingsError(f"smooth is {smooth:g}, expected 0 to 1")
        if fps is not None and not 0 < fps <= 1000:
            raise SettingsError(f"fps is {fps:g}, expected more than 0 and at most 1000")
        check_clip_output(target)
        if smooth > 0:
            check_motion()
        if Path(source).is_dir() and target.is_dir() and target.samefile(source):
            raise SettingsError(f"{target}: the frames cannot go to the folder they are made from; choose another")
        clip = open_clip(Path(source), fps)
        first = next(clip.frames())
        plan, options = self.plan(self._seen(first, clip), clip.path.name)
        about: dict[str, Any] = {"smooth": smooth, "fps": fps}
        inputs = [*self._inputs] if clip.path.is_dir() else [InputFile.of(clip.path, "content"), *self._inputs]
        kept = _Kept(target, _digest(clip, about, self._record(inputs, None)))
        if team.is_first:
            kept.prepare(None if plan is None else plan.tile, force=force)
            team.tell(_READY)
        elif team.wait_for(_READY, on_step) is None:
            return RestyledClip(target, 0, 0, (), 0.0, stopped=True)
        if "tile" in type(options).model_fields:
            options = options.model_copy(update={"tile": kept.tile()})
        painter = copy(self)
        painter._loaded = replace(self._loaded, options=options)
        record = partial(painter._clip_record, inputs, about)
        return painter._clip(clip, kept, smooth, team, on_step, record, plan)

    def _clip(
        self,
        clip: Clip,
        kept: _Kept,
        smooth: float,
        team: Processes,
        on_step: OnStep | None,
        record: Callable[..., Record],
        plan: MemoryPlan | None,
    ) -> RestyledClip:
        """Do what this process has to do, with the options of this clip."""
        resumed = kept.count()
        start = time.perf_counter()
        details = {"content": clip.path.name, "seed": self._seed}
        with self._loaded.work("stylize", details, path=kept.target, on_step=on_step) as work:
            part = None if team.count == 1 else self._part(clip, smooth, team, work)
            cuts = self._paint(clip, kept, smooth, work, record, part)
            count = kept.count()
            if team.is_first:
                count = self._join(clip, kept, team, work, record)
                work.saved()
            else:
                team.tell(f"{_READY}/{team.rank}", "stopped" if work.stopped else "done")
            work.results["frames"] = count
        made = record(stopped_at=count if work.stopped else None)
        seconds = time.perf_counter() - start
        return RestyledClip(kept.target, count, resumed, tuple(cuts), seconds, work.stopped, made, plan)

    def _part(self, clip: Clip, smooth: float, team: Processes, work: Work) -> _Part:
        """Return what this process paints: whole scenes, so that each has as little to do as possible."""
        times: dict[int, Fraction] = {}
        starts: list[int] = []
        before: Tensor | None = None
        for number, frame in enumerate(clip.frames()):
            times[number] = frame.time
            image = self._seen(frame, clip)
            if before is None or smooth == 0 or is_cut(before.cpu(), image.cpu()):
                starts.append(number)
            before = image
            if work.steps(StepEvent.of(number + 1, None, "looking for cuts")) is False:
                break
        scenes = [range(*ends) for ends in itertools.pairwise([*starts, len(times)])]
        if team.is_first and len(scenes) < team.count:
            _log.warning(
                "%s: %d processes share a clip by its scenes, and this one has no more than %d; the rest do nothing",
                clip.path,
                team.count,
                len(scenes),
            )
        return _Part(share_scenes(scenes, team.count)[team.rank], times)

    def _paint(
        self,
        clip: Clip,
        kept: _Kept,
        smooth: float,
        work: Work,
        record: Callable[..., Record],
        part: _Part | None,
    ) -> list[int]:
        """Paint the frames that are not there yet, and return where scenes begin."""
        cuts: list[int] = []
        before: Tensor | None = None
        paint: Tensor | None = None
        total = clip.count if part is None else len(part.frames)
        inner = _Inner(work, clip.count)
        done = 0
        if part is not None:
            kept.times = dict(part.times)
        for number, frame in enumerate(clip.frames() if total != 0 and not work.stopped else ()):
            if part is not None and number not in part.frames:
                if done == total:
                    break
                before = None  # the next frame of this process begins a scene
                continue
            kept.times[number] = frame.time
            image = self._seen(frame, clip)
            done += 1
            if kept.has(number):
                before, paint = image, None
                continue
            motion = None if before is None or smooth == 0 else motion_between(before.cpu(), image.cpu())
            if motion is not None and motion.is_cut:
                motion = None
            if motion is None and smooth > 0 and number > 0:
                cuts.append(number)
            if motion is not None and paint is None:
                paint = kept.load(number - 1)
            inner.frame = number + 1
            images = self._frame(image, motion, paint, smooth, work, inner)
            if inner.stopped:
                work.ended_early = True  # even if the frame was at its last step
                break
            paint = kept.add(number, images, record(frame=number + 1) if kept.is_folder else None)
            before = image
            if work.steps(StepEvent.of(done, total, _FRAMES, picture=images)) is False:
                break
        return cuts

    def _join(self, clip: Clip, kept: _Kept, team: Processes, work: Work, record: Callable[..., Record]) -> int:
        """Write the clip when all frames are there, or after a stop of those that are; return their number."""
        for rank in range(1, team.count):
            word = None if work.stopped else team.wait_for(f"{_READY}/{rank}", work.steps)
            work.ended_early |= word != "done"
        return kept.finish(clip, stopped=work.stopped, record=record)

    def _seen(self, frame: Frame, clip: Clip) -> Tensor:
        """Return a frame at the size to work on."""
        image = shrink(frame.image, self._size).to(self._device)
        check_side(image, clip.path.name)
        return image

    def _frame(
        self, image: Tensor, motion: Motion | None, paint: Tensor | None, smooth: float, work: Work, inner: OnStep
    ) -> Tensor:
        if motion is None or paint is None:
            return self._call_model(image, work, on_step=inner).detach().cpu()
        moved = motion.warp(paint).clamp(0, 1)
        still = (motion.flow == 0).all(1, keepdim=True).float()
        # what stands still keeps its paint; what moves is painted anew little by little, or moving would blur it
        share = motion.valid * torch.exp(-motion.difference / _RESIDUAL) * (smooth + (1 - smooth) * 0.95 * still)
        if "temporal" in self._loaded.entry.spec.capabilities:
            previous = Previous(*(each.to(self._device) for each in (moved, share)))
            own = self._call_model(image, work, on_step=inner, previous=previous).detach().cpu()
            return torch.lerp(own, moved, share * still)  # the model keeps the rest itself, and no blending blurs it
        kept = self._init
        if "init" in self._loaded.entry.spec.capabilities:
            self._init = (share * moved + (1 - share) * image.cpu()).to(self._device)
        try:
            own = self._call_model(image, work, on_step=inner).detach().cpu()
        finally:
            self._init = kept
        return share * moved + (1 - share) * own

    def _clip_record(
        self, inputs: Sequence[InputFile], about: Mapping[str, Any], *, stopped_at: int | None = None, **more: Any
    ) -> Record:
        """Return the record of a clip, or with `frame=` that of one of its frames."""
        record = self._record(inputs, stopped_at)
        return replace(record, task="clip", request={**record.request, "clip": {**about, **more}})


def rerun(again: Rerun) -> RestyledClip:
    """Make a recorded clip again.

    Raises:
        ImageError: It was made from a folder, or is a single frame.
        GanartError: The model cannot be built as recorded, or see `ClipStylizer`.
    """
    request = again.record.request
    about, stopped_at = request["clip"], request["stopped_at"]
    if "frame" in about:
        raise ImageError(
            f"{again.output.name}: is frame {about['frame']} of a clip, and each frame follows from the one before it; "
            "run the command again that made the clip"
        )
    if "content" not in again.files:
        raise ImageError(
            f"{again.output.name}: was made from a folder of frames, and a record names single files; "
            "run the command again that made it"
        )

    def until_stopped(event: StepEvent) -> bool | None:
        answer = None if again.on_step is None else again.on_step(event)
        return False if event.phase == _FRAMES and event.step == stopped_at else answer

    stylizer = ClipStylizer.recorded(again)
    content, output = again.files["content"], again.output
    return stylizer.clip(content, output, smooth=about["smooth"], fps=about["fps"], force=True, on_step=until_stopped)


def _digest(clip: Clip, about: Mapping[str, Any], record: Record) -> str:
    """Return what decides the frames, as text: the source, the model with its settings, the styles, the size."""
    files = sorted(clip.path.iterdir()) if clip.path.is_dir() else []
    states = [(file.name, *file.stat()[6:9:2]) for file in files]
    # tiles change rounding only, and those that were begun with are kept
    options = {name: value for name, value in record.options.items() if name != "tile"}
    facts = [str(clip.path.resolve()), states, dict(about), replace(record, options=options).to_text()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class _Inner:
    """Hears the steps within a frame, and passes on only the wish to stop."""

    def __init__(self, work: Work, frames: int | None) -> None:
        self._work, self._frames = work, frames
        self.frame = 1
        self.stopped = False

    def __call__(self, event: StepEvent) -> bool | None:
        if event.total == 1:
            return None
        phase = f"frame {self.frame}" + ("" if self._frames is None else f" of {self._frames}")
        asked = self._work.steps(StepEvent(event.step, event.total, phase, event.losses, event.preview))
        self.stopped = self.stopped or asked is False
        return asked


class _Part(NamedTuple):
    """What one of several processes paints."""

    frames: frozenset[int]
    times: dict[int, Fraction]
    """Of all frames."""


def share_scenes(scenes: Sequence[range], count: int) -> list[frozenset[int]]:
    """Divide scenes among processes: the longest first, each to the process that has the fewest frames so far."""
    shares: list[list[int]] = [[] for _ in range(count)]
    for scene in sorted(scenes, key=len, reverse=True):
        min(shares, key=len).extend(scene)
    return [frozenset(share) for share in shares]


class _Kept:
    """The finished frames on the disk: the output itself where it is a folder, else a folder beside it."""

    def __init__(self, target: Path, request: str) -> None:
        self.target = target
        self._request = request
        self.is_folder = not target.suffix
        """Whether the frames themselves are what was asked for."""
        self.folder = target if self.is_folder else target.with_name(f".{target.name}.frames")
        self._state = self.folder / (f".{_STATE}" if self.is_folder else _STATE)
        self.times: dict[int, Fraction] = {}
        """When frames are shown, by their number, as far as is known."""

    def prepare(self, tile: int | None, *, force: bool) -> None:
        """Make the folder, and leave in it what an earlier call with the same request finished.

        Args:
            tile: The option of this call; that of an earlier one is kept if it takes no more memory.
            force: Replace an output.

        Raises:
            SettingsError: The output exists.
            ImageError: The folder cannot be written.
        """
        target, known = self.target, self._read("request")
        if known == self._request and isinstance(before := self._read("tile"), int):
            tile = before if tile is None else min(before, tile)
        if not self.is_folder and target.exists() and not (force or known == self._request):
            raise SettingsError(f"{target}: exists; choose another output, or use --force (force=True)")
        if self.is_folder and known != self._request and self._holds_files() and not force:
            raise SettingsError(f"{target}: is not empty; choose another folder, or use --force (force=True)")
        if known != self._request and self.is_folder:
            for old in self._files():
                old.unlink()
        elif known != self._request:
            shutil.rmtree(self.folder, ignore_errors=True)
        make_folder(self.folder)
        try:
            write_text(self._state, json.dumps({"request": self._request, "tile": tile}))
        except OSError as error:
            raise ImageError(f"{self.folder}: cannot be written to ({error.strerror or error})") from None

    def has(self, number: int) -> bool:
        """Return whether a frame is there; frames appear whole or not at all."""
        return self._file(number).is_file()

    def tile(self) -> int | None:
        """Return the option of all frames."""
        tile = self._read("tile")
        return tile if isinstance(tile, int) else None

    def add(self, number: int, image: Tensor, record: Record | None) -> Tensor:
        """Keep a frame, and return it as it is kept, so that resumed work sees no other."""
        levels = to_pil(image)
        if self.is_folder:
            save(image, self._file(number), record=record)
        else:  # for a short time
            with whole_file(self._file(number)) as part:
                levels.save(part, "PNG", compress_level=1)
        return from_pil(levels)

    def load(self, number: int) -> Tensor:
        """Return a frame that is kept."""
        return load(self._file(number))

    def count(self) -> int:
        """Return how many frames are there."""
        return len(self._files())

    def finish(self, clip: Clip, *, stopped: bool, record: Callable[..., Record]) -> int:
        """Write the clip, drop what is kept unless the work goes on later, and return the number of frames."""
        there = [number for number in sorted(self.times) if self.has(number)]
        if not there:
            if not self.is_folder:
                shutil.rmtree(self.folder, ignore_errors=True)
            raise ImageError(f"{clip.path}: no frame was finished, so nothing was saved")
        if self.is_folder:
            return len(there)
        source = clip.path if clip.path.is_file() else None
        frames = (Frame(self.load(number), self.times[number]) for number in there)
        made = partial(record, stopped_at=len(there) if stopped else None)
        write_clip(frames, self.target, fps=clip.fps, source=source, record=made)
        if not stopped:
            shutil.rmtree(self.folder, ignore_errors=True)
        return len(there)

    def _file(self, number: int) -> Path:
        return self.folder / f"frame{number:06d}.png"

    def _files(self) -> list[Path]:
        return list(self.folder.glob(f"frame{'[0-9]' * 6}*.png"))

    def _holds_files(self) -> bool:
        return self.folder.is_dir() and any(self.folder.iterdir())

    def _read(self, what: str) -> Any:
        try:
            return json.loads(self._state.read_text(encoding="utf-8"))[what]
        except (OSError, ValueError, KeyError, TypeError):
            return None
