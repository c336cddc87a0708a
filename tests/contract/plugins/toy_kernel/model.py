"""The op, its definition in plain PyTorch, its gradient, and the model that calls it."""

from pathlib import Path

import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.contract import StyleTransfer


def invert_reference(pictures: Tensor) -> Tensor:
    return 1 - pictures


LIBRARY = Path(__file__).with_name("_ops.so")

invert = ops.NativeOp(
    "toy_kernel::invert",
    reference=invert_reference,
    library=LIBRARY if LIBRARY.exists() else None,
    dtypes={"cpu": {torch.float32}},
    missing="toy-kernel was installed without a compiler",
)
if invert.loaded:
    torch.library.register_fake(invert.name, torch.empty_like)
    torch.library.register_autograd(invert.name, lambda context, gradient: -gradient)


class Negative(StyleTransfer):
    """Has no tensors, so it computes in the type of the pictures."""

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None) -> Tensor:
        return invert(content)
