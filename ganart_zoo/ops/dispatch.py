"""Chooses between an op's native kernel and its PyTorch reference, warns once about a fallback, and reports."""

from __future__ import annotations

import importlib.machinery
import os
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ganart_zoo import native
from ganart_zoo.contract.errors import GanartError, SettingsError, did_you_mean
from ganart_zoo.ops import tracing
from ganart_zoo.ops.derivatives import has_tangent, register_derivatives
from ganart_zoo.ops.workloads import Peers, Workloads, check_workloads

__all__ = [
    "FallbackWarning",
    "Mode",
    "NativeOp",
    "NativeUnavailableError",
    "OpStatus",
    "constant_when_compiled",
    "library_beside",
    "mode",
    "registered",
    "status",
    "use",
]

Mode = Literal["auto", "native", "reference"]


class FallbackWarning(UserWarning):
    """An op runs as plain PyTorch because its native kernel cannot be used; issued once for each op and reason."""


class NativeUnavailableError(GanartError, RuntimeError):
    """Mode `native` is set and an op has no native kernel for this call; the message says why."""


@dataclass(frozen=True)
class OpStatus:
    """Which implementation of one op would run on one device type, and why not the native one."""

    op: str
    device: str
    implementation: Literal["native", "reference"]
    reason: str


def use(mode: Mode) -> AbstractContextManager[None]:
    """Choose the implementation of every op, for the whole process; as a context manager, until the block ends.

    Args:
        mode: `auto` runs native kernels where possible and falls back with one `FallbackWarning`; `native` raises
            `NativeUnavailableError` where there is no kernel; `reference` runs plain PyTorch. Under the transforms of
            `torch.func` and for forward-mode derivatives, ops run plain PyTorch in every mode.

    Raises:
        SettingsError: `mode` is none of these.
    """
    previous, _switch.mode = _switch.mode, _checked_mode(mode, "ops.use")
    return _Restore(previous)


def mode() -> Mode:
    """Return the mode that `use` or `GANART_OPS` has set."""
    return _switch.mode


def registered() -> Mapping[str, NativeOp]:
    """Return all ops that were made so far, by name: those of this package and of the plugins that are imported."""
    return dict(_registered)


def status() -> list[OpStatus]:
    """Return, for each op and each device type of this machine, which implementation would run and why."""
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    return [op.status(device) for op in _registered.values() for device in devices]


class NativeOp:
    """A function with a PyTorch definition and, where its library loads, a native kernel with the same signature.

    A plugin makes one at import, in the module that owns the op:

        blur = ops.NativeOp("my_plugin::blur", reference=blur_reference, library=ops.library_beside(__file__))
        if blur.loaded:
            torch.library.register_fake(blur.name, blur_fake)
            blur.register_autograd(blur_backward, setup_context=blur_setup)
        y = blur(x)

    A library that cannot be loaded is not an error here: the reason is kept for `status()` and the fallback's warning.

    Args:
        name: `<namespace>::<op>` as registered with `TORCH_LIBRARY`; the namespace is the plugin's module name.
        reference: plain PyTorch with the same arguments and results; it is the op's definition.
        library: the compiled library that registers the op, or None where none was built.
        dtypes: for each device type, the dtypes of the first argument that the kernel accepts; None means all.
        missing: the reason to report when `library` is None.
        workloads: what `ganart bench` times the op at: the arguments of a call by the name of its size, `small` and
            `standard`, with `ops.shaped(8, 64, 128, 128)` in place of each tensor.
        peers: other implementations that it is timed against, by name, beside the reference: functions of the same
            arguments, which prepare what need not be timed and return the call to time.
    """

    def __init__(
        self,
        name: str,
        *,
        reference: Callable[..., Any],
        library: str | Path | None,
        dtypes: Mapping[str, Collection[torch.dtype]] | None = None,
        missing: str = "no compiled library was built",
        workloads: Workloads = MappingProxyType({}),
        peers: Peers = MappingProxyType({}),
    ) -> None:
        namespace, separator, op = name.partition("::")
        if not (namespace.isidentifier() and separator and op.isidentifier()):
            raise SettingsError(f"op name {name!r} is not of the form '<module>::<op>'")
        self.name = name
        self.reference = reference
        check_workloads(name, workloads)
        self.workloads = workloads
        self.peers = peers
        self._dtypes = dtypes
        self._obstacles: dict[tuple[str, torch.dtype | None], str | None] = {}
        self._native: Callable[..., Any] | None = None
        self._reason = missing
        if library is not None:
            self._load(Path(library), namespace, op)
        _registered[name] = self

    def _load(self, library: Path, namespace: str, op: str) -> None:
        if not library.exists():
            self._reason = f"no such file: {library}; build it, or find it with ops.library_beside(__file__)"
            return
        try:
            torch.ops.load_library(library)
            self._native = getattr(getattr(torch.ops, namespace), op).default
        except OSError as error:
            self._reason = f"{library} does not load: {str(error).splitlines()[0]}"
        except AttributeError:
            self._reason = f"{library} registers no op {self.name}"

    @property
    def loaded(self) -> bool:
        """Whether the native op is registered, so that its fake and autograd can be."""
        return self._native is not None

    def __call__(self, *arguments: Any) -> Any:
        """Run the op; the first argument is a tensor, and its device and dtype decide what is possible."""
        if tracing.recorder is not None and not torch.compiler.is_compiling():
            tracing.recorder.record(self.name, arguments)
        if _switch.mode == "reference" or is_transformed(*arguments):
            return self.reference(*arguments)
        reason = _why_not(self.name, arguments[0].device.type, arguments[0].dtype)
        if reason is None:
            return run_native(self._native, arguments)  # type: ignore[arg-type]  # None would have given a reason
        if _switch.mode == "native":
            raise NativeUnavailableError(f"{self.name} has no native kernel here: {reason}; or allow ops.use('auto')")
        _warn_once(self.name, reason)
        return self.reference(*arguments)

    def register_autograd(self, backward: Callable[..., Any], *, setup_context: Callable[..., None]) -> None:
        """Give the native op its gradient, as `torch.library.register_autograd` does; the op must be `loaded`.

        Forward-mode derivatives come from the reference, in traced, exported and compiled graphs too. With
        `torch.library.register_autograd` they are silently 0 in such graphs.

        Args:
            backward: `(ctx, grad) -> gradients`, one for each argument, None for those that have none.
            setup_context: `(ctx, inputs, output) -> None`; keeps on `ctx` what the gradient needs.
        """
        register_derivatives(self.name, self.reference, backward, setup_context)

    def is_native_for(self, x: Tensor) -> bool:
        """Return whether a call whose first argument is `x` would run the native kernel."""
        if _switch.mode == "reference" or is_transformed(x):
            return False
        return _why_not(self.name, x.device.type, x.dtype) is None

    def status(self, device: str) -> OpStatus:
        """Return what would run on a device type such as `"cpu"`."""
        if _switch.mode == "reference":
            return OpStatus(self.name, device, "reference", "reference was asked for")
        reason = self.why_not(device, None)
        return OpStatus(self.name, device, "reference" if reason else "native", reason or "")

    def why_not(self, device: str, dtype: torch.dtype | None) -> str | None:
        """Return why there is no native kernel for a device type and, unless None, a dtype; None where there is one."""
        # Cached, since asking torch takes longer than a small kernel.
        if (device, dtype) not in self._obstacles:
            self._obstacles[device, dtype] = self._obstacle(device, dtype)
        return self._obstacles[device, dtype]

    def _obstacle(self, device: str, dtype: torch.dtype | None) -> str | None:
        if self._native is None:
            return self._reason
        if self._dtypes is not None and dtype is not None and dtype not in self._dtypes.get(device, ()):
            return f"no kernel for {dtype} on {device}"
        # What the library really contains decides: it may have been built without CUDA.
        key = torch._C._dispatch_key_for_device(device)
        if torch._C._dispatch_has_kernel_for_dispatch_key(self.name, key):
            return None
        return f"built without a kernel for {device}"


def library_beside(module_file: str | Path, stem: str = "_ops") -> Path | None:
    """Return the compiled library beside a plugin's module, whatever suffix setuptools gave it; None if not built.

    Args:
        module_file: The module's `__file__`.
        stem: The last part of the extension's name: `"_ops"` for `Extension("my_plugin._ops", ...)`.
    """
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:  # such as .abi3.so, .cpython-311-x86_64-linux-gnu.so, .so
        if (path := Path(module_file).with_name(stem + suffix)).exists():
            return path
    return None


def own_op(
    name: str,
    reference: Callable[..., Any],
    dtypes: Mapping[str, Collection[torch.dtype]],
    workloads: Workloads = MappingProxyType({}),
) -> NativeOp:
    """Return the op `ganart::<name>` of this package's own library."""
    library, missing = native.ops_library(), native.why_not_built()
    return NativeOp(
        f"ganart::{name}", reference=reference, library=library, dtypes=dtypes, missing=missing, workloads=workloads
    )


class InnerOp:
    """A native op of this package that derivatives of others call: the kernel in every mode, except under transforms.

    Args:
        name: the op's name without namespace.
        reference: plain PyTorch with the same arguments and results, which can be differentiated again.
    """

    def __init__(self, name: str, reference: Callable[..., Any]) -> None:
        self._name = name
        self._reference = reference

    def __call__(self, *arguments: Any) -> Any:
        """Run the kernel, or under transforms the reference."""
        if is_transformed(*arguments):
            return self._reference(*arguments)
        return run_native(getattr(torch.ops.ganart, self._name).default, arguments)

    def register_autograd(self, backward: Callable[..., Any], *, setup_context: Callable[..., None]) -> None:
        """Give the native op its gradient; see `NativeOp.register_autograd`."""
        register_derivatives(f"ganart::{self._name}", self._reference, backward, setup_context)


def run_native(op: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a registered op; where nothing will be differentiated, past torch's autograd, which takes most of the time.

    A call with autograd takes about 13 microseconds, and one without 6. That is a quarter of what the kernel of a
    small map takes.
    """
    if torch.compiler.is_compiling() or (torch.is_grad_enabled() and any(map(_requires_grad, arguments))):
        return op(*arguments)
    with torch._C._AutoDispatchBelowAutograd():
        return op(*arguments)


def _requires_grad(argument: object) -> bool:
    if isinstance(argument, Tensor):
        return argument.requires_grad
    return isinstance(argument, list | tuple) and any(map(_requires_grad, argument))


class _Switch:
    """Holds the mode: a plain attribute, which torch.compile can guard on (it cannot trace a ContextVar)."""

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode


class _Restore(AbstractContextManager[None]):
    """Puts the previous mode back at the end of a `with` block."""

    def __init__(self, previous: Mode) -> None:
        self._previous = previous

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _switch.mode = self._previous


_Function = TypeVar("_Function", bound=Callable[..., Any])


def constant_when_compiled(function: _Function) -> _Function:
    """Do what `torch.compiler.assume_constant_result` does, without importing torch._dynamo, which takes a second."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def is_transformed(*arguments: object) -> bool:
    """Return whether a `torch.func` transform is active, or a tensor carries a forward-mode tangent.

    torch does not know such derivatives of native ops, and would take some of them for 0.
    """
    kind = _transforms()
    return kind == "func" or (kind == "dual" and any(map(has_tangent, arguments)))


# torch.compile treats the results of these functions as constants: it cannot trace them, and the state that they
# keep would make it recompile at the second call.


@constant_when_compiled
def _transforms() -> Literal["func", "dual", ""]:
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "func"
    return "dual" if forward_ad._current_level >= 0 else ""


@constant_when_compiled
def _why_not(name: str, device: str, dtype: torch.dtype) -> str | None:
    return _registered[name].why_not(device, dtype)


@constant_when_compiled
def _warn_once(name: str, reason: str) -> None:
    if (name, reason) not in _said:
        _said.add((name, reason))
        warnings.warn(f"{name} runs as plain PyTorch: {reason}", FallbackWarning, stacklevel=4)


def _checked_mode(mode: str, source: str) -> Mode:
    if mode not in get_args(Mode):
        near = did_you_mean(mode, get_args(Mode))
        raise SettingsError(f"{source} got {mode!r}; expected one of {', '.join(get_args(Mode))}{near}")
    return mode  # type: ignore[return-value]


_registered: dict[str, NativeOp] = {}
_said: set[tuple[str, str]] = set()
_switch = _Switch(_checked_mode(os.environ.get("GANART_OPS") or "auto", "GANART_OPS"))
