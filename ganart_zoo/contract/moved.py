"""Keeps a public name importable from where it used to be. Torch-free."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

__all__ = ["moved"]


def moved(name: str, old: str, new: str) -> Any:
    """Return `name` from the module `new`, with a DeprecationWarning that it is no longer in `old`.

    Call it from the `__getattr__` of the module `old`, so that the warning points at the importing line.

    Raises:
        AttributeError: `new` has no such name either.
    """
    if name.startswith("__"):  # the import system asks for __path__ and the like
        raise AttributeError(f"module {old!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(new), name)
    warnings.warn(
        f"{old}.{name} has moved to {new}.{name}; the old name goes with ganart-zoo 0.2",
        DeprecationWarning,
        stacklevel=3,
    )
    return value
