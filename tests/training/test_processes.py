"""Two processes that share each batch learn what one learns alone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganart_zoo.training.checkpoint import Checkpoints

from . import one_process, plugin_processes
from .networks import write_npz

HERE = Path(__file__).parent
STEPS = 20


def launch(program: str, *arguments: object) -> None:
    """Run a program in two processes, as torchrun would start them."""
    for status, errors in outcomes(program, *arguments):
        assert status == 0, errors


def outcomes(program: str, *arguments: object) -> list[tuple[int, str]]:
    """Return what each of two processes ends with: its status and its errors. `{rank}` in an argument is its number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, HERE / program, *(str(argument).format(rank=rank) for argument in arguments)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    ended = [process.communicate(timeout=240)[1] for process in started]
    return [(process.returncode, errors) for process, errors in zip(started, ended, strict=True)]


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    write_npz(tmp_path / "data.npz", n=37, classes=3)
    arguments = (tmp_path / "data.npz", tmp_path / "two", STEPS)
    launch("one_process.py", *arguments, 7)
    launch("one_process.py", *arguments, STEPS + 1)
    one_process.main(tmp_path / "data.npz", tmp_path / "one", STEPS, STEPS + 1)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two] == list(range(1, STEPS + 1))
    for alone, shared in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        for term in alone.keys() - {"step", "seconds", "votes_real", "votes_fake"}:
            assert shared[term] == pytest.approx(alone[term], rel=1e-4), (alone["step"], term)


@pytest.mark.slow
def test_one_of_two_processes_stops_both_at_once_and_both_resume_from_one_folder(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "data.npz", classes=3)
    launch("one_process.py", data, tmp_path / "0", STEPS, 3, 100)  # between two lines of metrics
    (kept,) = (tmp_path / "0" / "checkpoints").iterdir()
    assert kept.name == "step-00000003.safetensors"
    (tmp_path / "1").mkdir()  # a second machine that does not see the folder of the first
    shutil.copy(tmp_path / "0" / "config.json", tmp_path / "1")
    for status, errors in outcomes("one_process.py", data, f"{tmp_path}/{{rank}}", STEPS, STEPS, 100):
        assert status == 1
        assert "see checkpoints of steps 3, 0; expected one folder that all of them share" in errors


LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    "accelerate": (
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_command_under_a_launcher(tmp_path: Path, launcher: str) -> None:
    data = write_npz(tmp_path / "data.npz", n=20, size=16)
    run = tmp_path / "run"
    networks = ("--generator", "dcgan", "--critic", "dcgan_critic", "--set", "generator.width=4")
    rest = ("--set", "critic.width=4", "--set", "training.recalibrate=1", "--set", "training.samples=4")
    steps = ("--steps", "3", "--batch", "8", "--set", "training.log_every=1", "--data", data, "--out", run)
    done = subprocess.run(
        [sys.executable, "-m", *LAUNCHERS[launcher], "-m", "ganart_zoo", "train", *networks, *rest, *steps],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [line for line in done.stdout.splitlines() if line.startswith(f"{run}  step 3")]
    assert len(done.stdout.splitlines()) == 1, "one of the processes does the talking"
    assert [line["step"] for line in losses(run)] == [1, 2, 3]
    assert load_file(run / "generator.safetensors")
    (checkpoint,) = (run / "checkpoints").iterdir()
    positions = Checkpoints.load(checkpoint)[1]["positions"]
    assert positions == [24, 24], "both were there"


@pytest.mark.slow
def test_two_processes_are_one_for_every_plugin(tmp_path: Path) -> None:
    # In float64: in float32 rounding puts activations on the other side of their kinks, and the difference grows.
    data = write_npz(tmp_path / "data.npz", n=37, classes=3, size=16)
    launch("plugin_processes.py", data, tmp_path / "two")
    plugin_processes.main(data, tmp_path / "one")
    for pair, (_, _, changes) in plugin_processes.PAIRS.items():
        one, two = losses(tmp_path / "one" / pair), losses(tmp_path / "two" / pair)
        assert len(one) == len(two) == changes.get("steps", STEPS)
        for alone, shared in zip(one, two, strict=True):
            for term in alone.keys() - {"step", "seconds"}:
                assert shared[term] == pytest.approx(alone[term], rel=1e-9, abs=1e-12), (pair, alone["step"], term)
        first, second = (load_file(tmp_path / each / pair / "generator.safetensors") for each in ("one", "two"))
        for name, tensor in first.items():
            torch.testing.assert_close(second[name], tensor, rtol=1e-6, atol=1e-9)
