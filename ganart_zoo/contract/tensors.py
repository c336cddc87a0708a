"""Reads tensors from safetensors files and, with `weights_only=True`, torch files, so that no code in them is run.

Importing this module imports neither torch nor safetensors.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganart_zoo.contract.errors import WeightsError, WeightsMissingError
from ganart_zoo.contract.spec import FORMATS

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load_tensors", "tensor_names", "under", "unwrap_names", "weights_format", "wrapped_whole"]

_SAFETENSORS_LENGTH = 8  # bytes of the little-endian length of the JSON header that follows
_TORCH_STARTS = (b"PK\x03\x04", b"\x80")  # a zip archive since torch 1.6, a bare pickle before


_WRAPPERS = {
    "module",
    "_orig_mod",
    "_forward_module",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
}
"""What DataParallel, torch.compile, Fabric, FSDP and activation checkpointing put into names."""
_AVERAGED = "n_averaged"
"""The count that torch's AveragedModel keeps beside the averages."""
_DEEPEST = 4
"""Mappings within mappings, in which state dicts are looked for."""


def weights_format(path: Path) -> str:
    """Return the format of a file by its first bytes: `"safetensors"` or `"torch"`. The suffix is ignored.

    Raises:
        WeightsError: The file has neither format, or cannot be read.
    """
    start = _first_bytes(path)
    if start[_SAFETENSORS_LENGTH:] == b"{":
        return "safetensors"
    if start.startswith(_TORCH_STARTS):
        return "torch"
    if start.startswith(b"version "):
        raise WeightsError(f"{path} is a pointer of Git LFS in place of the file; fetch it with git lfs pull")
    if start.lstrip().lower().startswith((b"<!doc", b"<html")):
        raise WeightsError(f"{path} is a web page, perhaps one that says why there was no download; get the file again")
    reason = "is neither a safetensors nor a torch file" if start else "is empty, expected a safetensors or torch file"
    raise WeightsError(f"{path} {reason}; give a file of weights")


def load_tensors(path: Path, format: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU.

    Args:
        path: The file.
        format: `"safetensors"`, or `"torch"`, which is read with `torch.load(weights_only=True)` and nothing else. It
            holds a state dict, or a checkpoint of which exactly one entry, such as `state_dict` or `g_ema`, is one.
            None goes by the file's first bytes.

    Raises:
        WeightsMissingError: There is no such file.
        WeightsError: The file is damaged, has another format, holds Python objects, or does not hold exactly one
            mapping of names to tensors.
    """
    actual = weights_format(path)
    if format is not None and format not in FORMATS:
        raise WeightsError(f"{path}: format is {format!r}, expected one of {', '.join(FORMATS)}")
    if format not in (None, actual):
        raise WeightsError(f"{path} is a {actual} file, expected {format}")
    return _load_safetensors(path) if actual == "safetensors" else _load_torch(path)


def tensor_names(path: Path) -> list[str]:
    """Return the names of the tensors in a safetensors file, without reading the tensors.

    Raises:
        WeightsMissingError: There is no such file.
        WeightsError: The file is damaged or has another format.
    """
    if (found := weights_format(path)) != "safetensors":
        raise WeightsError(f"{path} is a {found} file, expected safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix.`, by the rest of their names."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def unwrap_names(tensors: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Return tensors under the names they had before a wrapper or a checkpoint put a prefix before them.

    DataParallel puts `module.` before every name, torch.compile puts `_orig_mod.` before the names of what it compiled,
    and training frameworks put the name of an attribute or a dictionary before them, such as `generator.`. The count of
    torch's AveragedModel is dropped.

    Args:
        tensors: By the names in a file.
        expected: The names that a model expects. Names are changed only if more of them are then expected.
    """
    if _AVERAGED not in expected and all(name.startswith("module.") for name in tensors if name != _AVERAGED):
        tensors = {name: tensor for name, tensor in tensors.items() if name != _AVERAGED}
    wrappers = _WRAPPERS - {part for name in expected for part in name.split(".")}
    unwrapped = {name: ".".join(part for part in name.split(".") if part not in wrappers) for name in tensors}
    paths = [name.split(".")[:-1] for name in unwrapped.values()]
    shared = [parts[0] for parts in takewhile(lambda parts: len({*parts}) == 1, zip(*paths, strict=False))]
    prefixes = [".".join([*shared[:depth], ""]) for depth in range(len(shared) + 1)]
    candidates = [
        {name: name for name in tensors},
        *({name: bare.removeprefix(prefix) for name, bare in unwrapped.items()} for prefix in prefixes),
    ]
    known = frozenset(expected)
    best = max(candidates, key=lambda names: len(known.intersection(names.values())))
    if len({*best.values()}) < len(best):  # two tensors would get one name
        best = candidates[0]
    return {best[name]: tensor for name, tensor in tensors.items()}


def wrapped_whole(tensors: Mapping[str, Tensor], expected: Collection[str]) -> list[str]:
    """Return the prefixes under which a file holds everything that a model expects, such as `["generator."]`."""
    if not expected:
        return []
    first = next(iter(expected))
    prefixes = [name.removesuffix(first) for name in tensors if name.endswith(f".{first}")]
    return [prefix for prefix in prefixes if all(f"{prefix}{name}" in tensors for name in expected)]


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
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path} is a damaged safetensors file: {_one_line(error)}; get it again")


def _load_torch(path: Path) -> dict[str, Tensor]:
    import torch

    if _is_torchscript(path):
        raise WeightsError(
            f"{path} is a TorchScript archive, which holds code; save its state dict where you trust it: "
            f"torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pt')"
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, and unpickling Python objects could run any code, so it is refused; "
            "save its state dict as safetensors where you trust it"
        ) from error
    # For a damaged archive, the unpickler and the zip reader raise errors of many types.
    except Exception as error:
        raise WeightsError(f"{path} is a damaged torch file: {_one_line(error)}; get it again") from error
    return _state_dict(path, loaded)


def _is_torchscript(path: Path) -> bool:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):  # what is wrong with it is said by whoever reads it
        return False


def _state_dict(path: Path, loaded: Any) -> dict[str, Tensor]:
    """Return the state dict that was loaded, or the only one in a checkpoint."""
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, expected a mapping of names to tensors")
    if _is_state_dict(loaded):
        return {key: value.detach() for key, value in loaded.items()}
    nested = _nested(loaded)
    if len(nested) == 1:
        return {key: value.detach() for key, value in next(iter(nested.values())).items()}
    if nested:
        choices = ", ".join(".".join(map(repr, keys)) for keys in nested)
        keys = "".join(f"[{key!r}]" for key in next(iter(nested)))
        raise WeightsError(
            f"{path} is a checkpoint of several state dicts: {choices}; save the one you need to a file of its own: "
            f"torch.save(torch.load({path.name!r}, weights_only=True){keys}, 'weights.pt')"
        )
    other = [repr(key) for key, value in loaded.items() if not _is_state_dict({key: value})]
    more = " ..." if len(other) > 5 else ""
    raise WeightsError(f"{path} is not a state dict; there are no tensors under {', '.join(other[:5])}{more}")


def _nested(loaded: Mapping[Any, Any]) -> dict[tuple[Any, ...], Mapping[str, Tensor]]:
    """Return the state dicts in a checkpoint, by their keys: those of the first depth at which there are any."""
    level: dict[tuple[Any, ...], Mapping[Any, Any]] = {(): loaded}
    for _ in range(_DEEPEST):
        level = {
            (*keys, key): value
            for keys, mapping in level.items()
            for key, value in mapping.items()
            if isinstance(value, Mapping) and value
        }
        if found := {keys: value for keys, value in level.items() if _is_state_dict(value)}:
            return found
    return {}


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    from torch import Tensor

    return all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())


def _one_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
