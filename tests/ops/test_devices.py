"""Tensors on another device than the features are named, before any kernel is asked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError


def elsewhere(*shape: int) -> Tensor:
    return torch.ones(shape, device="meta")


X, WEIGHT, STYLES, TAPS = torch.ones(2, 3, 4, 4), torch.ones(5, 3, 3, 3), torch.ones(2, 3), torch.ones(4)


@pytest.mark.parametrize(
    ("op", "name", "call"),
    [
        ("bias_act", "bias", lambda: ops.bias_act(X, elsewhere(3))),
        ("instance_norm_act", "weight", lambda: ops.instance_norm_act(X, elsewhere(3))),
        ("instance_norm_act", "bias", lambda: ops.instance_norm_act(X, None, elsewhere(2, 3))),
        ("adain", "mean", lambda: ops.adain(X, elsewhere(2, 3), STYLES)),
        ("adain", "std", lambda: ops.adain(X, STYLES, elsewhere(3))),
        ("upfirdn2d", "taps", lambda: ops.upfirdn2d(X, elsewhere(2))),
        ("conv2d_bias_act", "weight", lambda: ops.conv2d_bias_act(X, elsewhere(5, 3, 3, 3))),
        ("conv2d_bias_act", "bias", lambda: ops.conv2d_bias_act(X, WEIGHT, elsewhere(5))),
        ("conv2d_bias_act", "taps", lambda: ops.conv2d_bias_act(X, WEIGHT, taps=elsewhere(4))),
        ("modulated_conv2d", "weight", lambda: ops.modulated_conv2d(X, elsewhere(5, 3, 3, 3), STYLES)),
        ("modulated_conv2d", "styles", lambda: ops.modulated_conv2d(X, WEIGHT, elsewhere(2, 3))),
        ("modulated_conv2d", "bias", lambda: ops.modulated_conv2d(X, WEIGHT, STYLES, bias=elsewhere(5))),
        ("modulated_conv2d", "taps", lambda: ops.modulated_conv2d(X, WEIGHT, STYLES, up=2, taps=elsewhere(4))),
        ("modulated_conv2d", "noise", lambda: ops.modulated_conv2d(X, WEIGHT, STYLES, noise=elsewhere(1, 1, 2, 2))),
    ],
)
def test_they_are_named(op, name, call) -> None:
    with pytest.raises(SettingsError, match=f"^{op}: {name} .*on meta and x .*on cpu; ") as caught:
        call()
    assert "\n" not in str(caught.value)
