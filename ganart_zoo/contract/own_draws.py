"""Random draws of plugin code from a given generator, so that torch's global one is neither used nor moved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["OwnDraws", "copy_of_global"]

_FACTORIES = frozenset({torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal})
_LIKE: Mapping[Any, Callable[..., Tensor]] = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}
_IN_PLACE = frozenset(
    getattr(Tensor, f"{name}_")
    for name in ("bernoulli", "cauchy", "exponential", "geometric", "log_normal", "normal", "random", "uniform")
)
_ON_TENSORS = _IN_PLACE | {torch.bernoulli, torch.multinomial, Tensor.bernoulli, Tensor.multinomial}
_INITIALISERS = frozenset(
    function
    for name, function in vars(nn.init).items()
    if name.endswith("_") and callable(function) and "generator" in inspect.signature(function).parameters
)


class OwnDraws(TorchFunctionMode):
    """Within the block, random functions on the CPU that get no generator draw from this one.

    It concerns this thread only, and changes nothing global. Draws on other devices are left as they are.

    Example:
        >>> with OwnDraws(torch.Generator().manual_seed(7)):
        ...     drawn = torch.randn(3)
        >>> torch.equal(drawn, torch.randn(3, generator=torch.Generator().manual_seed(7)))
        True
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _LIKE and args[0].device.type == "cpu" and torch.device(given.get("device") or "cpu").type == "cpu":
            like = args[0]
            given = {"dtype": like.dtype, **{name: value for name, value in given.items() if name != "memory_format"}}
            return _LIKE[func](like.shape, generator=self._generator, **given)
        if given.get("generator") is None and self._applies(func, args, given):
            given["generator"] = self._generator
        return func(*args, **given)

    @staticmethod
    def _applies(func: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any]) -> bool:
        if func in _FACTORIES:
            device = given.get("device")
            return torch.device(torch.get_default_device() if device is None else device).type == "cpu"
        if func in _ON_TENSORS or func in _INITIALISERS:
            tensor = args[0] if args else given.get("tensor", given.get("input"))
            return isinstance(tensor, Tensor) and tensor.device.type == "cpu"
        return False


def copy_of_global() -> Generator:
    """Return a generator that draws what torch's global CPU generator would draw next, without moving that."""
    generator = Generator()
    generator.set_state(torch.get_rng_state())
    return generator
