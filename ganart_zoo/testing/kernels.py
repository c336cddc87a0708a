"""Checks of a plugin's own ops: the native kernel computes what its reference defines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.contract import generator
from ganart_zoo.ops import dispatch
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["CHECKS"]


def kernels_compute_what_their_references_define(subject: Subject) -> None:
    """A native op of the plugin, at its small workload, is at most twice as far from float64 as its reference is.

    Ops without a kernel on this machine, and those that declare no workload `small`, are left out.
    """
    package = type(subject.create()).__module__.partition(".")[0]
    for name, op in dispatch.registered().items():
        if name.partition("::")[0] != package or "small" not in op.workloads:
            continue
        arguments = [_drawn(value, seed) for seed, value in enumerate(op.workloads["small"])]
        if op.why_not("cpu", arguments[0].dtype) is not None:
            continue
        with ops.use("native"):
            native = _tensors(op(*arguments))
        plain = _tensors(op.reference(*arguments))
        exact = _tensors(op.reference(*(_double(value) for value in arguments)))
        assert len(native) == len(plain), (
            f"{name}: the kernel returns {len(native)} tensors, its reference {len(plain)}"
        )
        for one, other, true in zip(native, plain, exact, strict=True):
            assert one.shape == other.shape, (
                f"{name}: the kernel gives {list(one.shape)}, its reference {list(other.shape)}"
            )
            assert one.dtype == other.dtype, f"{name}: the kernel gives {one.dtype}, its reference {other.dtype}"
            if not one.numel():
                continue
            off, allowed = (float((tensor.double() - true.double()).abs().max()) for tensor in (one, other))
            least = torch.finfo(one.dtype).eps * max(1.0, float(true.abs().max())) if one.is_floating_point() else 0.0
            assert off <= 2 * allowed + 4 * least, (
                f"{name}: the kernel is off by {off:.3g}, its reference by {allowed:.3g}"
            )


def _drawn(value: Any, seed: int) -> Any:
    """Return the argument that a workload describes: normal values in place of each tensor."""
    if isinstance(value, Mapping) and "shape" in value:
        dtype = getattr(torch, value["dtype"])
        tensor = torch.empty_strided(value["shape"], value["strides"], dtype=dtype)
        return tensor.copy_(torch.randn(value["shape"], generator=generator(seed)))
    if isinstance(value, Mapping) and "dtype_of" in value:
        return getattr(torch, value["dtype_of"])
    if isinstance(value, (list, tuple)):
        return [_drawn(each, seed + 100 * (place + 1)) for place, each in enumerate(value)]
    return value


def _double(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    return [_double(each) for each in value] if isinstance(value, list) else value


def _tensors(result: Any) -> Sequence[Tensor]:
    return (result,) if isinstance(result, Tensor) else tuple(result)


CHECKS: tuple[Check, ...] = (kernels_compute_what_their_references_define,)
