"""Differentiable operations with native kernels behind them, and the switch between those and plain PyTorch.

    loss = ops.style_loss(features, target_gram)
    with ops.use("reference"):            # or GANART_OPS=auto|native|reference in the environment
        ...
    ops.status()                          # which implementation runs on each device, and why

Importing this module imports torch; `import ganart_zoo` does not import this module.
"""

from ganart_zoo.ops.dispatch import (
    FallbackWarning,
    NativeOp,
    NativeUnavailableError,
    OpStatus,
    status,
    use,
)
from ganart_zoo.ops.style_loss import gram_matrix, style_loss

__all__ = [
    "FallbackWarning",
    "NativeOp",
    "NativeUnavailableError",
    "OpStatus",
    "gram_matrix",
    "status",
    "style_loss",
    "use",
]
