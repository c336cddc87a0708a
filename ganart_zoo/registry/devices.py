"""Checks that a device exists on this machine. Torch-free until it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.errors import SettingsError

if TYPE_CHECKING:
    import torch

__all__ = ["find_device"]


def find_device(device: str | torch.device) -> torch.device:
    """Return the device as a `torch.device`.

    Raises:
        SettingsError: This machine has no such device.
    """
    import torch

    try:
        checked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise SettingsError(
            f"device is {device!r}, expected 'cpu' or 'cuda[:index]': {error}".splitlines()[0]
        ) from None
    if checked.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device is {device!r}, but this machine has no usable CUDA device; use 'cpu'")
    if checked.type == "cuda" and checked.index is not None and checked.index >= torch.cuda.device_count():
        raise SettingsError(f"device is {device!r}, but this machine has {torch.cuda.device_count()} CUDA device(s)")
    return checked
