"""Builds the CUDA kernels for the CPU emulator, lays out arrays for them, and calls those of the style loss."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from filelock import FileLock

HERE = Path(__file__).parent
TYPES = {"float32": 0, "bfloat16": 1, "float16": 2, "float64": 3}  # ganart::Type
STORAGE = {"float32": np.float32, "bfloat16": np.uint16, "float16": np.float16, "float64": np.float64}
FULL_MANTISSA_BITS = 16  # that bfloat16 lacks of float32


class _Features(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("type", ctypes.c_int),
        *((name, ctypes.c_int64) for name in ("samples", "channels", "pixels")),
        *((name, ctypes.c_int64) for name in ("sample_stride", "channel_stride", "pixel_stride")),
    )


class Plan(ctypes.Structure):
    """`ganart::cuda::GramPlan`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("samples", "positions")),
        *((name, ctypes.c_int) for name in ("channels", "tile", "side", "tiles", "pieces", "sums_per_piece")),
        ("piece_length", ctypes.c_int64),
    )


class Features(NamedTuple):
    """`values` `[N, C, P]` as float64 after rounding to `type`, and the same laid out in memory for the kernels."""

    values: np.ndarray
    type: str
    channels_last: bool
    view: _Features


def build(folders: pytest.TempPathFactory, compiler: str, name: str) -> Path:
    """Compile emulator/`name`.cpp, and with it kernels, into a shared library; return its path.

    The first of several test processes that need it compiles it for all; the others wait.
    """
    folder = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which all workers of this run share
    library = folder / f"emulated_{name}.so"
    with FileLock(library.with_suffix(".lock")):
        if not library.exists():
            _compile(name, compiler, library)
    return library


def _compile(name: str, compiler: str, library: Path) -> None:
    source = HERE / "emulator" / f"{name}.cpp"
    options = ["-std=c++20", "-O1", "-DUSE_CUDA", "-shared", "-fPIC"]
    options += [f"-I{HERE / 'emulator'}", f"-I{HERE.parents[2] / 'csrc'}"]
    # A GPU refuses misaligned accesses, this processor would not.
    options += ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
    subprocess.run([compiler, *options, "-o", library, source], check=True, capture_output=True, text=True)


class Emulated:
    """A library of launchers. Arrays end where memory ends, so that reading past one is a crash."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.guarded.restype = ctypes.c_void_p
        self._library.guarded.argtypes = [ctypes.c_size_t]

    def run_as(self, *, last_thread_first: bool, copies_land_at_once: bool) -> None:
        """Choose the order of threads and the moment of copies for the calls that follow."""
        self._library.emulate(ctypes.c_bool(last_thread_first), ctypes.c_bool(copies_land_at_once))

    @contextmanager
    def each(self, block_step: int) -> Iterator[None]:
        """Run only each `block_step`-th block of every kernel."""
        self._library.run_each(ctypes.c_int64(block_step))
        yield
        self._library.run_each(ctypes.c_int64(1))

    @contextmanager
    def wide_indices(self) -> Iterator[None]:
        """Let kernels count elements in 64 bits, as they do where there are 2**31 or more."""
        self._library.count_in_64_bits(ctypes.c_bool(True))
        yield
        self._library.count_in_64_bits(ctypes.c_bool(False))

    def features(
        self, values: np.ndarray, type_: str, *, channels_last: bool = False, offset: int = 0, padding: int = 0
    ) -> Features:
        """Lay out `[N, C, P]` values, `offset` elements after 16-byte alignment, lines `padding` elements apart."""
        samples, channels, pixels = values.shape
        lines, length = (pixels, channels) if channels_last else (channels, pixels)
        stride = length + padding
        size = np.dtype(STORAGE[type_]).itemsize
        used = samples * lines * stride
        # The end is at a page's end; what is left to the next multiple of 16 bytes would hide a misalignment.
        memory = self.array(-(-(offset + used) * size // 16) * 16 // size, STORAGE[type_])[offset:]
        rounded = to_storage(values, type_)
        lined = rounded.transpose(0, 2, 1) if channels_last else rounded
        memory[:used].reshape(samples, lines, stride)[:, :, :length] = lined
        strides = (lines * stride, 1, stride) if channels_last else (lines * stride, stride, 1)
        view = _Features(memory.ctypes.data, TYPES[type_], samples, channels, pixels, *strides)
        return Features(widen(rounded, type_), type_, channels_last, view)

    def array(self, shape: int | tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """Allocate guarded memory full of NaN: no kernel may rely on what it holds, nor leave any of it."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self._library.guarded(size)
        array = np.frombuffer((ctypes.c_char * size).from_address(address), dtype=np.uint8)
        array[:] = 0xFF
        return array.view(dtype).reshape(shape)

    def call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*(_as_c(argument) for argument in arguments))
        assert status == 0, f"{name} returned CUDA error {status}"


class EmulatedStyleLoss(Emulated):
    """The launchers of csrc/cuda/gram_matrix.h and style_loss.h."""

    def __init__(self, library: Path) -> None:
        super().__init__(library)
        self._library.gram_matrix_workspace.restype = ctypes.c_size_t

    def plan(self, samples: int, channels: int, positions: int, depth: int) -> Plan:
        plan = Plan()
        sizes = (ctypes.c_int64(samples), channels, ctypes.c_int64(positions), depth)
        self._library.plan(*sizes, ctypes.byref(plan))
        return plan

    def upper_tiles(self, side: int) -> list[tuple[int, int]]:
        """Return the tiles that blocks 0, 1, ... take, checking that `upper_index` leads back."""
        count = side * (side + 1) // 2
        tiles = np.empty((count, 2), np.int32)
        assert self._library.upper_tiles(side, count, ctypes.c_void_p(tiles.ctypes.data)), "upper_index disagrees"
        return [(int(row), int(column)) for row, column in tiles]

    def gram_matrix(self, features: Features, *, allow_tf32: bool = False) -> np.ndarray:
        samples, channels, _ = features.values.shape
        gram = self.array((samples, channels, channels), np.float32)
        self.call("gram_matrix", features.view, gram, self._workspace(features, allow_tf32), allow_tf32)
        return gram

    def style_loss(
        self, features: Features, target: np.ndarray, *, allow_tf32: bool = False
    ) -> tuple[float, np.ndarray]:
        samples, channels, _ = features.values.shape
        difference = self.array((samples, channels, channels), np.float32)
        loss = self.array(1, np.float32)
        held = self.array(target.shape, np.float32)
        held[...] = target
        stride = 0 if len(target) == 1 else channels * channels
        workspace = self._workspace(features, allow_tf32)
        self.call("style_loss", features.view, held, stride, difference, loss, workspace, allow_tf32)
        return float(loss[0]), difference

    def gram_matrix_backward(
        self, matrix: np.ndarray, scale: float | None, factor: float, features: Features, *, allow_tf32: bool = False
    ) -> np.ndarray:
        """Return the gradient as float64 `[N, C, P]`."""
        samples, channels, pixels = features.values.shape
        held = self.array(matrix.shape, np.float32)
        held[...] = matrix
        held_scale = None if scale is None else np.array([scale], np.float32)
        shape = (samples, pixels, channels) if features.channels_last else (samples, channels, pixels)
        gradient = self.array(shape, STORAGE[features.type])
        self.call(
            "gram_matrix_backward",
            held,
            held_scale,
            ctypes.c_float(factor),
            features.view,
            gradient,
            self._workspace(features, allow_tf32),
            allow_tf32,
        )
        return widen(gradient.transpose(0, 2, 1) if features.channels_last else gradient, features.type)

    def _workspace(self, features: Features, allow_tf32: bool) -> np.ndarray:
        size = self._library.gram_matrix_workspace(ctypes.byref(features.view), ctypes.c_bool(allow_tf32))
        return self.array(-(-size // 16) * 16, np.uint8)


def _as_c(argument: object) -> object:
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    if isinstance(argument, bool):
        return ctypes.c_bool(argument)
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    return ctypes.c_int64(argument) if isinstance(argument, int) else argument


def to_storage(values: np.ndarray, type_: str) -> np.ndarray:
    if type_ != "bfloat16":
        return values.astype(STORAGE[type_])
    bits = values.astype(np.float32).view(np.uint32)
    nearest_even = bits + 0x7FFF + (bits >> FULL_MANTISSA_BITS & 1)
    return (nearest_even >> FULL_MANTISSA_BITS).astype(np.uint16)


def widen(stored: np.ndarray, type_: str) -> np.ndarray:
    if type_ != "bfloat16":
        return stored.astype(np.float64)
    return (stored.astype(np.uint32) << FULL_MANTISSA_BITS).view(np.float32).astype(np.float64)
