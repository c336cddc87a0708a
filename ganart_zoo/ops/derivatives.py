"""Registers the derivatives of native ops: reverse mode as given, and forward mode by the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["has_tangent", "register_derivatives"]


def has_tangent(argument: object) -> bool:
    """Return whether a tensor carries a forward-mode tangent."""
    return isinstance(argument, Tensor) and forward_ad.unpack_dual(argument).tangent is not None


def register_derivatives(
    name: str,
    reference: Callable[..., Any],
    backward: Callable[..., Any],
    setup_context: Callable[..., None],
) -> None:
    """Do what `torch.library.register_autograd` does, and let calls with tangents run the reference.

    torch knows no forward-mode derivative of such an op and would take it for 0. This holds wherever the op is called:
    in graphs that were traced, exported or compiled too, which no longer pass through the functions of `ops`.

    Args:
        name: `<namespace>::<op>`; its schema has no defaults.
        reference: Plain PyTorch with the same arguments and results.
        backward: As for `torch.library.register_autograd`.
        setup_context: Likewise.
    """
    library = _Library(name.partition("::")[0], "FRAGMENT")  # type: ignore[no-untyped-call]
    library.reference = reference
    torch.library.register_autograd(name, backward, setup_context=setup_context, lib=library)
    _kept.append(library)


class _Library(torch.library.Library):
    """Registers kernels that leave calls with tangents to a reference."""

    reference: Callable[..., Any]

    def impl(self, op_name: Any, fn: Any, dispatch_key: str = "", **options: Any) -> Any:
        reference = self.reference

        def kernel(keyset: Any, *arguments: Any) -> Any:
            if forward_ad._current_level >= 0 and any(map(has_tangent, arguments)):
                return reference(*arguments)
            return fn(keyset, *arguments)

        return super().impl(op_name, kernel, dispatch_key, **options)  # type: ignore[no-untyped-call]


_kept: list[_Library] = []  # registrations end with their library
