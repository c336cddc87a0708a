"""The network for any style: its parts against formulas, blends, regions, sizes, and files that do not fit."""

from __future__ import annotations

import ganart_backbones
import ganart_faststyle
import pytest
import torch
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, ModelError, SettingsError, Style, generator

SMALL = {"widths": (6, 6, 4), "blocks": (1, 0, 0), "last": 4, "code": 5}


@pytest.fixture(scope="module")
def zoo():
    return Zoo(plugins=[ganart_faststyle, ganart_backbones])


@pytest.fixture(scope="module")
def model(zoo):
    return randomised(zoo.create("adain", weights=None, **SMALL))


def randomised(model):
    for name, tensor in model.own_state().items():
        if name != "spread":
            drawn = torch.randn(tensor.shape, generator=generator(tensor.numel()), dtype=torch.float64)
            tensor.copy_(drawn * (0.3 if tensor.ndim < 4 else 1 / tensor[0].numel() ** 0.5))
    return model


def picture(seed, *size):
    coarse = torch.rand(1, 3, 6, 6, generator=generator(seed))
    return torch.nn.functional.interpolate(coarse, size or (48, 48), mode="bicubic").clamp(0, 1)


def test_the_features_take_on_the_statistics_of_the_style(model):
    from ganart_faststyle.adain import moments

    from ganart_zoo import ops

    features, style = model.encode(picture(1, 64, 64)), model.statistics(picture(2, 96, 96))
    for name in model.layers:
        mean, std = moments(ops.adain(features[name], *style[name]))
        own = model.backbone(picture(2, 96, 96), (name,))[name].flatten(2)
        torch.testing.assert_close(mean, own.mean(dim=2), rtol=1e-4, atol=1e-4)
        varied = moments(features[name])[1] > 0.05  # a channel that hardly varies cannot be given variance
        torch.testing.assert_close(std[varied], own.std(dim=2, correction=0)[varied], rtol=1e-2, atol=1e-2)


def test_statistics_of_a_region_are_those_of_its_pixels(model):
    from ganart_faststyle.adain import moments

    features = torch.randn(1, 5, 8, 8, generator=generator(3))
    region = torch.zeros(1, 1, 16, 16)
    region[..., :6, 4:10] = 1
    mean, std = moments(features, region)
    inside = features[..., :3, 2:5].flatten(2)
    torch.testing.assert_close(mean, inside.mean(dim=2))
    torch.testing.assert_close(std, (inside.var(dim=2, correction=0) + 1e-5).sqrt())


def test_each_region_is_painted_in_its_own_style_and_the_rest_stays(model):
    photo, one, other = picture(4, 40, 56), picture(5), picture(6)
    left, middle = torch.zeros(2, 1, 1, 40, 56)
    left[..., :20], middle[..., 20:40] = 1, 1
    painted = model.stylize(photo, [Style(image=one, region=left), Style(image=other, region=middle)])
    first, second = model.stylize(photo, [Style(image=one)]), model.stylize(photo, [Style(image=other)])
    expected = torch.cat([first[..., :20], second[..., 20:40], photo[..., 40:]], dim=3)
    torch.testing.assert_close(painted, expected, rtol=0, atol=1e-5)


def test_styles_are_blended_by_their_statistics(model):
    photo, one, other = picture(7), picture(8), picture(9)
    blend = model.stylize(photo, [Style(image=one, weight=3), Style(image=other, weight=1)])
    seen = [model.statistics(each) for each in (one, other)]
    mixed = {
        name: tuple(0.75 * a + 0.25 * b for a, b in zip(seen[0][name], seen[1][name], strict=True))
        for name in model.layers
    }
    torch.testing.assert_close(blend, model(photo, mixed), rtol=0, atol=1e-5)


def test_a_style_picture_is_scaled_to_the_photos_area(zoo, model):
    from ganart_zoo.imaging import resize

    photo, style = picture(10, 32, 48), picture(11, 128, 192)
    small = model.stylize(photo, [Style(image=resize(style, (32, 48)))])
    torch.testing.assert_close(model.stylize(photo, [Style(image=style)]), small)
    twice = model.stylize(photo, [Style(image=resize(style, (64, 96)))], options=zoo.options("adain", style_scale=2))
    large = model.stylize(photo, [Style(image=style)], options=zoo.options("adain", style_scale=2))
    assert not torch.allclose(large, small, atol=1e-3)
    assert twice.shape == large.shape


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 2000), (2000, 1), (17, 31), (33, 16)])
def test_tiny_odd_and_narrow_photos_keep_their_size(model, size):
    painted = model.stylize(torch.rand(1, 3, *size, generator=generator(12)), [Style(image=picture(13))])
    assert painted.shape == (1, 3, *size)
    assert 0 <= painted.min() <= painted.max() <= 1


def test_strength_zero_returns_the_photo_and_batches_equal_singles(zoo, model):
    photos = torch.cat([picture(14, 40, 50), picture(15, 40, 50)])
    styles = [Style(image=picture(16))]
    assert torch.equal(model.stylize(photos, styles, options=zoo.options("adain", alpha=0)), photos)
    both = model.stylize(photos, styles)
    singles = torch.cat([model.stylize(photo, styles) for photo in photos.split(1)])
    assert torch.equal(both, singles)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_style_or_a_photo_of_one_colour_gives_finite_pictures(model, value):
    flat = torch.full((1, 3, 32, 32), value)
    assert model.stylize(picture(17), [Style(image=flat)]).isfinite().all()
    assert model.stylize(flat, [Style(image=picture(18))]).isfinite().all()


def test_gradients_reach_the_photo_and_the_decoder_but_not_the_backbone(zoo):
    model = randomised(zoo.create("adain", weights=None, **SMALL))
    model.requires_grad_(True)
    photo = picture(19).requires_grad_()
    model.stylize(photo, [Style(image=picture(20))]).square().sum().backward()
    assert photo.grad is not None
    assert all(parameter.grad is not None for parameter in model.own_parameters())
    assert {id(p) for p in model.own_parameters()}.isdisjoint(id(p) for p in model.backbone.parameters())


def test_calls_and_files_that_do_not_fit_are_refused_in_words(zoo, model, tmp_path):
    photo, style = picture(21), Style(image=picture(22))
    with pytest.raises(SettingsError, match="no style was given; adain takes one style picture or more"):
        model.stylize(photo, [])
    with pytest.raises(SettingsError, match="adain has no named styles"):
        model.stylize(photo, [Style(name="waves")])
    with pytest.raises(ImageError, match="style 1 has values that are NaN"):
        model.stylize(photo, [Style(image=picture(22) * float("nan"))])
    with pytest.raises(SettingsError, match="takes no init picture"):
        model.stylize(photo, [style], init=photo)
    with pytest.raises(SettingsError, match="expected one layer for each of the strides 2, 4 and 8"):
        zoo.create("adain", weights=None, layers=("block4",))
    state = {name: tensor.contiguous() for name, tensor in model.own_state().items()}
    save_file(state | {"paint.bias": torch.full((3,), float("nan"))}, tmp_path / "nan.safetensors")
    with pytest.raises(ModelError, match=r"NaN or infinite in 'paint\.bias'"):
        zoo.create("adain", weights=tmp_path / "nan.safetensors", **SMALL)
    save_file(state, tmp_path / "good.safetensors")
    again = zoo.create("adain", weights=tmp_path / "good.safetensors", **SMALL)
    assert torch.equal(again.stylize(photo, [style]), model.stylize(photo, [style]))
