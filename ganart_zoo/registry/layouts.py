"""Weights folders in the layout of another library: selects the files that a model loads. Torch-free.

`ModelSpec.folder` has the patterns. Files with other suffixes than `FOLDER_SUFFIXES` are never loaded, so neither code
nor pickles can be read this way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ganart_zoo.contract.errors import WeightsError

__all__ = ["layout_files", "layout_names"]

_PART = re.compile(r"[A-Za-z0-9_][\w.+-]*", re.ASCII)
_VARIANT = re.compile(r"\.(?:fp16|bf16|non_ema)(?=[.-])")


def layout_names(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the relative paths that patterns select, in order.

    Every part of a path has to match its part of the pattern. A half-precision or non-averaged variant of a file, such
    as `unet/model.fp16.safetensors`, is left out if the plain file exists too.

    Args:
        names: Relative paths with forward slashes. Those with unusual parts, such as `..`, are never selected.
        patterns: As in `ModelSpec.folder`.
    """
    selected = {
        name
        for name in names
        if all(_PART.fullmatch(part) for part in name.split("/")) and any(_matches(name, p) for p in patterns)
    }
    return sorted(name for name in selected if _VARIANT.sub("", name) == name or _VARIANT.sub("", name) not in selected)


def layout_files(folder: Path, patterns: Sequence[str]) -> dict[str, Path]:
    """Return the files of a folder that patterns select, by relative path.

    Raises:
        WeightsError: None of them holds weights.
    """
    found = {path.relative_to(folder).as_posix(): path for pattern in patterns for path in folder.glob(pattern)}
    names = layout_names([name for name, path in found.items() if path.is_file()], patterns)
    if not any(name.endswith(".safetensors") for name in names):
        weights = " or ".join(pattern for pattern in patterns if pattern.endswith(".safetensors"))
        raise WeightsError(f"{folder} holds no {weights}; only safetensors are read, so convert other formats first")
    return {name: found[name] for name in names}


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
