"""The single-style network: against its formula in plain PyTorch, by the published names of its tensors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file

from ganart_zoo.contract import ModelError, SettingsError, Style, generator

PUBLISHED = {
    **{f"conv{i}.conv2d.weight": shape for i, shape in ((1, (32, 3, 9, 9)), (2, (64, 32, 3, 3)), (3, (128, 64, 3, 3)))},
    **{f"res{i}.conv{j}.conv2d.weight": (128, 128, 3, 3) for i in range(1, 6) for j in (1, 2)},
    "deconv1.conv2d.weight": (64, 128, 3, 3),
    "deconv2.conv2d.weight": (32, 64, 3, 3),
    "deconv3.conv2d.weight": (3, 32, 9, 9),
}
NORMS = {
    **{f"in{i}": channels for i, channels in ((1, 32), (2, 64), (3, 128), (4, 64), (5, 32))},
    **{f"res{i}.in{j}": 128 for i in range(1, 6) for j in (1, 2)},
}


@pytest.fixture(scope="module")
def tensors():
    drawn = {name: torch.randn(shape, generator=generator(len(name))) * 0.05 for name, shape in PUBLISHED.items()}
    drawn |= {name.replace("weight", "bias"): tensor[:, 0, 0, 0] * 10 for name, tensor in list(drawn.items())}
    for name, channels in NORMS.items():
        drawn[f"{name}.weight"] = 1 + 0.1 * torch.randn(channels, generator=generator(channels))
        drawn[f"{name}.bias"] = 0.1 * torch.randn(channels, generator=generator(channels + 1))
    drawn["conv1.conv2d.bias"] = torch.zeros(32)
    return {name: tensor.contiguous() for name, tensor in drawn.items()}


def by_formula(tensors, images):
    """The network as pytorch/examples describes it: pictures in 0..255, reflected borders, nearest upsampling."""

    def conv(x, name, stride=1, doubles=False):
        weight, bias = tensors[f"{name}.conv2d.weight"].double(), tensors[f"{name}.conv2d.bias"].double()
        half = weight.shape[-1] // 2
        if doubles:
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return F.conv2d(F.pad(x, (half,) * 4, mode="reflect"), weight, bias, stride=stride)

    def norm(x, name):
        return F.instance_norm(x, weight=tensors[f"{name}.weight"].double(), bias=tensors[f"{name}.bias"].double())

    x = images.double() * 255
    for number, stride in ((1, 1), (2, 2), (3, 2)):
        x = norm(conv(x, f"conv{number}", stride), f"in{number}").relu()
    for number in range(1, 6):
        y = norm(conv(x, f"res{number}.conv1"), f"res{number}.in1").relu()
        x = x + norm(conv(y, f"res{number}.conv2"), f"res{number}.in2")
    for number in (1, 2):
        x = norm(conv(x, f"deconv{number}", doubles=True), f"in{number + 3}").relu()
    return conv(x, "deconv3") / 255


def test_published_names_load_and_the_network_is_the_published_one(zoo, tensors, tmp_path):
    path = tmp_path / "candy.safetensors"
    save_file(tensors | {"in1.running_mean": torch.zeros(32), "res1.in1.running_var": torch.ones(128)}, path)
    model = zoo.create("johnson", weights=path, dtype=torch.float64)
    images = torch.rand(2, 3, 24, 28, generator=generator(1))
    torch.testing.assert_close(model.stylize(images.double(), []), by_formula(tensors, images), rtol=1e-9, atol=1e-9)


def test_odd_and_tiny_photos_keep_their_size(zoo, tensors, tmp_path):
    path = tmp_path / "candy.safetensors"
    save_file(tensors, path)
    model = zoo.create("johnson", weights=path)
    for size in ((1, 1), (17, 31), (1, 200)):
        assert model.stylize(torch.rand(1, 3, *size, generator=generator(2)), []).shape == (1, 3, *size)


def test_a_style_or_an_unfit_file_is_refused_in_words(zoo, tensors, tmp_path):
    model = zoo.create("johnson", weights=None, channels=(4, 4, 4), blocks=1)
    with pytest.raises(SettingsError, match="johnson has the one style of its weights"):
        model.stylize(torch.rand(1, 3, 16, 16), [Style(name="candy")])
    path = tmp_path / "broken.safetensors"
    save_file(tensors | {"in1.bias": torch.full((32,), float("nan"))}, path)
    with pytest.raises(ModelError, match=r"NaN or infinite in 'in1\.bias'"):
        zoo.create("johnson", weights=path)
