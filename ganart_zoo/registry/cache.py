"""Keeps built models for others who ask for the same, within a budget of bytes. Torch-free until models are built."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.native import trim_memory

if TYPE_CHECKING:
    from ganart_zoo.contract.models import Model

__all__ = ["ModelCache", "model_bytes", "model_key"]


@dataclass
class _Kept:
    name: str
    model: Model
    bytes: int
    used: float


class ModelCache:
    """Models by the key of what makes them; those that were used least recently leave first. Thread-safe.

    A model that is in use when it leaves lives until its last user drops it. Without a budget nothing is kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._building: dict[Hashable, threading.Lock] = {}
        self._budgets: list[int] = []

    @property
    def budget(self) -> int:
        """Bytes that kept models may take: the largest of the budgets that were reserved."""
        with self._lock:
            return max(self._budgets, default=0)

    @property
    def bytes(self) -> int:
        """Bytes that the kept models take."""
        with self._lock:
            return sum(one.bytes for one in self._kept.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The canonical names of the kept models, the one that was used last at the end."""
        with self._lock:
            return tuple(one.name for one in self._kept.values())

    def reserve(self, budget: int) -> Callable[[], None]:
        """Keep models within a budget of bytes, until the returned function is called.

        Raises:
            SettingsError: The budget is not a whole number of at least 0.
        """
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
            raise SettingsError(f"the budget of models is {budget!r:.40}, expected bytes of at least 0")
        with self._lock:
            self._budgets.append(budget)
        returned = threading.Event()

        def give_back() -> None:
            if returned.is_set():
                return
            returned.set()
            with self._lock:
                self._budgets.remove(budget)
            if self._evict():
                collect()

        return give_back

    def get(self, key: Hashable | None, name: str, make: Callable[[], Model]) -> Model:
        """Return the kept model of a key, or make and keep it. Threads that ask at once get the same one.

        Args:
            key: From `model_key`; None is never kept.
            name: The canonical name.
            make: Builds the model; its errors pass, and nothing is kept.
        """
        if key is None or not self.budget:
            return make()
        with self._building_lock(key):
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    self._kept[key].used = time.monotonic()
                    return self._kept[key].model
            model = make()
            with self._lock:
                self._kept[key] = _Kept(name, model, model_bytes(model), time.monotonic())
            self._evict()
            return model

    def release(self, name: str | None = None, *, unused_for: float = 0.0) -> int:
        """Drop kept models, and give their memory back to the system.

        Args:
            name: The canonical name of those to drop; None for all.
            unused_for: Only those that nobody asked for in so many seconds.

        Returns:
            The bytes of what was dropped.
        """
        before = time.monotonic() - unused_for
        with self._lock:
            chosen = [key for key, one in self._kept.items() if name in (None, one.name) and one.used <= before]
            dropped = [self._kept.pop(key) for key in chosen]
        freed = sum(one.bytes for one in dropped)
        del dropped
        collect()
        return freed

    @contextmanager
    def _building_lock(self, key: Hashable) -> Iterator[None]:
        with self._lock:
            lock = self._building.setdefault(key, threading.Lock())
        with lock:
            yield
        with self._lock:
            if not lock.locked():
                self._building.pop(key, None)

    def _evict(self) -> bool:
        with self._lock:
            budget = max(self._budgets, default=0)
            left = sum(one.bytes for one in self._kept.values())
            gone = []
            while self._kept and left > budget:
                _, one = self._kept.popitem(last=False)
                left -= one.bytes
                gone.append(one)
        return bool(gone)


def collect() -> None:
    """Give memory that nothing refers to back to the system: of Python, of the C library, and of CUDA."""
    gc.collect()
    trim_memory()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def model_bytes(model: Model) -> int:
    """Return the bytes of a model's parameters and buffers, those of the models it uses included."""
    storages = {
        (storage.device, storage.data_ptr()): storage.nbytes()
        for tensor in (*model.parameters(), *model.buffers())
        for storage in (tensor.untyped_storage(),)
    }
    elsewhere: int = getattr(model, "remote_bytes", 0)  # of a model in a process of its own
    return sum(storages.values()) + elsewhere


def model_key(*parts: Any) -> Hashable | None:
    """Return a key of what a model is made from; files count with their size and time of change.

    Returns:
        None where something has no key, such as a live model.
    """
    try:
        return tuple(_frozen(part) for part in parts)
    except TypeError:
        return None


def _frozen(value: Any) -> Hashable:
    if value is None or isinstance(value, (bool, int, float)):
        return type(value), value
    if isinstance(value, (str, os.PathLike)):
        return str(value), _state_of(Path(value))
    if isinstance(value, Mapping):
        return tuple(sorted((str(name), _frozen(each)) for name, each in value.items()))
    if isinstance(value, (Sequence, Set)):
        return type(value).__name__, tuple(_frozen(each) for each in value)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, (torch.dtype, torch.device)):
        return str(value)
    raise TypeError


def _state_of(path: Path) -> Hashable:
    """Return what changes when a file, or a file in a folder, does; None where there is nothing of that name."""
    try:
        files = [path, *sorted(path.iterdir())] if path.is_dir() else [path]
        return tuple((file.name, (found := file.stat()).st_mtime_ns, found.st_size) for file in files)
    except (OSError, ValueError):
        return None
