"""What suits this machine, as `ganart tune` found it: a file that is used only where it is asked for. Torch-free.

    {"ganart_tuning": 1, "machine": {"processor": ..., ...}, "isa": "avx2", "threads": 4, "measured": [...]}

It chooses among what kernels offer at run time: the instruction set and the number of threads. Own kernels compute the
same for any number of threads; results of two instruction sets may differ in their last bits.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ganart_zoo import native
from ganart_zoo.contract.errors import SettingsError

__all__ = ["FORMAT", "VARIABLE", "Tuning", "fingerprint", "processor", "use_tuning"]

FORMAT = 1
VARIABLE = "GANART_TUNING"
"""The environment's variable that names the file."""

_ISA, _THREADS = "GANART_CPU_ISA", "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Tuning:
    """The choices for one machine."""

    machine: dict[str, Any]
    """The machine's `fingerprint`: on another one the choices mean nothing."""
    isa: str
    threads: int
    measured: list[dict[str, Any]] = field(default_factory=list)
    """For each candidate its `isa`, `threads`, and `seconds`, the geometric mean over workloads."""

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_text(json.dumps({"ganart_tuning": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Tuning:
        """Read a file that `save` wrote.

        Raises:
            SettingsError: It is missing or of another form.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["ganart_tuning"] != FORMAT:
                raise SettingsError(f"{path} has the format {data['ganart_tuning']!r}, expected {FORMAT}")
            return cls(dict(data["machine"]), str(data["isa"]), int(data["threads"]), list(data["measured"]))
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}; ganart tune -o {path} writes it") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{path} is no result of ganart tune ({error!r}); write it anew") from error


def fingerprint() -> dict[str, Any]:
    """Return what the choices depend on: processor, number of CPUs, instruction sets, versions.

    Raises:
        NativeBuildError: There are no kernels, so there is nothing to choose.
    """
    return {
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count() or 1,
        "isa_levels": list(native.introspection().cpu_isa_levels()),
        "torch": metadata.version("torch"),
        "ganart-zoo": metadata.version("ganart-zoo"),
    }


def processor() -> str:
    """Return the processor's name; `platform.processor` is empty on most Linux systems."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def use_tuning(path: Path, environment: MutableMapping[str, str] | None = None) -> str:
    """Use the choices of a file for this process, before anything imports torch; return one line that says which.

    It sets `GANART_CPU_ISA` and `OMP_NUM_THREADS`; what the user has set is kept.

    Args:
        path: The file.
        environment: Where the variables are set; None for the process's own.

    Raises:
        SettingsError: The file cannot be read, is of another machine or version, or torch is imported already.
    """
    tuning = Tuning.load(path)
    here = fingerprint()
    if differing := [name for name in here if tuning.machine.get(name) != here[name]]:
        name = differing[0]
        raise SettingsError(
            f"{path} is of another machine or version: {name} was {tuning.machine.get(name)!r} and is {here[name]!r}; "
            f"run ganart tune anew, or unset {VARIABLE}"
        )
    if environment is None:
        if "torch" in sys.modules:
            raise SettingsError("a tuning is used before torch is imported, which has read its settings already")
        environment = os.environ
    chosen = {_ISA: tuning.isa, _THREADS: str(tuning.threads)}
    kept = [name for name in chosen if environment.get(name)]
    for name, value in chosen.items():
        if name not in kept:
            environment[name] = value
    said = ", ".join(f"{name}={value}" for name, value in chosen.items() if name not in kept) or "nothing"
    return f"{path} sets {said}" + (f"; {', '.join(kept)} stays as you set it" if kept else "")
