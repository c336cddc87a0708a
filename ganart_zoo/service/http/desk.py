"""Between the routes and the jobs: what was asked for, which pictures came of it, and how much may wait."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.imaging.images import load
from ganart_zoo.imaging.record import read_record
from ganart_zoo.running.outputs import make_folder
from ganart_zoo.service import Job, Jobs, JobStoppedError, MadePicture
from ganart_zoo.service.http.models import Catalogue
from ganart_zoo.service.http.requests import Asked
from ganart_zoo.service.http.settings import ServeSettings
from ganart_zoo.service.http.uploads import Uploads
from ganart_zoo.service.outcome import files_of

__all__ = ["Desk", "QueueFullError"]

_PREVIEW_SECONDS = 0.4
_KEYS = 1000
"""Idempotency keys that are remembered."""
_STYLED = 512
"""Small pictures in learned styles that are remembered."""


class QueueFullError(GanartError):
    """As many jobs wait as the server allows."""


class Desk:
    """What the routes share. Threads may use it at once.

    Args:
        jobs: Runs the work.
        settings: What is allowed.
    """

    def __init__(self, jobs: Jobs, settings: ServeSettings) -> None:
        self.jobs, self._settings = jobs, settings
        self.catalogue = Catalogue(jobs.zoo, settings)
        self.uploads = Uploads(settings.folder / "uploads", settings.pixels, settings.stored_bytes)
        self._lock = threading.Lock()
        self._keys: OrderedDict[str, str] = OrderedDict()
        self._styled: OrderedDict[tuple[str, str, str, int], bytes] = OrderedDict()
        self._styling = threading.Lock()

    def _new_folder(self) -> Path:
        folder = self._settings.folder / "frames"
        make_folder(folder)
        return folder / secrets.token_hex(8)

    def limits(self) -> dict[str, Any]:
        """Return the limits that clients should know."""
        names = ("upload_bytes", "pixels", "size", "count", "seconds")
        return {name: getattr(self._settings, name) for name in names}

    def submit(self, verb: str, asked: Asked, priority: int, key: str | None = None) -> Job:
        """Put a request into the queue; one with a key that was used before returns the job of then.

        Raises:
            QueueFullError: Too many jobs wait.
            SettingsError: The request names something that is not there or not allowed.
        """
        with self._lock:
            if key is not None and self._keys.get(key) in self.jobs:
                return self.jobs[self._keys[key]]
            if len(self.jobs.list("queued")) >= self._settings.queue:
                raise QueueFullError(f"{self._settings.queue} jobs are waiting, which is the most; try again later")
            model = self.catalogue.check(verb, asked)
            given = {**asked.arguments(self.uploads, self._settings), "model": model}
            note = {**asked.model_dump(mode="json", exclude_none=True), "model": model}
            if verb == "interpolate":  # single frames, where the task alone would choose an animation
                given["output"] = self._new_folder()
            job = self.jobs.submit(verb, priority=priority, preview=_PREVIEW_SECONDS, note=note, **given)
            if key is not None:
                self._keys[key] = job.id
                while len(self._keys) > _KEYS:
                    self._keys.popitem(last=False)
            return job

    def job(self, key: str) -> Job:
        """Return a job; KeyError where there is none."""
        return self.jobs[key]

    def request_of(self, job: Job) -> Mapping[str, Any]:
        """Return what the client asked for."""
        return job.note

    def labels(self, job: Job) -> list[str]:
        """Return a label for each picture of a job that has ended."""
        return [picture.label for picture in _pictures(job)]

    def picture(self, key: str, number: int) -> bytes:
        """Return a picture of a job as PNG.

        Raises:
            KeyError: There is no such job.
            SettingsError: It has no such picture.
        """
        pictures = _pictures(self.job(key))
        if number >= len(pictures):
            raise SettingsError(f"picture is {number}, the job has {len(pictures)}")
        return pictures[number].encoded("png")

    def forget(self, key: str) -> None:
        """Drop a job that has ended, and its pictures; errors are those of `Jobs.forget`."""
        frames = self.job(key).arguments.get("output")
        self.jobs.forget(key)
        if frames is not None:
            shutil.rmtree(frames, ignore_errors=True)

    def styled(self, upload: str, model: str, style: str, size: int) -> bytes:
        """Return a small JPEG of an upload in a learned style.

        Raises:
            SettingsError: There is no such upload, model or style.
        """
        known = {each["name"]: each["styles"] for each in self.catalogue.describe()}
        if style not in known.get(model, ()):
            raise SettingsError(f"style {style!r} of model {model!r} is not one that this server offers")
        place = (upload, model, style, size)
        with self._styling:  # one at a time, and never beside more jobs than are allowed
            found = self._styled.get(place)
            if found is None:
                content = self.uploads.path(upload)
                job = self.jobs.submit(
                    "stylize", priority=5, model=model, content=content, styles=[{"name": style}], size=size
                )
                job.result()
                found = _pictures(job)[0].thumbnail(size)
                self.jobs.forget(job.id)
                self._styled[place] = found
                while len(self._styled) > _STYLED:
                    self._styled.popitem(last=False)
        return found


def _pictures(job: Job) -> tuple[MadePicture, ...]:
    """Return the pictures of a job that has ended; none where it failed, or stopped without a result."""
    if not job.done or job.state == "failed":
        return ()
    try:
        if made := job.pictures():
            return made
    except JobStoppedError:
        return ()
    result = job.result(0)
    frames = [file for folder in getattr(result, "files", files_of(result)) for file in sorted(folder.glob("*.png"))]
    return tuple(MadePicture(load(file), read_record(file), file.stem) for file in frames)
