"""spectral_norm against singular values by NumPy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.spectral_norm import spectral_norm_reference


def network(dtype=torch.float32):
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 5, 2), nn.Flatten(), nn.Linear(5 * 7 * 7, 2)
    ).to(dtype)


def largest(weight, transposed):
    weight = weight.detach().transpose(0, 1) if transposed else weight.detach()
    return np.linalg.norm(weight.flatten(1).numpy(), ord=2)


def test_weights_get_unit_norm():
    plain = network()
    model = ops.spectral_norm(copy.deepcopy(plain))
    x = torch.randn(2, 3, 8, 8)
    for _ in range(200):
        model(x)
    for index, transposed in [(0, False), (2, True), (4, False)]:
        expected = plain[index].weight.detach() / largest(plain[index].weight, transposed)
        torch.testing.assert_close(model[index].weight.detach(), expected, rtol=1e-3, atol=1e-5)


def test_vectors_move_in_training_only_and_are_saved():
    model = ops.spectral_norm(network())
    x = torch.randn(2, 3, 8, 8)
    before = copy.deepcopy(model.state_dict())
    model.eval()(x)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model.train()(x)
    moved = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    assert moved
    assert all(key.endswith((".left", ".right")) for key in moved)
    other = ops.spectral_norm(network())
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.eval()(x), model.eval()(x))


def test_a_copy_moves_its_own_vectors():
    model = ops.spectral_norm(network())
    twin = copy.deepcopy(model)
    before = copy.deepcopy(model.state_dict())
    twin(torch.randn(1, 3, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not torch.equal(twin[0].parametrizations.weight[0].left, model[0].parametrizations.weight[0].left)


def test_gradient_is_that_of_the_quotient():
    """Miyato et al., equation 12, with u and v held constant."""
    layer = nn.Sequential(nn.Linear(4, 3, bias=False).double())
    ops.spectral_norm(layer)
    layer.eval()
    norm, weight = layer[0].parametrizations.weight[0], layer[0].parametrizations.weight.original
    x, direction = torch.randn(5, 4).double(), torch.randn(5, 3).double()
    (layer(x) * direction).sum().backward()
    sigma = norm.left @ weight.detach() @ norm.right
    inner = direction.t() @ x
    scaled = weight.detach() / sigma
    expected = (inner - (inner * scaled).sum() * torch.outer(norm.left, norm.right)) / sigma
    torch.testing.assert_close(weight.grad, expected)


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 5, 2), nn.ConvTranspose2d(4, 5, 2)])
def test_a_step_of_training_is_its_definition(layer):
    model = ops.spectral_norm(nn.Sequential(layer.double()))
    norm, weight = model[0].parametrizations.weight[0], model[0].parametrizations.weight.original
    expected, left, right = spectral_norm_reference(weight, norm.left, 1e-12, norm.output_dim)
    model(torch.randn(1, 4, 4, 4).double())
    for found, true in ((model[0].weight, expected), (norm.left, left), (norm.right, right)):
        torch.testing.assert_close(found, true)
    direction = torch.randn_like(weight)
    found, true = (torch.autograd.grad(value, weight, direction)[0] for value in (model[0].weight, expected))
    torch.testing.assert_close(found, true)


def test_gradients_of_first_and_second_order():
    model = ops.spectral_norm(nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.ConvTranspose2d(2, 1, 2)).double()).eval()
    names, parameters = zip(*model.named_parameters(), strict=True)
    x = torch.randn(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)

    def function(x, *values):
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *parameters))
    assert torch.autograd.gradgradcheck(function, (x, *parameters))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.bfloat16, 2e-2)])
def test_norms_are_the_largest_singular_values(dtype, tolerance):
    generator = torch.Generator().manual_seed(5)
    outer = torch.outer(torch.randn(9, generator=generator), torch.randn(12, generator=generator))
    layer = nn.Linear(12, 9, dtype=dtype)
    with torch.no_grad():  # one singular value well above the others: the iteration comes to rest
        layer.weight.copy_(outer + 0.1 * torch.randn(9, 12, generator=generator))
    largest = torch.linalg.svdvals(layer.weight.detach().double())[0]
    model = ops.spectral_norm(nn.Sequential(layer))
    found = model[0].parametrizations.weight.original.double() / model[0].weight.double()
    torch.testing.assert_close(found, largest.expand_as(found), rtol=tolerance, atol=0)
    assert model[0].weight.dtype == dtype


def test_autocast_rounds_no_vector():
    model, x = ops.spectral_norm(network()), torch.randn(2, 3, 8, 8)
    twin = copy.deepcopy(model)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
        y.float().mean().backward()
    twin(x)
    assert y.dtype == torch.bfloat16
    for name, vector in model.named_buffers():
        torch.testing.assert_close(vector, twin.get_buffer(name), rtol=0, atol=0)
    torch.testing.assert_close(model.eval()(x), twin.eval()(x), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # torch's own use
def test_compiles_whole():
    model, x = ops.spectral_norm(network()), torch.randn(2, 3, 8, 8)
    twin = copy.deepcopy(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for training in (True, True, False):
        torch.testing.assert_close(compiled.train(training)(x), twin.train(training)(x))
        for name, vector in model.named_buffers():
            torch.testing.assert_close(vector, twin.get_buffer(name))


def test_two_forwards_before_one_backward():
    model = ops.spectral_norm(network())
    (model(torch.randn(2, 3, 8, 8)).mean() - model(torch.randn(2, 3, 8, 8)).mean()).backward()
    assert model[0].parametrizations.weight.original.grad.isfinite().all()


def test_errors_say_what_to_do():
    with pytest.raises(SettingsError, match="ReLU has no linear or convolution layer"):
        ops.spectral_norm(nn.ReLU())
    with pytest.raises(SettingsError, match="eps is 0"):
        ops.spectral_norm(network(), eps=0)
