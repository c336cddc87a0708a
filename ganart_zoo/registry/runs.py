"""Reads run folders: a finished training run can be used as a model. Torch-free.

Under `parts`, `RUN/config.json` holds the `Provenance` of each network, with its model, config and uses.
`RUN/<part>.safetensors` holds the state of that network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganart_zoo.contract.errors import ModelError
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.contract.tensors import tensor_names
from ganart_zoo.registry.builtin import GAN

if TYPE_CHECKING:
    from ganart_zoo.registry.zoo import Zoo

__all__ = [
    "RUN_FORMAT",
    "RunPart",
    "average_prefix",
    "checkpoint_steps",
    "describe_parts",
    "main_part",
    "part_of_kind",
    "read_part",
    "read_settings",
    "run_parts",
]

RUN_FORMAT = 1
_CHECKPOINT = re.compile(r"step-(\d+)\.safetensors")


@dataclass(frozen=True)
class RunPart:
    """One network of a run: how to build it, and the file of its state."""

    provenance: Provenance
    file: Path
    """The part's own file if the run has finished, else its newest checkpoint; it need not exist."""
    prefix: str = ""
    """What stands before the names of the part's tensors in the file."""
    step: int | None = None
    """The step of the checkpoint; None where the file is the part's own."""


def describe_parts(parts: Mapping[str, Provenance]) -> dict[str, Any]:
    """Return the content of `config.json` from which `read_part` finds the networks of a run."""
    return {"format": RUN_FORMAT, "parts": {name: provenance.to_json() for name, provenance in parts.items()}}


def run_parts(run: Path) -> dict[str, Provenance]:
    """Return the networks of a run by their role, the main network first.

    Raises:
        ModelError: It is not a run folder.
    """
    described, parts = _read(run)
    return dict(sorted(parts.items(), key=lambda part: part[0] != _main_part(described)))


def main_part(run: Path) -> str:
    """Return the role of a run's main network.

    Raises:
        ModelError: It is not a run folder.
    """
    return _main_part(_read(run)[0])


def _main_part(described: Mapping[str, Any]) -> str:
    return str(described.get("main", "generator"))  # runs that are older than recipes do not name it


def part_of_kind(zoo: Zoo, run: Path, kind: str) -> str:
    """Return the role of a run's network of this kind; of several, the one that the run stands for, else the first.

    Raises:
        ModelError: It is not a run folder, or none of its networks is of the kind.
        UnknownModelError: The plugin of a network is not installed.
    """
    parts = run_parts(run)
    for role, made in parts.items():
        if zoo.spec(made.model).kind == kind:
            return role
    raise ModelError(f"{run} has no {kind}; it has {', '.join(parts) or 'none'}")


def read_part(run: Path, part: str) -> RunPart:
    """Read how to build one network of a run. One that has not finished is known by its newest checkpoint.

    Args:
        run: The folder.
        part: A role of its recipe: "generator" or "critic" for a GAN.

    Raises:
        ModelError: It is not a run folder, or has no such part.
    """
    described, parts = _read(run)
    if part not in parts:
        raise ModelError(f"{run} has no part {part!r}; it has {', '.join(parts) or 'none'}")
    file = run / f"{part}.safetensors"
    checkpoints = checkpoint_steps(run / "checkpoints")
    if file.exists() or not checkpoints:
        return RunPart(parts[part], file)
    step, newest = max(checkpoints.items())
    average = average_prefix(part, _main_part(described))
    prefixes = {name.partition(".")[0] for name in tensor_names(newest)}
    return RunPart(parts[part], newest, average if average in prefixes else part, step)


def checkpoint_steps(folder: Path) -> dict[int, Path]:
    """Return the checkpoints in a run's folder of them by their step, oldest first."""
    found = {int(name[1]): path for path in folder.glob("step-*") if (name := _CHECKPOINT.fullmatch(path.name))}
    return dict(sorted(found.items()))


def average_prefix(role: str, main: str) -> str:
    """Return what stands before the names of a role's averaged tensors in a checkpoint."""
    return "average" if role == main else f"average_{role}"


def read_settings(run: Path) -> dict[str, Any]:
    """Return the settings that a run is trained with, in the form of a configuration file of `ganart train`.

    Raises:
        ModelError: It is not a run folder, or one that `ganart train` did not create.
    """
    described, parts = _read(run)
    try:
        data, main = described["data"], _main_part(described)
        used = {key: Provenance.from_json(each).to_settings() for key, each in described.get("uses", {}).items()}
        return {
            "recipe": described.get("recipe", GAN),
            "data": data["path"],
            **{name: data[name] for name in ("size", "crop", "flip")},
            "conditions": described["conditions"],
            **{role: parts[role].to_settings() for role in (main, *parts)},
            **used,
            "training": described["training"],
        }
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{run}/config.json does not hold the settings of its training: {error} is missing; pass all settings again"
        ) from None


def _read(run: Path) -> tuple[dict[str, Any], dict[str, Provenance]]:
    """Return the content of `config.json`, and the networks in it."""
    config = run / "config.json"
    if not run.is_dir():
        raise ModelError(f"{run} is not a folder; a run is a folder with config.json in it")
    try:
        described = json.loads(config.read_text(encoding="utf-8"))
        if (format_found := described["format"]) != RUN_FORMAT:
            raise ModelError(f"{config} has format {format_found!r}, expected {RUN_FORMAT}; another version wrote it")
        return described, {name: Provenance.from_json(data) for name, data in described["parts"].items()}
    except FileNotFoundError:
        raise ModelError(f"{run} has no config.json, so it is not a run; ganart train creates runs") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{config} cannot be read as a run's config: {type(error).__name__}: {error}") from None
