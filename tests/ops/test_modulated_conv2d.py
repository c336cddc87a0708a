"""modulated_conv2d and conv2d_bias_act against a loop over samples and against their steps done one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.modulated_conv2d import demodulation, modulated_conv2d_reference

NATIVE_OPS = ["ganart::bias_act", "ganart::scaled_bias_act", "ganart::upfirdn2d"]
TAPS = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 8
pytestmark = pytest.mark.usefixtures("implementation")


def draw(generator, *shapes):
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("size", [1, 3])
def test_equals_the_loop_over_samples(demodulate, size, generator):
    x, weight, styles, noise, bias = draw(generator, (3, 5, 6, 7), (4, 5, size, size), (3, 5), (3, 1, 6, 7), (4,))
    y = ops.modulated_conv2d(
        x, weight, styles, demodulate=demodulate, padding=size // 2, noise=noise, bias=bias, act="lrelu"
    )
    for n in range(3):
        own = weight * styles[n][None, :, None, None]
        if demodulate:
            own = own / (own.square().sum([1, 2, 3], keepdim=True) + 1e-8).sqrt()
        z = F.conv2d(x[n : n + 1], own, padding=size // 2) + noise[n] + bias[:, None, None]
        torch.testing.assert_close(y[n : n + 1], F.leaky_relu(z, 0.2) * 2**0.5)


@pytest.mark.parametrize(("up", "down", "taps"), [(1, 1, None), (1, 2, None), (1, 1, TAPS), (2, 1, TAPS), (1, 2, TAPS)])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize("samples", [1, 3])  # of the noise
def test_equals_its_definition(up, down, taps, demodulate, samples, generator):
    x, weight, styles, bias = draw(generator, (3, 5, 6, 8), (4, 5, 3, 3), (3, 5), (4,))
    (noise,) = draw(generator, (samples, 1, 6 * up // down, 8 * up // down))
    for layer in ({}, {"noise": noise}, {"noise": noise, "bias": bias, "act": "swish", "clamp": 1.5}):
        settings = {"demodulate": demodulate, "up": up, "down": down, "taps": taps, "padding": 1, **layer}
        y = ops.modulated_conv2d(x, weight, styles, **settings)
        torch.testing.assert_close(y, modulated_conv2d_reference(x, weight, styles, **settings))


PADDINGS = [0, 2, (1, 3), (2, 1, 0, 3), (-1, 2, 3, -2)]


def four_sides(padding):
    if isinstance(padding, int):
        return (padding,) * 4
    return padding if len(padding) == 4 else (padding[0],) * 2 + (padding[1],) * 2


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4), (1, 2)])
@pytest.mark.parametrize(("up", "down"), [(2, 1), (1, 2), (2, 2), (4, 1)])
@pytest.mark.parametrize("taps", [TAPS, TAPS[:3], torch.outer(TAPS, TAPS[:2])])
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
def test_resampling_is_filtered_around_the_convolution(kernel, up, down, taps, padding, generator):
    x, weight, styles = draw(generator, (2, 3, 7, 8), (4, 3, *kernel), (2, 3))
    y = ops.modulated_conv2d(x, weight, styles, demodulate=False, up=up, down=down, taps=taps, padding=padding)
    # In the order of the definition: upsample, pad, convolve at the high resolution, filter, decimate.
    rows, columns = taps.shape[0], taps.shape[-1]
    shares = (up - 1 - (down - 1), -up - (down - 1))  # of the taps before and after a pixel
    centring = [(count + share) // 2 for count in (columns, rows) for share in shares]
    around = [side + centre for side, centre in zip(four_sides(padding), centring, strict=True)]
    z = x * styles[:, :, None, None]
    if up > 1:
        z = F.conv2d(ops.upfirdn2d(z, taps, up=up, padding=around, gain=up**2), weight)
        z = ops.upfirdn2d(z, taps, down=down) if down > 1 else z
    else:
        z = ops.upfirdn2d(F.conv2d(F.pad(z, around), weight), taps, down=down)
    torch.testing.assert_close(y, z)


def test_the_same_style_for_all_is_plain_convolution(generator):
    x, weight = draw(generator, (2, 3, 6, 8), (4, 3, 3, 3))
    y = ops.modulated_conv2d(x, weight, torch.ones(2, 3, dtype=torch.float64), demodulate=False, padding=1)
    torch.testing.assert_close(y, F.conv2d(x, weight, padding=1))


@pytest.mark.parametrize("up", [1, 2])
def test_gradients_of_first_and_second_order(up, generator):
    tensors = draw(generator, (2, 2, 3, 3), (2, 2, 3, 3), (2, 2), (1, 1, 3 * up, 3 * up), (2,))
    tensors = [tensor.requires_grad_() for tensor in tensors]

    def function(x, weight, styles, noise, bias):
        taps = TAPS if up > 1 else None
        return ops.modulated_conv2d(
            x, weight, styles, up=up, taps=taps, padding=1, noise=noise, bias=bias, act="lrelu", clamp=5.0
        )

    assert torch.autograd.gradcheck(function, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, tensors, fast_mode=True)


def test_no_tensor_is_as_large_as_a_weight_for_each_sample():
    samples, channels = 16, 64
    x, weight, styles = (
        torch.randn(samples, channels, 4, 4),
        torch.randn(channels, channels, 3, 3),
        torch.randn(samples, channels),
    )

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(tensor, torch.Tensor):
                    Sizes.largest = max(Sizes.largest, tensor.numel())
            return result

    weight.requires_grad_()
    with Sizes():
        ops.modulated_conv2d(x, weight, styles, padding=1, act="lrelu").sum().backward()
    assert Sizes.largest <= weight.numel()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("stride", "taps"), [(1, None), (2, None), (1, TAPS), (2, TAPS)])
def test_conv2d_bias_act_is_its_steps(stride, taps, layout, generator):
    x, weight, bias = draw(generator, (2, 3, 8, 10), (4, 3, 3, 3), (4,))
    x = x.to(memory_format=layout)
    y = ops.conv2d_bias_act(x, weight, bias, stride=stride, taps=taps, padding=1, act="swish", gain=1.0)
    if taps is None:
        z = F.conv2d(x, weight, bias, stride=stride, padding=1)
    else:
        before, after = {1: (2, 1), 2: (1, 1)}[stride]  # 4 taps, centred for this stride
        filtered = ops.upfirdn2d(x, taps, padding=(1 + before, 1 + after) * 2)
        z = F.conv2d(filtered, weight, bias, stride=stride)
    torch.testing.assert_close(y, F.silu(z))
    assert y.shape[2:] == (8 // stride, 10 // stride)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (4, 4)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("taps", [None, TAPS[:3]])
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
def test_conv2d_bias_act_pads_each_side_by_its_own(kernel, stride, taps, padding, generator):
    x, weight, bias = draw(generator, (2, 3, 8, 9), (4, 3, *kernel), (4,))
    y = ops.conv2d_bias_act(x, weight, bias, stride=stride, taps=taps, padding=padding, act="swish", gain=1.0)
    sides = four_sides(padding)
    if taps is None:
        filtered = F.pad(x, sides)
    else:
        before, after = {1: (1, 1), 2: (1, 0)}[stride]  # 3 taps, centred for this stride
        filtered = ops.upfirdn2d(x, taps, padding=tuple(np.add(sides, (before, after) * 2).tolist()))
    torch.testing.assert_close(y, F.silu(F.conv2d(filtered, weight, bias, stride=stride)))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_pointwise_convolution_of_a_picture_has_all_derivatives(samples, channels, layout, generator):
    x, weight, along = draw(generator, (samples, channels, 7, 9), (5, channels, 1, 1), (samples, channels, 7, 9))
    x = x.to(memory_format=layout)

    def derivatives(convolve, dtype):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (x, weight)]
        y = convolve(*leaves)
        first = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(first[0].square().sum() + first[1].square().sum(), leaves)
        tangent = torch.func.jvp(lambda x: convolve(x, weight.to(dtype)), (x.to(dtype),), (along.to(dtype),))[1]
        return [each.detach().double() for each in (y, *first, *second, tangent)]

    found, expected = derivatives(ops.conv2d_bias_act, torch.float32), derivatives(F.conv2d, torch.float64)
    for ours, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-4 * float(exact.abs().max()))


def test_pointwise_convolutions_of_and_to_pictures_do_not_depend_on_threads(generator):
    features, picture = (torch.randn(2, c, 64, 64, generator=generator) for c in (24, 3))
    picture = picture.to(memory_format=torch.channels_last).requires_grad_()
    features = features.to(memory_format=torch.channels_last).requires_grad_()
    styles = torch.randn(2, 24, generator=generator, requires_grad=True)
    narrow, wide = (
        torch.randn(shape, generator=generator, requires_grad=True) for shape in ((3, 24, 1, 1), (24, 3, 1, 1))
    )

    def outcome():
        painted = ops.modulated_conv2d(features, narrow, styles, demodulate=False)
        seen = ops.conv2d_bias_act(picture, wide)
        loss = painted.square().sum() + seen.square().sum()
        return [painted, seen, *torch.autograd.grad(loss, [features, narrow, styles, picture, wide])]

    before = torch.get_num_threads()
    outcomes = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        outcomes.append(outcome())
    torch.set_num_threads(before)
    for other in outcomes[1:]:
        assert all(map(torch.equal, other, outcomes[0]))


def test_modulated_conv2d_pads_each_side_by_its_own(generator):
    x, weight, styles = draw(generator, (2, 3, 8, 9), (4, 3, 2, 3), (2, 3))
    for padding in PADDINGS:
        y = ops.modulated_conv2d(x, weight, styles, demodulate=False, padding=padding)
        z = F.conv2d(F.pad(x * styles[:, :, None, None], four_sides(padding)), weight)
        torch.testing.assert_close(y, z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("up", [1, 2])
def test_nan_reaches_what_it_is_summed_into_and_no_other_sample(up, layout, dtype, generator):
    x, weight, styles, bias = draw(generator, (2, 3, 8, 9), (4, 3, 3, 3), (2, 3), (4,))
    x[1, 2, 4, 5] = torch.nan
    x, weight = x.to(dtype).to(memory_format=layout), weight.to(dtype)
    y = ops.conv2d_bias_act(x, weight, bias, padding=1, act="lrelu", clamp=3.0)
    assert y[1, :, 3:6, 4:7].isnan().all()
    assert not y[0].isnan().any()

    def modulated(x, styles, noise=None):
        taps = TAPS if up > 1 else None
        return ops.modulated_conv2d(x, weight, styles, up=up, taps=taps, padding=1, noise=noise, act="lrelu")

    z = modulated(x, styles)
    assert z[1, :, 4 * up, 5 * up].isnan().all()
    assert not z[0].isnan().any()
    x, noise = torch.zeros_like(x), torch.zeros(2, 1, 8 * up, 9 * up)
    noise[0, 0, 5, 6] = torch.nan
    assert torch.equal(modulated(x, styles, noise).isnan(), noise.isnan().expand(-1, 4, -1, -1))
    styles[1, 1] = torch.nan
    z = modulated(x, styles)
    assert z[1].isnan().all()
    assert not z[0].isnan().any()


@pytest.mark.parametrize("x_type", [torch.float32, torch.bfloat16])  # the first layer's input, and later ones'
@pytest.mark.parametrize("up", [1, 2])
def test_autocast_is_the_convolutions_own_business(up, x_type, generator):
    x, weight, styles, bias = (t.float() for t in draw(generator, (2, 3, 6, 8), (4, 3, 3, 3), (2, 3), (4,)))
    weight.requires_grad_()
    x, half = x.to(x_type), weight.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = ops.conv2d_bias_act(x, weight, bias, padding=1, act="lrelu")
        z = ops.modulated_conv2d(x, weight, styles, up=up, taps=TAPS, padding=1, bias=bias, act="lrelu")
        y.float().sum().backward()
    torch.testing.assert_close(y, ops.conv2d_bias_act(x.bfloat16(), half, bias, padding=1, act="lrelu"))
    expected = ops.modulated_conv2d(
        x.double(), weight.double(), styles.double(), up=up, taps=TAPS, padding=1, bias=bias.double(), act="lrelu"
    )
    torch.testing.assert_close(z.double(), expected, rtol=3e-2, atol=3e-2)
    assert (y.dtype, z.dtype, weight.grad.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        exact = demodulation(weight.double(), styles.double())
        torch.testing.assert_close(demodulation(weight, styles).double(), exact, rtol=1e-5, atol=0)


def test_errors_name_the_argument():
    x, weight, styles = torch.zeros(2, 3, 4, 4), torch.zeros(5, 3, 3, 3), torch.zeros(2, 3)
    for arguments, message in [
        ((x, torch.zeros(5, 4, 3, 3), styles, {}), r"weight has shape \[5, 4, 3, 3\]; expected \[O, 3, KH, KW\]"),
        ((x, weight.double(), styles, {}), "weight is torch.float64 on cpu and x torch.float32"),
        ((x, weight, styles[:1], {}), r"styles has shape \[1, 3\]; expected \[2, 3\]"),
        ((x, weight, styles, {"up": 2}), "up is 2 without taps"),
        ((x, weight, styles, {"down": 0}), "down is 0"),
        ((x, weight, styles, {"up": (2, 2), "taps": TAPS}), r"up is \(2, 2\); expected an int"),
        ((x, weight, styles, {"clamp": -1.0}), "clamp is -1.0"),
        ((x, weight, styles, {"bias": torch.zeros(2)}), r"bias has shape \[2\]; expected \[5\]"),
        ((x, weight, styles, {"padding": 1, "noise": torch.zeros(2, 1, 3, 3)}), r"noise has shape \[2, 1, 3, 3\]"),
        ((x, weight, styles, {"gain": -1.0}), "gain is -1.0"),
    ]:
        with pytest.raises(SettingsError, match=f"^modulated_conv2d: {message}"):
            ops.modulated_conv2d(*arguments[:3], **arguments[3])
    for arguments, message in [
        ({"weight": weight[:, :2]}, "weight has shape"),
        ({"bias": torch.zeros(3)}, r"bias has shape \[3\]; expected \[5\] for weight \[5, 3, 3, 3\]"),
        ({"stride": 0}, "stride is 0"),
        ({"stride": (2, 2)}, r"stride is \(2, 2\); expected an int"),
        ({"padding": (1, 2, 3)}, r"padding is \(1, 2, 3\)"),
        ({"taps": torch.ones(())}, r"taps are torch\.float32 of shape \[\]"),
        ({"gain": 0}, "gain is 0"),
    ]:
        with pytest.raises(SettingsError, match=f"^conv2d_bias_act: {message}"):
            ops.conv2d_bias_act(**{"x": x, "weight": weight, **arguments})
