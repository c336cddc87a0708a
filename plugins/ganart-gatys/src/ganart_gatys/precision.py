"""In what precision the backbone computes."""

from __future__ import annotations

import copy
from typing import Literal

import torch

from ganart_gatys.convolutions import accelerate, can_accelerate
from ganart_zoo.contract import Backbone

__all__ = ["prepared"]


def prepared(backbone: Backbone, compute: Literal["auto", "float32", "bfloat16"]) -> Backbone:
    """Return the backbone in the precision that `compute` asks for and as fast as can be: itself, or a converted copy.

    A copy and not autocast: that would convert every weight anew at every step. And the original may be shared.
    """
    stored = backbone.compute_dtype
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(compute, stored)
    if compute == "auto" and stored == torch.float32 and _bfloat16_pays(backbone.device):
        wanted = torch.bfloat16
    if wanted == stored and not can_accelerate(backbone):
        return backbone
    return accelerate(copy.deepcopy(backbone).to(wanted))


def _bfloat16_pays(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return any(torch.cpu.get_capabilities().get(unit, False) for unit in ("avx512_bf16", "amx_bf16"))
    return False
