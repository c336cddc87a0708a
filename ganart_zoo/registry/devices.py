"""Where models are put: `"cpu"`, or a GPU that is there. Torch-free until asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.errors import SettingsError

if TYPE_CHECKING:
    import torch

__all__ = ["find_device"]


def find_device(device: str | torch.device) -> torch.device:
    """Return a device that this machine has.

    Raises:
        SettingsError: It has none of that name.
    """
    import torch

    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise SettingsError(
            f"device is {device!r}, expected 'cpu' or 'cuda[:index]': {error}".splitlines()[0]
        ) from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device is {device!r}, and this machine has no usable CUDA device; use 'cpu'")
    if found.type == "cuda" and found.index is not None and found.index >= torch.cuda.device_count():
        raise SettingsError(f"device is {device!r}, and this machine has {torch.cuda.device_count()} CUDA device(s)")
    return found
