"""Calls the emulated CUDA kernels of the fused layers on NumPy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .emulation import STORAGE, Emulated, Features, widen

ACTIVATIONS = ("linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")


class _ActivationParameters(ctypes.Structure):
    _fields_ = (("activation", ctypes.c_int), *((name, ctypes.c_double) for name in ("slope", "gain", "clamp")))


class _ChannelParameters(ctypes.Structure):
    _fields_ = (("values", ctypes.c_void_p), ("sample_stride", ctypes.c_int64))


class Groups(ctypes.Structure):
    """`ganart::SampleGroups`."""

    _fields_ = tuple((name, ctypes.c_int64) for name in ("size", "count", "member_step", "group_step", "runs"))


class _AffineTerms(ctypes.Structure):
    _fields_ = (*((name, ctypes.c_void_p) for name in ("scale", "noise", "bias")), ("noise_stride", ctypes.c_int64))


class _AffineGradients(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in ("x", "scale", "noise", "bias"))


class _Resampling(ctypes.Structure):
    _fields_ = (
        ("separable", ctypes.c_bool),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "up_x", "up_y", "down_x", "down_y", "x0", "y0")),
        *((name, ctypes.c_int64) for name in ("height", "width", "out_height", "out_width")),
    )


class Layer(NamedTuple):
    """An activation with its parameters; `clamp` None is no clamp."""

    act: str = "linear"
    negative_slope: float = 0.2
    gain: float = 1.0
    clamp: float | None = None

    @property
    def parameters(self) -> _ActivationParameters:
        clamp = np.nan if self.clamp is None else self.clamp
        return _ActivationParameters(ACTIVATIONS.index(self.act), self.negative_slope, self.gain, clamp)


class Affine(NamedTuple):
    """Scale `[N, C]`, noise `[N, P]` or `[1, P]`, and bias `[C]`."""

    scale: np.ndarray | None = None
    noise: np.ndarray | None = None
    bias: np.ndarray | None = None


class EmulatedLayers(Emulated):
    """The launchers of fused layers, norms and resampling. Results are `[N, C, P]` as float64, whatever their type."""

    def __init__(self, library: Path) -> None:
        super().__init__(library)
        layers = ("bias_act_backward", "instance_norm_act", "instance_norm_act_backward", "scaled_bias_act_backward")
        for name in (*layers, "minibatch_stddev", "minibatch_stddev_backward"):
            getattr(self._library, f"{name}_workspace").restype = ctypes.c_size_t

    def divides(self, divisor: int, index: int) -> bool:
        return bool(self._library.divides(ctypes.c_int64(divisor), ctypes.c_uint64(index)) & 1)

    def bias_act(self, x: Features, bias: np.ndarray | None, layer: Layer) -> np.ndarray:
        y = _Result(self, x, x.values.shape)
        self.call("bias_act", x.view, self._held(x, bias), layer.parameters, y.memory)
        return y.values()

    def bias_act_backward(
        self, grad: Features, kept: Features, bias: np.ndarray | None, layer: Layer, *, sum_bias: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        grad_x = _Result(self, kept, kept.values.shape)
        grad_bias = self.array(kept.values.shape[1], _sum_type(kept)) if sum_bias else None
        workspace = self._workspace("bias_act_backward", kept) if sum_bias else None
        held = self._held(kept, bias)
        self.call(
            "bias_act_backward", grad.view, kept.view, held, layer.parameters, grad_x.memory, grad_bias, workspace
        )
        return grad_x.values(), grad_bias

    def instance_norm_act(
        self, x: Features, weight: np.ndarray | None, bias: np.ndarray | None, layer: Layer, eps: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y = _Result(self, x, x.values.shape)
        mean, scale = (self.array(x.values.shape[:2], _sum_type(x)) for _ in range(2))
        weights, biases = self._held(x, weight), self._held(x, bias)
        workspace = self._workspace("instance_norm_act", x)
        self.call(
            "instance_norm_act",
            x.view,
            _channel_parameters(weights),
            _channel_parameters(biases),
            layer.parameters,
            eps,
            y.memory,
            mean,
            scale,
            workspace,
        )
        return y.values(), mean, scale

    def instance_norm_act_backward(
        self,
        grad: Features,
        x: Features,
        mean: np.ndarray,
        scale: np.ndarray,
        weight: np.ndarray | None,
        bias: np.ndarray | None,
        layer: Layer,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        grad_x = _Result(self, x, x.values.shape)
        grad_weight, grad_bias = (self.array(x.values.shape[:2], _sum_type(x)) for _ in range(2))
        weights, biases = self._held(x, weight), self._held(x, bias)
        self.call(
            "instance_norm_act_backward",
            grad.view,
            x.view,
            mean,
            scale,
            _channel_parameters(weights),
            _channel_parameters(biases),
            layer.parameters,
            grad_x.memory,
            grad_weight,
            grad_bias,
            self._workspace("instance_norm_act_backward", x),
        )
        return grad_x.values(), grad_weight, grad_bias

    def minibatch_stddev(self, x: Features, groups: Groups) -> np.ndarray:
        samples, channels, pixels = x.values.shape
        y = _Result(self, x, (samples, channels + groups.runs, pixels))
        self.call("minibatch_stddev", x.view, groups, y.memory, self._workspace("minibatch_stddev", x, groups))
        return y.values()

    def minibatch_stddev_backward(self, grad: Features, x: Features, groups: Groups) -> np.ndarray:
        grad_x = _Result(self, x, x.values.shape)
        workspace = self._workspace("minibatch_stddev_backward", x, groups)
        self.call("minibatch_stddev_backward", grad.view, x.view, groups, grad_x.memory, workspace)
        return grad_x.values()

    def pixel_norm(self, x: Features, eps: float) -> np.ndarray:
        y = _Result(self, x, x.values.shape)
        self.call("pixel_norm", x.view, eps, y.memory)
        return y.values()

    def pixel_norm_backward(self, grad: Features, x: Features, eps: float) -> np.ndarray:
        grad_x = _Result(self, x, x.values.shape)
        self.call("pixel_norm_backward", grad.view, x.view, eps, grad_x.memory)
        return grad_x.values()

    def scaled_bias_act(self, x: Features, affine: Affine, layer: Layer) -> np.ndarray:
        y = _Result(self, x, x.values.shape)
        held = [self._held(x, values) for values in affine]
        self.call("scaled_bias_act", x.view, _affine_terms(held), layer.parameters, y.memory)
        return y.values()

    def scaled_bias_act_backward(
        self, grad: Features, x: Features, affine: Affine, layer: Layer, wanted: str
    ) -> dict[str, np.ndarray]:
        """Return the gradients whose names `wanted` has: of x, scale `[N, C]`, noise `[N, P]` and bias `[C]`."""
        samples, channels, pixels = x.values.shape
        shapes = {"scale": (samples, channels), "noise": (samples, pixels), "bias": (channels,)}
        sums = {name: self.array(shape, _sum_type(x)) for name, shape in shapes.items() if name in wanted}
        grad_x = _Result(self, x, x.values.shape) if "x" in wanted.split() else None
        results = sums if grad_x is None else {**sums, "x": grad_x.memory}
        pointers = _AffineGradients(**{name: result.ctypes.data for name, result in results.items()})
        held = [self._held(x, values) for values in affine]
        workspace = self._workspace("scaled_bias_act_backward", x)
        terms = _affine_terms(held)
        self.call("scaled_bias_act_backward", grad.view, x.view, terms, layer.parameters, pointers, workspace)
        return sums if grad_x is None else {**sums, "x": grad_x.values()}

    def upfirdn2d(
        self,
        x: Features,
        size: tuple[int, int],
        taps: np.ndarray,
        *,
        up: tuple[int, int] = (1, 1),
        down: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        gain: float = 1.0,
        flip: bool = False,
        row_stride: int | None = None,
    ) -> np.ndarray:
        """Return `[N, C, OH, OW]`; `size` is the height and width of x's pixels, `row_stride` None for dense rows."""
        height, width = size
        rows, columns = taps.shape[0], taps.shape[-1]
        out_height = (height * up[1] + padding[2] + padding[3] - rows) // down[1] + 1
        out_width = (width * up[0] + padding[0] + padding[1] - columns) // down[0] + 1
        samples, channels, _ = x.values.shape
        geometry = _Resampling(
            taps.ndim == 1, rows, columns, *up, *down, padding[0], padding[2], height, width, out_height, out_width
        )
        y = _Result(self, x, (samples, channels, out_height * out_width))
        stride = width * x.view.pixel_stride if row_stride is None else row_stride
        self.call("upfirdn2d", x.view, stride, geometry, self._held(x, taps), gain, flip, y.memory)
        return y.values().reshape(samples, channels, out_height, out_width)

    def _held(self, x: Features, values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        held = self.array(values.shape, _sum_type(x))
        held[...] = values
        return held

    def _workspace(self, name: str, features: Features, *more: ctypes.Structure) -> np.ndarray:
        size = getattr(self._library, f"{name}_workspace")(*map(ctypes.byref, (features.view, *more)))
        return self.array(-(-size // 16) * 16, np.uint8)


class _Result:
    """A dense result in the layout of features. It starts at a multiple of 16 bytes, as torch allocates."""

    def __init__(self, layers: Emulated, features: Features, shape: tuple[int, int, int]) -> None:
        self._type, self._channels_last = features.type, features.channels_last
        samples, channels, pixels = shape
        self._shape = (samples, pixels, channels) if self._channels_last else shape
        storage = np.dtype(STORAGE[self._type])
        self._size = int(np.prod(shape))
        self.memory = layers.array(-(-self._size * storage.itemsize // 16) * 16 // storage.itemsize, storage)

    def values(self) -> np.ndarray:
        assert (self.memory[self._size :].view(np.uint8) == 0xFF).all(), "a kernel wrote past its result"
        values = widen(self.memory[: self._size].reshape(self._shape), self._type)
        return values.transpose(0, 2, 1) if self._channels_last else values


def _sum_type(features: Features) -> type:
    return np.float64 if features.type == "float64" else np.float32


def _affine_terms(held: Sequence[np.ndarray | None]) -> _AffineTerms:
    noise = held[1]
    stride = 0 if noise is None or len(noise) == 1 else noise.shape[1]
    return _AffineTerms(*(None if values is None else values.ctypes.data for values in held), stride)


def _channel_parameters(held: np.ndarray | None) -> _ChannelParameters:
    if held is None:
        return _ChannelParameters(None, 0)
    return _ChannelParameters(held.ctypes.data, held.shape[1] if held.ndim == 2 else 0)
