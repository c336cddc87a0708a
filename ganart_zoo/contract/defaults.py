"""Shields results from what a program has set in torch: default dtype and device, autocast, inference mode."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["standard_defaults"]

_DEVICES = ("cpu", "cuda", "mps", "xpu")

# Functions whose result has the default dtype unless told otherwise. Random ones would draw other values in float64.
_FLOATING: frozenset[Any] = frozenset(
    {
        torch.empty,
        torch.eye,
        torch.hann_window,
        torch.linspace,
        torch.logspace,
        torch.normal,
        torch.ones,
        torch.rand,
        torch.randn,
        torch.zeros,
    }
)
# Functions whose result has the default dtype only for Python floats, so that its dtype is corrected afterwards.
_INFERRED: frozenset[Any] = frozenset(
    {torch.arange, torch.as_tensor, torch.full, torch.scalar_tensor, torch.tensor, torch.true_divide, torch.div}
)


@contextlib.contextmanager
def standard_defaults() -> Iterator[None]:
    """Within the block, make tensors float32 and on the CPU where no dtype or device is given.

    There is no autocast and no inference mode in it. It changes nothing global and concerns this thread only. It costs
    nothing unless a program has called `torch.set_default_dtype` or `torch.set_default_device`, or is within
    `torch.autocast` or `torch.inference_mode`.
    """
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():  # no gradient could reach tensors made in it, then or later
            stack.enter_context(torch.inference_mode(False))
        for device in filter(torch.is_autocast_enabled, _DEVICES):
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_dtype() != torch.float32:
            stack.enter_context(_Float32())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


class _Float32(TorchFunctionMode):
    """Gives new tensors the dtype float32 where no dtype is given and torch's default would decide."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if given.get("dtype") is None and given.get("out") is None:
            if func in _FLOATING:
                given["dtype"] = torch.float32
            elif func in _INFERRED or getattr(func, "__name__", "") in ("__truediv__", "__rtruediv__", "div"):
                return _as_float32(func(*args, **given), args)
        return func(*args, **given)


def _as_float32(result: Any, args: tuple[Any, ...]) -> Any:
    """Return a result in float32 if it has the default dtype only because no tensor or array decided otherwise."""
    if not isinstance(result, Tensor) or result.dtype != torch.get_default_dtype():
        return result
    decided = any(getattr(arg, "dtype", None) is not None and "float" in str(arg.dtype) for arg in args)
    return result if decided else result.to(torch.float32)
