"""Style losses of several layers at once: as the sum of each, in values and derivatives, whatever runs them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError

SHAPES = [(2, 3, 8, 8), (2, 17, 6, 5), (2, 40, 4, 4)]
WEIGHTS = [0.5, 2.0, 0.25]


@pytest.fixture(params=["native", "reference"])
def implementation(request: pytest.FixtureRequest):
    if request.param == "native" and not any(status.implementation == "native" for status in ops.status()):
        pytest.skip("no native kernels were built")
    with ops.use(request.param):
        yield request.param


def layers(generator: torch.Generator, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], list[Tensor]]:
    features = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in SHAPES]
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    targets = [torch.randn(1, shape[1], shape[1], generator=generator).to(wide) for shape in SHAPES]
    return [f.requires_grad_() for f in features], targets


def formula(features: list[Tensor], targets: list[Tensor]) -> Tensor:
    grams = [f.double().flatten(2) for f in features]
    losses = [
        (rows @ rows.mT / rows[0].numel() - target).square().mean() for rows, target in zip(grams, targets, strict=True)
    ]
    return sum(weight * loss for weight, loss in zip(WEIGHTS, losses, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_and_gradients_are_the_formulas(implementation, generator, dtype) -> None:
    features, targets = layers(generator, dtype)
    found, expected = ops.style_losses(features, targets, WEIGHTS), formula(features, targets)
    torch.testing.assert_close(found.double(), expected, rtol=1e-12 if dtype == torch.float64 else 1e-5, atol=0)
    of_found, of_expected = torch.autograd.grad(found, features), torch.autograd.grad(expected, features)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    for gradient, wanted in zip(of_found, of_expected, strict=True):
        assert gradient.dtype == dtype
        scale = wanted.abs().max().item()
        torch.testing.assert_close(gradient.double(), wanted.double(), rtol=0, atol=tolerance * scale)


def test_gradients_are_those_of_each_layer_bit_for_bit(implementation, generator) -> None:
    features, targets = layers(generator, torch.float32)
    together = torch.autograd.grad(ops.style_losses(features, targets, WEIGHTS), features)
    for f, target, weight, found in zip(features, targets, WEIGHTS, together, strict=True):
        assert torch.equal(found, torch.autograd.grad(ops.style_loss(f, target) * weight, f)[0])


def test_layers_of_which_one_follows_from_another_differentiate_twice(implementation, generator) -> None:
    _, targets = layers(generator)

    def loss(x: Tensor) -> Tensor:
        features = [x, torch.nn.functional.avg_pool2d(x, 2), (x * x)[:, :, ::2]]
        return ops.style_losses(features, targets[:1] * 3, WEIGHTS)

    x = torch.randn(SHAPES[0], generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, x)
    assert torch.autograd.gradgradcheck(loss, x)


def test_targets_get_gradients(implementation, generator) -> None:
    features, targets = layers(generator)
    wanted = [target.requires_grad_() for target in targets]
    found = torch.autograd.grad(ops.style_losses(features, wanted, WEIGHTS), wanted)
    torch.testing.assert_close(found, torch.autograd.grad(formula(features, wanted), wanted), rtol=1e-10, atol=1e-14)


def test_only_what_needs_a_gradient_gets_one(implementation, generator) -> None:
    features, targets = layers(generator)
    frozen = [features[0], features[1].detach(), features[2]]
    ops.style_losses(frozen, targets, WEIGHTS).backward()
    assert frozen[1].grad is None
    assert frozen[0].grad is not None


def test_compiles_whole(implementation, generator) -> None:
    features, targets = layers(generator, torch.float32)

    @torch.compile(fullgraph=True, backend="aot_eager")
    def compiled(*features: Tensor) -> Tensor:
        return ops.style_losses(features, targets, WEIGHTS)

    torch.testing.assert_close(compiled(*features), ops.style_losses(features, targets, WEIGHTS))


@pytest.mark.parametrize(
    ("count", "weights", "named"),
    [(0, [], "0 features"), (2, WEIGHTS, "2 features, 2 target_grams and 3 weights"), (3, [1.0], "1 weights")],
)
def test_lengths_must_agree(generator, count, weights, named) -> None:
    features, targets = layers(generator)
    with pytest.raises(SettingsError, match=named):
        ops.style_losses(features[:count], targets[:count], weights)


def test_a_layer_that_does_not_fit_is_refused(generator) -> None:
    features, targets = layers(generator)
    with pytest.raises(SettingsError, match=r"^style_losses: target_gram has shape"):
        ops.style_losses(features, targets[::-1], WEIGHTS)
