"""Differentiable operations with native kernels behind them, and the switch between those and plain PyTorch.

    loss = ops.style_loss(features, target_gram)
    with ops.use("reference"):            # or GANART_OPS=auto|native|reference in the environment
        ...
    ops.status()                          # which implementation runs on each device, and why

Importing this module imports torch; `import ganart_zoo` does not import this module.
"""

from ganart_zoo.ops.activation import Activation
from ganart_zoo.ops.adain import adain
from ganart_zoo.ops.batch_norm_act import batch_norm_act
from ganart_zoo.ops.bias_act import bias_act
from ganart_zoo.ops.conv2d_bias_act import conv2d_bias_act
from ganart_zoo.ops.conv_transpose2d import conv_transpose2d
from ganart_zoo.ops.dispatch import (
    FallbackWarning,
    NativeOp,
    NativeUnavailableError,
    OpStatus,
    library_beside,
    status,
    use,
)
from ganart_zoo.ops.glu import glu
from ganart_zoo.ops.gram_matrix import gram_matrix
from ganart_zoo.ops.instance_norm_act import instance_norm_act
from ganart_zoo.ops.minibatch_stddev import minibatch_stddev
from ganart_zoo.ops.modulated_conv2d import modulated_conv2d
from ganart_zoo.ops.pixel_norm import pixel_norm
from ganart_zoo.ops.spectral_norm import spectral_norm
from ganart_zoo.ops.style_loss import style_loss
from ganart_zoo.ops.style_losses import style_losses
from ganart_zoo.ops.upfirdn2d import blur, downsample2d, upfirdn2d, upsample2d
from ganart_zoo.ops.winograd_conv2d import WinogradKernel, winograd_conv2d, winograd_kernel
from ganart_zoo.ops.workloads import shaped

__all__ = [
    "Activation",
    "FallbackWarning",
    "NativeOp",
    "NativeUnavailableError",
    "OpStatus",
    "WinogradKernel",
    "adain",
    "batch_norm_act",
    "bias_act",
    "blur",
    "conv2d_bias_act",
    "conv_transpose2d",
    "downsample2d",
    "glu",
    "gram_matrix",
    "instance_norm_act",
    "library_beside",
    "minibatch_stddev",
    "modulated_conv2d",
    "pixel_norm",
    "shaped",
    "spectral_norm",
    "status",
    "style_loss",
    "style_losses",
    "upfirdn2d",
    "upsample2d",
    "use",
    "winograd_conv2d",
    "winograd_kernel",
]
