"""Jobs in a folder: their requests with copies of the inputs, and their outcomes, so that both survive a restart.

`jobs.sqlite` has one row per job; `<id>/inputs` and `<id>/outputs` have its files. Inputs are complete before the row
is written, and outputs before the row says that the job has ended, so a row never refers to half a file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel
from torch import Tensor

from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.imaging.images import load, save
from ganart_zoo.imaging.record import Record, read_record
from ganart_zoo.service.job import Job
from ganart_zoo.service.limits import Limits
from ganart_zoo.service.outcome import MadePicture, files_of, pictures_of
from ganart_zoo.service.verbs import find_verb

__all__ = ["History", "Row", "StoredResult"]

_TRIES = 3
"""Times that a job is started before it is failed because the process ended while it ran."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE NOT NULL,
    task TEXT NOT NULL,
    request TEXT NOT NULL,
    priority INTEGER NOT NULL,
    limits TEXT NOT NULL,
    preview REAL,
    note TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    message TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    outcome TEXT
)
"""


@dataclass(frozen=True)
class StoredResult:
    """The result of a job, read from its folder."""

    folder: Path
    made: tuple[tuple[str, str], ...]
    """File name and label of each picture."""
    files: tuple[Path, ...]
    """Other files that the task wrote."""
    report: Mapping[str, Any] | None
    """Figures, of tasks that give some."""
    stopped: bool

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the pictures, with their records inside."""
        return tuple(self.folder / name for name, _ in self.made)

    @property
    def path(self) -> Path | None:
        """The first file."""
        return next(iter((*self.paths, *self.files)), None)

    @property
    def pictures(self) -> tuple[MadePicture, ...]:
        """The pictures, as they were saved."""
        return tuple(
            MadePicture(load(self.folder / name), _record(self.folder / name), label) for name, label in self.made
        )

    @property
    def images(self) -> Tensor:
        """The pictures of one size, `[n, 3, H, W]` in 0..1."""
        return torch.cat([picture.image for picture in self.pictures])

    @property
    def record(self) -> Record | None:
        """How the first picture was made."""
        return self.pictures[0].record if self.made else None


@dataclass(frozen=True)
class Row:
    """What is known of a job of an earlier process."""

    id: str
    task: str
    request: dict[str, Any]
    priority: int
    limits: Limits
    preview: float | None
    note: dict[str, Any]
    state: str
    created: float
    started: float | None
    ended: float | None
    message: str
    result: StoredResult | None


class History:
    """The folder of a `Jobs`. Only one process may use a folder at a time.

    Raises:
        SettingsError: The folder cannot be used, or another process uses it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / "jobs.lock")
            self._lock.acquire(timeout=0)
            self._connection = sqlite3.connect(self.folder / "jobs.sqlite", check_same_thread=False)
            with self._connection:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._connection.execute(_SCHEMA)
        except Timeout:
            raise SettingsError(f"{self.folder}: another process keeps its jobs here; choose another folder") from None
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"{self.folder}: cannot keep jobs ({error}); choose another folder") from None
        self._access = threading.Lock()

    def close(self) -> None:
        """Let other processes use the folder."""
        with self._access:
            self._connection.close()
        self._lock.release()

    def rows(self) -> list[Row]:
        """Return the jobs of earlier processes in their order, those that ran when it ended queued again.

        Folders of jobs that were never in the queue are removed.
        """
        with self._access, self._connection:
            self._connection.execute(
                "UPDATE jobs SET state = CASE WHEN tries < ? THEN 'queued' ELSE 'failed' END, message = CASE WHEN "
                "tries < ? THEN '' ELSE 'the process ended while it ran, ' || tries || ' times' END "
                "WHERE state = 'running'",
                (_TRIES, _TRIES),
            )
            found = self._connection.execute(
                "SELECT id, task, request, priority, limits, preview, note, state, created, started, ended, message, "
                "outcome FROM jobs ORDER BY number"
            ).fetchall()
        known = {row[0] for row in found}
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in known and len(path.name) == 16:
                shutil.rmtree(path, ignore_errors=True)
        return [self._row(values) for values in found]

    def add(self, job: Job) -> None:
        """Keep a job that was submitted, and let it work on copies of its files.

        Raises:
            GanartError: It cannot be written.
        """
        inputs = self.folder / job.id / "inputs"
        verb = find_verb(job.task)
        files = {*verb.pictures, "latents", "pictures", "picture"}
        try:
            inputs.mkdir(parents=True)
            request = {name: _encoded(value, inputs, name in files) for name, value in job.arguments.items()}
            asked = (job.id, job.task, json.dumps(request), job.priority, json.dumps(asdict(job.limits)))
            values = (*asked, job.preview, json.dumps(job.note))
            with self._access, self._connection:
                self._connection.execute(
                    "INSERT INTO jobs (id, task, request, priority, limits, preview, note, state, created) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?)",
                    (*values, job.created),
                )
            job.arguments = self.arguments(job.id, job.task, request)
        except BaseException as error:
            shutil.rmtree(self.folder / job.id, ignore_errors=True)
            if isinstance(error, (OSError, sqlite3.Error)):
                raise GanartError(f"the job cannot be kept in {self.folder}: {error}") from None
            raise

    def arguments(self, id: str, task: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the checked arguments of a kept request, with the copies of its files.

        Raises:
            SettingsError: They no longer fit the task.
        """
        inputs = self.folder / id / "inputs"
        return find_verb(task).check({name: _decoded(value, inputs) for name, value in request.items()})

    def began(self, job: Job) -> None:
        """Keep that a job runs."""
        self._update(
            "UPDATE jobs SET state = 'running', started = ?, tries = tries + 1 WHERE id = ?", job.started, job.id
        )

    def ended(self, job: Job, outcome: StoredResult | None) -> None:
        """Keep how a job ended."""
        text = None if outcome is None else json.dumps(self._outcome_json(outcome))
        self._update(
            "UPDATE jobs SET state = ?, ended = ?, message = ?, outcome = ? WHERE id = ?",
            job.state,
            job.ended,
            job.reason,
            text,
            job.id,
        )

    def store(self, job: Job, result: Any) -> StoredResult:
        """Write the pictures and figures of a result into the job's folder.

        Raises:
            GanartError: A file cannot be written.
        """
        folder = self.folder / job.id / "outputs"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise GanartError(f"{folder}: cannot be created ({error.strerror or error})") from None
        made = []
        for number, picture in enumerate(pictures_of(result)):
            name = f"{number:04d}.png"
            save(picture.image, folder / name, record=picture.record)
            made.append((name, picture.label))
        report = result.to_json() if hasattr(result, "to_json") else None
        return StoredResult(folder, tuple(made), files_of(result), report, bool(getattr(result, "stopped", False)))

    def output(self, job: Job, suffix: str) -> Path:
        """Return the file for the output of a task that cannot do without one; an earlier try's is removed."""
        folder = self.folder / job.id / "outputs"
        folder.mkdir(exist_ok=True)
        target = folder / f"result{suffix}"
        target.unlink(missing_ok=True)
        return target

    def forget(self, id: str) -> None:
        """Remove a job and its files."""
        self._update("DELETE FROM jobs WHERE id = ?", id)
        shutil.rmtree(self.folder / id, ignore_errors=True)

    def _update(self, statement: str, *values: Any) -> None:
        with self._access, contextlib.suppress(sqlite3.ProgrammingError), self._connection:  # it may be closed
            self._connection.execute(statement, values)

    def _row(self, values: Sequence[Any]) -> Row:
        id, task, request, priority, limits, preview, note, state, created, started, ended, message, outcome = values
        result = None if outcome is None else self._outcome(id, json.loads(outcome))
        known = Limits.of(json.loads(limits))
        asked = (id, task, json.loads(request), priority, known, preview, json.loads(note))
        return Row(*asked, state, created, started, ended, message, result)

    def _outcome_json(self, outcome: StoredResult) -> dict[str, Any]:
        return {
            "made": [list(each) for each in outcome.made],
            "files": [os.fspath(file) for file in outcome.files],
            "report": outcome.report,
            "stopped": outcome.stopped,
        }

    def _outcome(self, id: str, data: Mapping[str, Any]) -> StoredResult:
        made = tuple((name, label) for name, label in data["made"])
        files = tuple(Path(file) for file in data["files"])
        return StoredResult(self.folder / id / "outputs", made, files, data["report"], data["stopped"])


def _record(file: Path) -> Record | None:
    with contextlib.suppress(GanartError):
        return read_record(file)
    return None


def _encoded(value: Any, inputs: Path, files: bool) -> Any:
    """Return a value of a request as JSON data; pictures are copied into the folder.

    Args:
        value: The value.
        inputs: The folder.
        files: Whether a text is the name of a file.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (str, os.PathLike)):
        if files and Path(value).is_file():
            return {"$file": _placed(inputs, Path(value).name, Path(value))}
        return value if isinstance(value, str) else {"$path": os.fspath(Path(value).absolute())}
    if isinstance(value, bytes):
        return {"$file": _placed(inputs, "picture", value)}
    if hasattr(value, "getexif"):
        return {"$file": _placed(inputs, "picture.png", _png(value))}
    if isinstance(value, Tensor):
        return {"$tensor": _placed(inputs, "tensor.npy", _npy(value.detach().cpu().float().numpy()))}
    if isinstance(value, np.ndarray):
        return {"$array": _placed(inputs, "array.npy", _npy(value))}
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, Mapping):
        return {str(name): _encoded(each, inputs, False) for name, each in value.items()}
    if isinstance(value, Sequence):
        return [_encoded(each, inputs, files) for each in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value):
        names = [one.name for one in fields(value) if one.name != "loaded"]
        return {
            name: _encoded(getattr(value, name), inputs, name in ("image", "region", "source_region")) for name in names
        }
    raise SettingsError(f"a {type(value).__name__} cannot be kept with a job; give a name or a picture")


def _decoded(value: Any, inputs: Path) -> Any:
    if isinstance(value, dict):
        if len(value) == 1:
            ((kind, name),) = value.items()
            if kind == "$path":
                return Path(name)
            if kind == "$file":
                return inputs / name
            if kind in ("$tensor", "$array"):
                array = np.load(inputs / name, allow_pickle=False)
                return torch.from_numpy(array) if kind == "$tensor" else array
        return {name: _decoded(each, inputs) for name, each in value.items()}
    if isinstance(value, list):
        return [_decoded(each, inputs) for each in value]
    return value


def _placed(inputs: Path, name: str, content: Path | bytes) -> str:
    """Copy a file, or write bytes, under its own name in a folder of its own; return the path below `inputs`."""
    folder = inputs / secrets.token_hex(4)
    folder.mkdir()
    target = folder / name
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        shutil.copyfile(content, target)
    return f"{folder.name}/{name}"


def _png(image: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()
