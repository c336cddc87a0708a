"""Which distributions run in a process of their own, and within which bounds. Torch-free."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry.processes import parse_bytes, show_bytes

__all__ = ["WITHDRAWN", "Isolation", "chosen_isolation"]

WITHDRAWN = frozenset({"differentiable", "trainable"})
"""Capabilities that an isolated model loses."""


@dataclass(frozen=True)
class Isolation:
    """How the models of one distribution run in a process of their own."""

    python: str | Path | None = None
    """The interpreter; None: that of this program. Both need the same minor release of ganart-zoo."""
    timeout: float = 600.0
    """Seconds that the process may be silent during a call; then it is ended. A step is a sign of life."""
    memory: int | None = None
    """Bytes that the process may hold in memory; then it is ended. None: no bound."""

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            SettingsError: One is not a positive number.
        """
        for name in ("timeout", "memory"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and math.isfinite(value) and value > 0):
                raise SettingsError(f"isolation: {name} is {value!r:.40}, expected a number above 0")

    def __str__(self) -> str:
        bounds = [f"timeout {self.timeout:g} s"]
        if self.memory is not None:
            bounds.append(f"memory {show_bytes(self.memory)}")
        if self.python is not None:
            bounds.append(str(self.python))
        return ", ".join(bounds)


def chosen_isolation(given: Mapping[str, Isolation] | Iterable[str] | None) -> dict[str, Isolation]:
    """Return the isolation of each distribution, by its normalised name.

    Args:
        given: By distribution; or texts `DIST` or `DIST=/path/to/python`; None: the comma-separated ones in
            `GANART_ISOLATE`. `GANART_ISOLATE_TIMEOUT` (seconds) and `GANART_ISOLATE_MEMORY` (such as `4GiB`) bound
            those that are given as texts.

    Raises:
        SettingsError: A text or a bound is not of that form.
    """
    if isinstance(given, Mapping):
        for name, isolation in given.items():
            if not isinstance(isolation, Isolation):
                raise SettingsError(f"isolate: {name} is {isolation!r:.60}, expected an Isolation")
        return {str(canonicalize_name(name)): isolation for name, isolation in given.items()}
    if isinstance(given, str):
        raise SettingsError(f"isolate is {given!r}, expected a list of distributions, such as [{given!r}]")
    texts = os.environ.get("GANART_ISOLATE", "").split(",") if given is None else [str(text) for text in given]
    found: dict[str, Isolation] = {}
    for text in texts:
        name, _, python = text.partition("=")
        if name.strip():
            found[str(canonicalize_name(name.strip()))] = replace(_bounds(), python=python.strip() or None)
        elif python.strip():
            raise SettingsError(f"isolate has {text!r}, expected DIST or DIST=/path/to/python")
    return found


def _bounds() -> Isolation:
    timeout, memory = (os.environ.get(f"GANART_ISOLATE_{name}", "").strip() for name in ("TIMEOUT", "MEMORY"))
    try:
        seconds = float(timeout) if timeout else Isolation.timeout
    except ValueError:
        raise SettingsError(f"GANART_ISOLATE_TIMEOUT is {timeout!r}, expected a number of seconds") from None
    return Isolation(timeout=seconds, memory=parse_bytes(memory) if memory else None)
