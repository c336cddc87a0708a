"""In what precision the backbone computes."""

from __future__ import annotations

import copy
from typing import Literal

import torch

from ganart_zoo.contract import Backbone, ModelError

__all__ = ["picture_dtype", "prepared"]


def prepared(backbone: Backbone, compute: Literal["auto", "float32", "bfloat16"]) -> Backbone:
    """Return the backbone in the precision that `compute` asks for: itself, or a converted copy.

    A copy and not autocast: that would convert every weight anew at every step. And the original may be shared.

    Raises:
        ModelError: The backbone has no parameters.
    """
    stored = _parameter(backbone).dtype
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(compute, stored)
    if compute == "auto" and stored == torch.float32 and _bfloat16_pays(_parameter(backbone).device):
        wanted = torch.bfloat16
    return backbone if wanted == stored else copy.deepcopy(backbone).to(wanted)


def picture_dtype(backbone: Backbone) -> torch.dtype:
    """Return the type of the picture that is optimised: float64 for a float64 backbone, else float32."""
    return torch.float64 if _parameter(backbone).dtype == torch.float64 else torch.float32


def _parameter(backbone: Backbone) -> torch.nn.Parameter:
    parameter = next(backbone.parameters(), None)
    if parameter is None:
        raise ModelError(f"the backbone {type(backbone).__name__} has no parameters, so it has no features to match")
    return parameter


def _bfloat16_pays(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return any(torch.cpu.get_capabilities().get(unit, False) for unit in ("avx512_bf16", "amx_bf16"))
    return False
