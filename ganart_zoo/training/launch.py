"""Starts a training: on its device, with the other processes of a launcher, and as the only writer of its folder."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.state import AcceleratorState  # type: ignore[import-untyped]
from accelerate.utils import (  # type: ignore[import-untyped]
    DistributedDataParallelKwargs,
    GradientAccumulationPlugin,
    TorchDynamoPlugin,
)
from filelock import FileLock, Timeout
from torch import distributed

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry.devices import find_device

__all__ = ["join", "sole_writer"]

_ENGINES = (
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_USE_MEGATRON_LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG",
)
"""Variables by which `accelerate launch` asks for another way of training, which a run does not support."""

_OFF = ("", "0", "f", "false", "n", "no", "off")
_PATIENCE = 8.0
"""Seconds to wait for a folder. The loading processes of a killed training can hold it for some seconds."""


def join(device: str) -> Accelerator:
    """Return the accelerator that puts networks on a device and exchanges data with the other processes.

    If accelerate was set up for another device by an earlier training in this process, that state is reset.

    Args:
        device: `"cpu"`, or `"cuda"` for what the launcher gives this process.

    Raises:
        SettingsError: There is no such device; this process stands alone where a launcher started several; or the
            environment asks for a way of training that runs do not support.
    """
    if asked := [name for name in _ENGINES if os.environ.get(name, "").lower() not in _OFF]:
        raise SettingsError(
            f"{asked[0]} is {os.environ[asked[0]]!r} in the environment, and a run trains by plain PyTorch, in one "
            "process or by DistributedDataParallel; unset it, or start the processes by torchrun"
        )
    if not (count := os.environ.get("WORLD_SIZE", "1")).isdecimal():
        raise SettingsError(f"WORLD_SIZE is {count!r} in the environment, expected the number of processes; unset it")
    wanted = find_device(device)
    if wanted.index is not None:
        raise SettingsError(f"device is {device!r}, expected 'cpu' or 'cuda'; CUDA_VISIBLE_DEVICES says which GPU")
    accelerator = _accelerator(wanted)
    if accelerator is None and not distributed.is_initialized():
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = _accelerator(wanted)
    if accelerator is None:
        raise SettingsError(
            f"device is {device!r}, and accelerate is set up for another in this process; look for ACCELERATE_ in the "
            "environment, or train in a process of its own"
        )
    if accelerator.num_processes < int(count):
        raise SettingsError(
            f"a launcher started {count} processes (WORLD_SIZE), and this one trains among "
            f"{accelerator.num_processes}; they would write the same run: start it without a launcher, or by torchrun"
        )
    return accelerator


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Lock a run folder, which is created if needed, against other trainings.

    Raises:
        SettingsError: Another holds it.
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        raise SettingsError(f"{folder}: another training is writing it; let it end, or choose another folder") from None
    try:
        yield
    finally:
        lock.release()


def _accelerator(device: torch.device) -> Accelerator | None:
    """Return one on that device; None where accelerate has settled on another, or on another precision."""
    ddp = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
    try:
        # Given as plugins, so that no ACCELERATE_ variable can change them: the record would not say so.
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="no",
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            dynamo_plugin=TorchDynamoPlugin(backend="no"),
            kwargs_handlers=[ddp],
        )
    except ValueError:
        return None
    if accelerator.num_processes > 1:
        _leave_group_at_exit()
    return accelerator if accelerator.device.type == device.type else None


@cache
def _leave_group_at_exit() -> None:
    """See that the process group is closed when the process ends, as torch asks."""
    atexit.register(_leave_group)


def _leave_group() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
