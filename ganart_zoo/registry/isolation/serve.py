"""What runs in an isolated process: it makes models and calls them, as the program asks."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import queue
import signal
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import torch

import ganart_zoo
from ganart_zoo.contract import errors
from ganart_zoo.contract.errors import GanartError, PluginFaultError
from ganart_zoo.contract.events import StepEvent
from ganart_zoo.contract.models import Backbone, Model, StyleGenerator, StyleTransfer
from ganart_zoo.ops import dispatch
from ganart_zoo.registry.cache import model_bytes
from ganart_zoo.registry.discovery import one_line
from ganart_zoo.registry.isolation.messages import Inbox, Outbox, read_frame, remove_folders, write_frame
from ganart_zoo.registry.isolation.process import MAGIC

if TYPE_CHECKING:
    from ganart_zoo.registry.zoo import Zoo

__all__ = ["main"]

_ATTRIBUTES = ("latent_shape", "num_ws", "w_dim", "mean_w", "style_names")
_FORECASTS = 8


class _AbandonedError(Exception):
    """The listener raised: the call unwinds, and nobody wants its result."""


def main() -> None:
    """Serve the program at the other end of the standard streams until it is gone."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what a plugin prints goes to standard error
    os.close(nothing)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    for each in (signal.SIGINT, signal.SIGTERM):  # they are the program's, and this process ends with it
        signal.signal(each, signal.SIG_IGN)
    faulthandler.enable()
    outgoing.write(MAGIC)
    zoo, folders, threads = pickle.loads(read_frame(incoming))
    torch.set_num_threads(threads)
    make, arguments = pickle.loads(zoo)
    _Server(make(*arguments), incoming, outgoing, folders).serve()


class _Server:
    def __init__(self, zoo: Zoo, incoming: IO[bytes], outgoing: IO[bytes], folders: Sequence[str]) -> None:
        self._zoo, self._outgoing, self._folders = zoo, outgoing, folders
        self._outbox, self._inbox = Outbox(folders), Inbox(guarded=False)
        self._frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._models: dict[int, Model] = {}
        self._forecasts: OrderedDict[int, Any] = OrderedDict()
        threading.Thread(target=self._listen, args=(incoming,), daemon=True).start()

    def serve(self) -> None:
        self._send("ready", ganart_zoo.__version__)
        while True:
            self._handle(self._frames.get())

    def _listen(self, incoming: IO[bytes]) -> None:
        try:
            while True:
                self._frames.put(read_frame(incoming))
        except (EOFError, OSError):
            remove_folders(self._folders)
            os._exit(0)  # the program is gone, and nobody wants the result

    def _send(self, *content: Any) -> None:
        write_frame(self._outgoing, self._outbox.pack(content))

    def _handle(self, frame: bytes) -> None:
        try:
            (kind, *more), generators = self._inbox.open(frame)
        except Exception as error:
            self._send(*_failure(error))
            return
        if kind == "drop":
            self._models.pop(more[0], None)
            return
        try:
            result, moved = self._make(*more) if kind == "make" else self._call(*more)
            self._send("done", result, [_state(one.get_state()) for one in generators], moved)
        except BaseException as error:
            self._send(*_failure(error))

    def _make(self, ident: int, arguments: Mapping[str, Any], rng: bytes, around: Sequence[Any]) -> tuple[Any, None]:
        first = torch.Generator(device="cpu")
        first.set_state(torch.frombuffer(bytearray(rng), dtype=torch.uint8))
        with _surroundings(*around), torch.set_grad_enabled(True):
            model = self._zoo.create(**arguments, rng=first)
        self._models[ident] = model
        return (_described(model), _state(first.get_state())), None

    def _call(
        self,
        ident: int,
        method: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        around: Sequence[Any],
        drawn: bytes | None,
        listens: bool,
    ) -> tuple[Any, bytes | None]:
        model = self._models[ident]
        given = dict(keywords)
        if isinstance(given.get("options"), str):
            assert model.provenance is not None
            options_class = self._zoo.settings(model.provenance.model).options_class
            given["options"] = options_class.model_validate_json(given["options"])
        if listens:
            given["on_step"] = self._on_step
        if drawn is not None:
            torch.set_rng_state(torch.frombuffer(bytearray(drawn), dtype=torch.uint8))
        with _surroundings(*around):
            if method == "forecast":
                result: Any = self._forecast(model, *arguments, **given)
            else:
                result = getattr(model, "__call__" if method == "forward" else method)(*arguments, **given)
        after = None if drawn is None else _state(torch.get_rng_state())
        return _plain(result), None if after == drawn else after

    def _forecast(self, model: Model, ident: int, styles: Any, size: Any, *, options: Any = None) -> int | None:
        """Return what a style transfer's forecast says, or None where it makes none; a few forecasts are kept."""
        assert isinstance(model, StyleTransfer)
        if ident not in self._forecasts:
            self._forecasts[ident] = model.memory(styles, options=options)
            while len(self._forecasts) > _FORECASTS:
                self._forecasts.popitem(last=False)
        forecast: Callable[..., int] | None = self._forecasts[ident]
        if forecast is None:
            return None
        return 0 if size is None else int(forecast(*size))

    def _on_step(self, event: StepEvent) -> bool | None:
        """Tell the program of a step, and wait for its answer; meanwhile it may want a preview, or call models."""
        losses = {str(name): float(value) for name, value in event.losses.items()}
        self._send(
            "step", int(event.step), event.total if event.total is None else int(event.total), event.phase, losses
        )
        while True:
            frame = self._frames.get()
            (kind, *more), _ = self._inbox.open(frame)
            if kind == "go":
                return False if more[0] else None
            if kind == "raise":
                raise _AbandonedError
            if kind == "preview":
                try:
                    self._send("shown", event.preview())
                except Exception as error:
                    self._send(*_failure(error))
            else:
                self._handle(frame)


@contextlib.contextmanager
def _surroundings(threads: int, grad: bool, mode: Any, strict: bool, cudnn: tuple[bool, bool]) -> Iterator[None]:
    """Compute as the program would: this process is for it alone, so nothing is put back but the grad mode."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if torch.are_deterministic_algorithms_enabled() != strict:
        torch._C._set_deterministic_algorithms(strict, warn_only=True)  # the public one imports a compiler first
    if dispatch.mode() != mode:
        dispatch.use(mode)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
    with torch.set_grad_enabled(grad):
        yield


def _described(model: Model) -> dict[str, Any]:
    """Return what is known about a model without calling it, as tensors and plain data."""
    assert model.provenance is not None
    found: dict[str, Any] = {
        "styled": isinstance(model, StyleGenerator),
        "provenance": model.provenance.to_json(),
        "device": str(model.device),
        "dtype": str(model.compute_dtype).removeprefix("torch."),
        "bytes": model_bytes(model),
        "parameters": sum(parameter.numel() for parameter in model.own_parameters()),
    }
    for name in _ATTRIBUTES:
        if hasattr(model, name):
            found[name] = _plain(getattr(model, name))
    if isinstance(model, Backbone):
        found["layers"] = {str(name): tuple(info) for name, info in model.layers.items()}
        found["taps"] = {str(role): tuple(names) for role, names in model.taps.items()}
    return found


def _plain(value: Any) -> Any:
    """Return a result without mappings and sequences of other classes, which the program would refuse."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, torch.Size)):
        return [_plain(each) for each in value] if isinstance(value, list) else tuple(value)
    return value


def _state(state: torch.Tensor) -> bytes:
    return state.numpy().tobytes()


def _failure(error: BaseException) -> tuple[Any, ...]:
    """Return the answer to a request that failed: errors of ours keep their class and their text."""
    if isinstance(error, PluginFaultError):
        return "fault", error.fault
    if isinstance(error, GanartError):
        ours = next(base.__name__ for base in type(error).__mro__ if base.__module__ == errors.__name__)
        return "ours", ours, str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "memory", one_line(error)
    import traceback

    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-40))
    return "failed", one_line(error), trace
