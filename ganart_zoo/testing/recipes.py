"""What every recipe must do: the run that it trains resumes exactly, whatever ends it, and names what is wrong.

    SUBJECT = RecipeSubject(Zoo(plugins=[ganart_mine]), "ganart-mine/sharpen", Path("photos"), size=16)

    @pytest.mark.parametrize("check", recipe_checks(SUBJECT), ids=lambda check: check.__name__)
    def test_recipe(check):
        check(SUBJECT)

A check trains for a few steps, several times, in a temporary folder.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import Tensor

from ganart_zoo.contract import GanartError, OnStep, StepEvent, load_tensors
from ganart_zoo.registry import Zoo
from ganart_zoo.tasks.train import prepare
from ganart_zoo.training import checkpoint
from ganart_zoo.training.checkpoint import Checkpoints
from ganart_zoo.training.run import Trained

__all__ = ["RecipeCheck", "RecipeSubject", "recipe_checks"]

_STEPS = 6
_KILLED_AFTER = 3
"""One step behind the last checkpoint, so that a step has to be done again."""


@dataclass(frozen=True)
class RecipeSubject:
    """A recipe of a zoo, and a training of few steps with it."""

    zoo: Zoo
    name: str
    data: Path
    """A folder of at least 4 small pictures, or an `.npz` file."""
    networks: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    """Role -> a name, or `{"model": name, **settings}`; small, and untrained where weights are not at hand."""
    uses: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    conditions: Sequence[str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the recipe's config. Steps, intervals and the batch have small values unless they are given here."""
    batch_wise: bool = False
    """The loss compares the pictures of a batch, so that processes with a share each learn something else."""

    def config(self, **changes: Any) -> Any:
        """Return a config for few steps, with some settings changed."""
        short = {"steps": _STEPS, "batch": 4, "samples": 4, "log_every": 1, "checkpoint_every": 2, "workers": 0}
        config_class: Any = self.zoo.recipe_settings(self.name).config_class
        return config_class.model_validate({**short, **self.settings, "steps": _STEPS, **changes})

    def train(
        self,
        folder: Path,
        *,
        data: Path | None = None,
        on_step: OnStep | None = None,
        resume: bool = False,
        **changes: Any,
    ) -> Trained:
        """Train in a folder, with some settings changed."""
        prepared = prepare(
            self.zoo,
            self.name,
            self.networks,
            data or self.data,
            folder,
            config=self.config(**changes),
            uses=self.uses,
            size=self.size,
            conditions=self.conditions,
            on_step=on_step,
        )
        return prepared.fit(resume=resume)


RecipeCheck = Callable[[RecipeSubject], None]
"""Raises `AssertionError` where the recipe breaks the contract."""


class _Killed(BaseException):
    """Stands for a process that ends in the middle of a training."""


def is_declared_soundly(subject: RecipeSubject) -> None:
    """The declaration has no problems, what it points at exists, and its config explains itself."""
    entry = subject.zoo.recipe(subject.name)
    of_plugin = [fault for fault in subject.zoo.check() if fault.distribution == entry.plugin.distribution]
    faults = [fault for fault in of_plugin if fault.recipe == entry.spec.name]
    assert not faults, f"{entry.canonical}: {faults[0]}"
    config = subject.config()
    assert type(config).model_validate_json(config.model_dump_json()) == config, f"{config!r} does not survive JSON"
    for name, schema in type(config).model_json_schema().get("properties", {}).items():
        assert schema.get("description"), f"{name} has no description; give its Field one"


def a_killed_run_resumes_exactly(subject: RecipeSubject) -> None:
    """A run that was killed, or stopped, and resumed has the state of one that was left alone, bit by bit."""

    def kill(event: StepEvent) -> None:
        if event.step == _KILLED_AFTER:
            raise _Killed

    with _folder() as folder:
        subject.train(folder / "whole")
        try:
            subject.train(folder / "killed", on_step=kill)
        except _Killed:
            pass
        else:
            raise AssertionError("the training swallowed an exception of on_step")
        stopped = subject.train(folder / "stopped", on_step=lambda event: event.step < _KILLED_AFTER)
        assert (stopped.step, stopped.finished) == (_KILLED_AFTER, False), f"on_step did not stop it: {stopped}"
        for name in ("killed", "stopped"):
            assert subject.train(folder / name, resume=True).finished, f"the {name} run did not finish"
            _assert_same(folder / name, folder / "whole", f"the {name} and resumed run")


def the_seed_decides_everything(subject: RecipeSubject) -> None:
    """The state of torch's global generator changes nothing, and a training leaves it as it was."""
    with _folder() as folder:
        for seed, name in ((1, "one"), (2, "other")):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                before = torch.get_rng_state()
                subject.train(folder / name)
                assert torch.equal(torch.get_rng_state(), before), "training moved torch's global generator"
        _assert_same(folder / "one", folder / "other", "a run with another global random state")


def looking_changes_nothing(subject: RecipeSubject) -> None:
    """Previews, measurements and checkpoints at every step leave what is learned as it is; previews repeat."""
    grids: list[Tensor] = []

    def look(event: StepEvent) -> None:
        if event.step == 2:
            grids.extend((event.preview(), event.preview()))

    with _folder() as folder:
        subject.train(folder / "seldom", checkpoint_every=_STEPS, sample_every=_STEPS, evaluate_every=_STEPS)
        subject.train(folder / "often", on_step=look, checkpoint_every=1, sample_every=1, evaluate_every=1)
        _assert_same(folder / "often", folder / "seldom", "a run that was looked at more often", journals=False)
    one, other = grids
    assert torch.equal(one, other), "two previews of one step differ"
    assert one.isfinite().all(), "a preview holds values that are not finite"


def a_full_disk_leaves_nothing_half_written(subject: RecipeSubject) -> None:
    """A checkpoint that cannot be written is said in one line, and the run resumes from the one before it."""
    save, calls = save_file, []

    def full(tensors: Any, path: Path, *rest: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(tensors, path, *rest)

    with _folder() as folder:
        run = folder / "full"
        with mock.patch.object(checkpoint, "save_file", full):
            said = _refusal(lambda: subject.train(run), "a full disk went unnoticed")
            assert "No space left" in said, f"the cause is not said: {said}"
        halves = [path.name for path in run.rglob("*.part")]
        assert not halves, f"half a file is left: {halves}"
        steps = list(Checkpoints(run / "checkpoints", 2).steps())
        assert steps == [2], f"checkpoints of steps {steps}, expected the one of step 2"
        subject.train(run, resume=True)
        subject.train(folder / "whole")
        _assert_same(run, folder / "whole", "a run resumed after the disk was full")


def bad_data_is_named(subject: RecipeSubject) -> None:
    """A picture that cannot be read is passed over and named; data that cannot be read at all is named in one line."""
    with _folder() as folder:
        bad = folder / f"bad{subject.data.suffix}"
        if subject.data.is_dir():
            shutil.copytree(subject.data, bad)
            for name in ("00000.png", "zzzzz.png"):  # first and last, whatever the recipe reads
                (bad / name).write_bytes(b"no picture")
            skipped = subject.train(folder / "run", data=bad, batch=8).skipped
            named = {Path(line.partition(": ")[0]).name for line in skipped}
            assert named == {"00000.png", "zzzzz.png"}, f"named as unreadable: {sorted(named)}"
            for path in bad.rglob("*"):
                if path.is_file() and path.suffix == ".png":
                    path.write_bytes(b"no picture")
        else:
            content = subject.data.read_bytes()
            bad.write_bytes(content[: len(content) // 2])
        said = _refusal(lambda: subject.train(folder / "none", data=bad), "data that cannot be read was trained on")
        assert str(bad) in said, f"the error does not name {bad}: {said}"


def two_processes_are_one(subject: RecipeSubject) -> None:
    """Two processes that share each batch return the losses, and learn the weights, of one alone (in float64)."""
    with _folder() as folder:
        _launch(subject, folder / "two")
        subject.train(folder / "one", precision="float64")
        one, two = _journal(folder / "one"), _journal(folder / "two")
        assert [line.keys() for line in one] == [line.keys() for line in two], "the journals have other numbers"
        for alone, shared in zip(one, two, strict=True):
            for name, value in alone.items():
                near = abs(shared[name] - value) <= 1e-6 * max(1e-6, abs(value))
                assert near, f"{name} of step {alone['step']} is {shared[name]} in two processes, {value} in one"
        for path in sorted((folder / "one").glob("*.safetensors")):
            shared_tensors = load_tensors(folder / "two" / path.name)
            for name, tensor in load_tensors(path).items():
                difference = (
                    float((shared_tensors[name].double() - tensor.double()).abs().max()) if tensor.numel() else 0
                )
                assert difference <= 1e-6 * max(1.0, float(tensor.abs().max())), f"{path.stem}.{name}: {difference:.3g}"


def recipe_checks(subject: RecipeSubject) -> tuple[RecipeCheck, ...]:
    """Return every check that applies to the subject's recipe."""
    processes = () if subject.batch_wise else (two_processes_are_one,)
    return (
        is_declared_soundly,
        a_killed_run_resumes_exactly,
        the_seed_decides_everything,
        looking_changes_nothing,
        a_full_disk_leaves_nothing_half_written,
        bad_data_is_named,
        *processes,
    )


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _refusal(action: Callable[[], object], otherwise: str) -> str:
    """Return the one line with which something is refused."""
    try:
        action()
    except GanartError as error:
        said = str(error)
    else:
        raise AssertionError(otherwise)
    assert "\n" not in said, f"more than one line: {said}"
    return said


def _journal(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def _assert_same(run: Path, expected: Path, what: str, *, journals: bool = True) -> None:
    paths = sorted(path.relative_to(expected) for path in expected.glob("*.safetensors"))
    latest = Checkpoints(expected / "checkpoints", 2).latest()
    assert latest is not None, "no checkpoint was kept"
    for path in (*paths, latest.relative_to(expected)):
        one, other = load_tensors(run / path), load_tensors(expected / path)
        assert one.keys() == other.keys(), f"{what} has other tensors in {path}"
        for name, tensor in other.items():
            assert torch.equal(one[name], tensor), f"{what} differs in {name} of {path}; is it part of state()?"
    if journals:
        assert _journal(run) == _journal(expected), f"{what} has another journal"


def _launch(subject: RecipeSubject, folder: Path) -> None:
    """Train in two processes, as a launcher would start them."""
    targets = [plugin.candidate.target for plugin in subject.zoo.plugins]
    installed = all(isinstance(target, EntryPoint) for target in targets)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    request = {
        "plugins": None if installed else [target.__name__ for target in targets],
        "path": sys.path,
        "recipe": subject.name,
        "networks": {
            role: value if isinstance(value, str) else dict(value) for role, value in subject.networks.items()
        },
        "uses": dict(subject.uses),
        "data": str(subject.data),
        "size": subject.size,
        "conditions": subject.conditions,
        "config": subject.config(precision="float64").model_dump(mode="json"),
        "folder": str(folder),
    }
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "ganart_zoo.testing.recipe_process"],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        process.stdin = None
    for process in processes:
        errors = process.communicate(timeout=600)[1]
        assert process.returncode == 0, f"one of two processes failed: {errors.strip().splitlines()[-1:]}"
