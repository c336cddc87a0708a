"""The layer ops as functions of tensors, layouts to give them, and what their outcome should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.ops.dtypes import sum_type
from ganart_zoo.ops.scaled_bias_act import scaled_bias_act

Shape = tuple[int, ...]

TAPS = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 8
ODD_TAPS = torch.tensor([0.5, -2.0, 3.0], dtype=torch.float64)  # no symmetry: a flip shows
MATRIX = torch.arange(6.0, dtype=torch.float64).reshape(2, 3) - 1.5


class Layer(NamedTuple):
    """A function of features `[N, C, H, W]` and of other tensors, whose shapes follow from theirs."""

    run: Callable[..., Tensor]
    others: Callable[[int, int, int, int], Sequence[Shape]] = lambda n, c, h, w: ()


LAYERS = {
    **{
        f"bias_act {act}": Layer(lambda x, bias, act=act: ops.bias_act(x, bias, act=act), lambda n, c, h, w: [(c,)])
        for act in get_args(ops.Activation)
    },
    "bias_act, clamped": Layer(
        lambda x, bias: ops.bias_act(x, bias, act="lrelu", negative_slope=0.7, clamp=0.8), lambda n, c, h, w: [(c,)]
    ),
    "bias_act, no bias": Layer(lambda x: ops.bias_act(x, act="swish", gain=0.7)),
    **{
        f"scaled_bias_act {act}": Layer(
            lambda x, scale, noise, bias, act=act: scaled_bias_act("test", x, scale, noise, bias, act=act),
            lambda n, c, h, w: [(n, c), (n, 1, h, w), (c,)],
        )
        for act in get_args(ops.Activation)
    },
    "scaled_bias_act, clamped": Layer(
        lambda x, scale, noise, bias: scaled_bias_act(
            "test", x, scale, noise, bias, act="lrelu", negative_slope=0.7, clamp=0.8
        ),
        lambda n, c, h, w: [(n, c), (1, 1, h, w), (c,)],
    ),
    "scaled_bias_act, scale alone": Layer(
        lambda x, scale: scaled_bias_act("test", x, scale), lambda n, c, h, w: [(n, c)]
    ),
    "scaled_bias_act, noise alone": Layer(
        lambda x, noise: scaled_bias_act("test", x, noise=noise, act="tanh", gain=0.7, clamp=0.6),
        lambda n, c, h, w: [(n, 1, h, w)],
    ),
    "instance_norm_act": Layer(
        lambda x, weight, bias: ops.instance_norm_act(x, weight, bias, act="swish"), lambda n, c, h, w: [(c,), (c,)]
    ),
    "instance_norm_act, no affine": Layer(lambda x: ops.instance_norm_act(x, act="tanh", eps=0.01)),
    "adain": Layer(ops.adain, lambda n, c, h, w: [(n, c), (n, c)]),
    "blur": Layer(lambda x: ops.blur(x, TAPS)),
    "upsample2d": Layer(lambda x: ops.upsample2d(x, TAPS)),
    "downsample2d": Layer(lambda x: ops.downsample2d(x, TAPS, padding=1)),
    "upfirdn2d, uneven": Layer(
        lambda x: ops.upfirdn2d(x, ODD_TAPS, up=(3, 2), down=(2, 3), padding=(5, 4, 3, 6), gain=0.5)
    ),
    "upfirdn2d, cropped": Layer(lambda x: ops.upfirdn2d(x, ODD_TAPS[:2], up=4, padding=(-1, -1, 0, -1), flip=True)),
    "upfirdn2d, not separable": Layer(lambda x: ops.upfirdn2d(x, MATRIX, up=(1, 2), down=(2, 1), padding=(3, 2, 1, 4))),
    "conv2d_bias_act": Layer(
        lambda x, weight, bias: ops.conv2d_bias_act(x, weight, bias, padding=1, act="lrelu", negative_slope=0.7),
        lambda n, c, h, w: [(5, c, 3, 3), (5,)],
    ),
    "conv2d_bias_act, filtered": Layer(
        lambda x, weight, bias: ops.conv2d_bias_act(x, weight, bias, stride=2, taps=TAPS, padding=2, act="swish"),
        lambda n, c, h, w: [(3, c, 3, 3), (3,)],
    ),
    "modulated_conv2d": Layer(
        lambda x, weight, styles, noise, bias: ops.modulated_conv2d(
            x, weight, styles, padding=1, noise=noise, bias=bias, act="swish"
        ),
        lambda n, c, h, w: [(5, c, 3, 3), (n, c), (n, 1, h, w), (5,)],
    ),
    "modulated_conv2d, up": Layer(
        lambda x, weight, styles, noise, bias: ops.modulated_conv2d(
            x, weight, styles, up=2, taps=TAPS, padding=1, noise=noise, bias=bias, act="swish"
        ),
        lambda n, c, h, w: [(4, c, 3, 3), (n, c), (1, 1, 2 * h, 2 * w), (4,)],
    ),
    "modulated_conv2d, to pictures": Layer(
        lambda x, weight, styles, bias: ops.modulated_conv2d(x, weight, styles, demodulate=False, bias=bias),
        lambda n, c, h, w: [(3, c, 1, 1), (n, c), (3,)],
    ),
    "minibatch_stddev": Layer(lambda x: ops.minibatch_stddev(x, max(1, len(x)), x.shape[1])),
    "minibatch_stddev, neighbours": Layer(
        lambda x: ops.minibatch_stddev(x, 2 if len(x) % 2 == 0 else len(x), neighbours=True)
    ),
    "pixel_norm": Layer(ops.pixel_norm),
    "glu": Layer(lambda x: ops.glu(x[:, : x.shape[1] // 2 * 2])),
}

VIEWS: dict[str, Callable[..., Tensor]] = {  # of what `make(*shape)` gives; torch has no negative strides
    "contiguous": lambda make, n, c, h, w: make(n, c, h, w),
    "channels_last": lambda make, n, c, h, w: make(n, h, w, c).permute(0, 3, 1, 2),
    "transposed": lambda make, n, c, h, w: make(n, c, w, h).mT,
    "rotated": lambda make, n, c, h, w: make(h, w, n, c).permute(2, 3, 0, 1),
    "same for all samples": lambda make, n, c, h, w: make(1, c, h, w).expand(n, -1, -1, -1),
    "same for all channels": lambda make, n, c, h, w: make(n, 1, h, w).expand(-1, c, -1, -1),
    "same for all pixels": lambda make, n, c, h, w: make(n, c, 1, 1).expand(-1, -1, h, w),
    "crop": lambda make, n, c, h, w: make(n, c + 1, h + 2, w + 3)[:, 1:, 1:-1, 2:-1],
    "crop of channels_last": lambda make, n, c, h, w: make(n, h + 1, w + 2, c + 3).permute(0, 3, 1, 2)[
        :, 2:-1, 1:, :-2
    ],
    "every second pixel": lambda make, n, c, h, w: make(n, c, 2 * h, 2 * w)[:, :, ::2, ::2],
    "misaligned": lambda make, n, c, h, w: make(n * c * h * w + 1)[1:].view(n, c, h, w),
}


PAST_CACHES = 1 << 24  # bytes of a result from which on it is stored past the caches

_APART = 2**32 + 64
FAR = {  # shapes and strides of features with elements that 32 bits do not count apart
    "samples": ((2, 3, 9, 10), (_APART, 90, 10, 1)),
    "channels": ((1, 2, 9, 10), (1, _APART, 10, 1)),
    "rows": ((1, 2, 3, 10), (1, 10, _APART, 1)),
    "pixels": ((1, 33, 2, 1), (1, 1, _APART, _APART)),
}


def far_apart(x: Tensor, strides: Shape, path: Path) -> Tensor:
    """Return x with these strides, in a sparse file, of which only the pages where elements lie are ever given."""
    size = 1 + sum((count - 1) * stride for count, stride in zip(x.shape, strides, strict=True))
    memory = torch.from_file(str(path), shared=True, size=size, dtype=x.dtype)
    return memory.as_strided(x.shape, strides).copy_(x)


class Problem(NamedTuple):
    """A layer's inputs, features first, and a weight for each entry of its result."""

    layer: Layer
    inputs: list[Tensor]
    weights: Tensor

    def outcome(self) -> list[Tensor]:
        """Return the layer's result, then each input's gradient of the weighted sum of the result."""
        leaves = [tensor.detach().requires_grad_() for tensor in self.inputs]
        result = self.layer.run(*leaves)
        return [result.detach(), *torch.autograd.grad(result, leaves, self.weights)]

    def map(self, change: Callable[[Tensor], Tensor]) -> Problem:
        return Problem(self.layer, [change(tensor) for tensor in self.inputs], change(self.weights))


def draw(name: str, shape: Shape, view: str, weights_view: str, dtype: torch.dtype, seed: int) -> Problem:
    """Draw inputs and weights in these layouts from a normal distribution."""
    generator = torch.Generator().manual_seed(seed)

    def make(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    layer = LAYERS[name]
    inputs = [VIEWS[view](make, *shape), *(make(*other) for other in layer.others(*shape))]
    with torch.no_grad(), ops.use("reference"):
        result = layer.run(*inputs)
    return Problem(layer, inputs, VIEWS[weights_view](make, *result.shape))


class Expectation(NamedTuple):
    """The exact outcome of a problem, and how far from it each of its tensors may lie."""

    exact: list[Tensor]
    allowed: Tensor
    dtype: torch.dtype

    def check(self, found: list[Tensor]) -> None:
        assert [tensor.shape for tensor in found] == [tensor.shape for tensor in self.exact]
        assert {tensor.dtype for tensor in found} == {self.dtype}
        errors = largest_errors(found, self.exact)
        assert (errors <= self.allowed).all(), f"errors {errors.tolist()}, allowed {self.allowed.tolist()}"  # no NaN


def expect(problem: Problem) -> Expectation:
    """Return the outcome in float64, with errors allowed at most twice as large as plain PyTorch's may be.

    Plain PyTorch may err as it does for these inputs or, since that can be next to nothing by luck, for any of a few
    inputs a rounding away; by one unit in the last place of the largest entry; or by what a few roundings in the sums'
    type do to the inputs. Nothing wider tells float64's errors: they are float32's, scaled, once more for the
    definition's own.
    """
    dtype = problem.inputs[0].dtype
    narrow, factor = (torch.float32, 4) if dtype == torch.float64 else (dtype, 2)
    precision, narrow_precision = torch.finfo(dtype).eps, torch.finfo(narrow).eps
    generator = torch.Generator().manual_seed(0)

    def nudged(problem: Problem, relative: float, *, one_way: bool = False) -> Problem:
        def nudge(tensor: Tensor) -> Tensor:
            way = torch.ones(()) if one_way else (torch.rand(tensor.shape, generator=generator) - 0.5).sign()
            return (tensor.double() * (1 + relative * way.double())).to(tensor.dtype)

        return problem.map(nudge)

    with ops.use("reference"):
        wide, narrowed = problem.map(Tensor.double), problem.map(lambda tensor: tensor.to(narrow))
        exact = wide.outcome()
        largest = largest_errors([tensor * (1 + precision) for tensor in exact], exact)
        for one_way in (False, True):
            roundings = nudged(wide, 8 * torch.finfo(sum_type(dtype)).eps, one_way=one_way)
            largest = largest.maximum(largest_errors(roundings.outcome(), exact))
        for near in [narrowed, *(nudged(narrowed, narrow_precision) for _ in range(3))]:
            errors = largest_errors(near.outcome(), near.map(Tensor.double).outcome())
            largest = largest.maximum(errors * precision / narrow_precision)
    return Expectation(exact, factor * largest, dtype)


def largest_errors(found: list[Tensor], exact: list[Tensor]) -> Tensor:
    """Return the largest error of each tensor; 0 where it has no entries, or the mean of none in both."""
    distances = [
        (tensor - true).abs().masked_fill(tensor.isnan() & true.isnan(), 0)
        for tensor, true in zip(found, exact, strict=True)
    ]
    errors = [distance.max().item() if distance.numel() else 0.0 for distance in distances]
    return torch.tensor(errors, dtype=torch.float64)


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Let torch fill what it allocates with NaN, so that an entry which no kernel writes shows."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)
