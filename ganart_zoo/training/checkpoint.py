"""Checkpoints: one safetensors file per saved step, moved into place once it is complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from ganart_zoo.contract.errors import ModelError
from ganart_zoo.contract.tensors import under
from ganart_zoo.imaging.files import whole_file
from ganart_zoo.registry.runs import checkpoint_steps

__all__ = ["Checkpoints", "load_optimizer", "optimizer_tensors", "prefixed", "under", "write_tensors"]

_FACTS = "ganart"


class Checkpoints:
    """The checkpoints of a run: the newest few, and the best.

    Args:
        folder: Their folder, created when the first checkpoint is saved.
        keep: Number of newest checkpoints to keep.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep

    @property
    def best(self) -> Path:
        """The path of the best checkpoint."""
        return self._folder / "best.safetensors"

    def steps(self) -> dict[int, Path]:
        """Return the checkpoints by step, oldest first."""
        return checkpoint_steps(self._folder)

    def latest(self) -> Path | None:
        """Return the newest, or None."""
        return next(reversed(self.steps().values()), None)

    def save(self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, best: bool = False) -> Path:
        """Write a checkpoint, then delete the oldest ones.

        Args:
            step: Steps done.
            tensors: The state that consists of tensors.
            facts: All other state, JSON-ready.
            best: Also keep it as the best checkpoint.

        Raises:
            ModelError: It cannot be written. Existing checkpoints are kept.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"step-{step:08d}.safetensors"
        try:
            written = self.best if best else path
            write_tensors(written, tensors, {_FACTS: json.dumps(facts)})
            if best:  # the one to resume from comes last: what it says of the best is true whenever it is there
                _copy(written, path)
        except OSError as error:
            kept = self.latest()
            raise ModelError(
                f"{path}: not written: {error.strerror or error}; the last good checkpoint is {kept or 'none'}"
            ) from error
        for old in list(self.steps().values())[: -self._keep]:
            old.unlink()
        return path

    @staticmethod
    def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the facts of a checkpoint.

        Raises:
            ModelError: It is damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})[_FACTS])
                return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 no mapping
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ModelError(f"{path} is no checkpoint, or damaged ({error}); remove it to resume before it") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file that appears whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    # copied, because safetensors refuses tensors that share memory, as tied weights do
    owned = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}

    with whole_file(path, alone=True) as part:
        try:
            save_file(owned, part, dict(metadata or {}))
        except SafetensorError as error:
            raise OSError(f"{error}") from error


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under `prefix.name`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's moments as `number.name`. Learning rates are left out, for they follow from the step."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}


def load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load what `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _copy(source: Path, target: Path) -> None:
    with whole_file(target, alone=True) as part:
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)  # no second gigabyte on the disk
        except OSError:
            shutil.copyfile(source, part)
