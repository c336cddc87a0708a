"""Reads tensors from a weights file without ever running code from it: safetensors, or weights-only torch files.

Importing this module costs neither torch nor safetensors; they load with the first file.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganart_zoo.contract.errors import WeightsError, WeightsMissingError
from ganart_zoo.contract.spec import FORMATS

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load_tensors", "weights_format"]

_SAFETENSORS_LENGTH = 8  # the header's length, little-endian; its JSON follows
_TORCH_STARTS = (b"PK\x03\x04", b"\x80")  # a zip archive since torch 1.6, a bare pickle before


def weights_format(path: Path) -> str:
    """Return the format that a file's first bytes show: `"safetensors"` or `"torch"`. Extensions are not believed.

    Raises:
        WeightsError: It is neither, or cannot be read.
    """
    start = _first_bytes(path)
    if start[_SAFETENSORS_LENGTH:] == b"{":
        return "safetensors"
    if start.startswith(_TORCH_STARTS):
        return "torch"
    found = f"it starts with {start[:8]!r}" if start else "it is empty"
    raise WeightsError(f"{path} is neither a safetensors nor a torch file: {found}")


def load_tensors(path: Path, format: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU.

    Args:
        path: The file.
        format: `"safetensors"`, or `"torch"` (a flat state dict, read with `torch.load(weights_only=True)` and nothing
            else); None goes by the file's first bytes.

    Raises:
        WeightsMissingError: There is no such file.
        WeightsError: It is damaged, of another format, holds Python objects, or is no flat mapping of names to tensors.
    """
    found = weights_format(path)
    if format is not None and format not in FORMATS:
        raise WeightsError(f"{path}: format is {format!r}, expected one of {', '.join(FORMATS)}")
    if format not in (None, found):
        raise WeightsError(f"{path} is a {found} file, expected {format}")
    return _load_safetensors(path) if found == "safetensors" else _load_torch(path)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_SAFETENSORS_LENGTH + 1)
    except FileNotFoundError as error:
        raise WeightsMissingError(f"weights file {path} does not exist") from error
    except OSError as error:
        raise WeightsError(f"cannot read weights file {path}: {error.strerror}") from error


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is a damaged safetensors file: {_one_line(error)}; get it again") from error


def _load_torch(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, and unpickling Python objects could run any code, so it is refused; "
            "save its state dict as safetensors where you trust it"
        ) from error
    # a damaged archive surfaces as whatever the unpickler or the zip reader trips over first
    except Exception as error:
        raise WeightsError(f"{path} is a damaged torch file: {_one_line(error)}; get it again") from error
    return _flat_state(path, loaded)


def _flat_state(path: Path, loaded: Any) -> dict[str, Tensor]:
    from torch import Tensor

    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, expected a mapping of names to tensors")
    other = [repr(key) for key, value in loaded.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if other:
        more = " ..." if len(other) > 5 else ""
        raise WeightsError(f"{path} is not a flat state dict; no tensors under {', '.join(other[:5])}{more}")
    return {key: value.detach() for key, value in loaded.items()}


def _one_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
