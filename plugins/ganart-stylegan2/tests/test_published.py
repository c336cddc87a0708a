"""Published weights: their names and shapes, and the pictures and votes they make, by a plain reading of the papers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from ganart_stylegan2.config import CriticConfig, GeneratorConfig
from ganart_stylegan2.critic import StyleGan2Critic
from ganart_stylegan2.generator import StyleGan2
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract import Condition, Model, ModelError, SettingsError, WeightsError, generator

State = dict[str, Tensor]
CPU = torch.device("cpu")
FILTER = torch.tensor([1.0, 3.0, 3.0, 1.0]).outer(torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64
SIDES = (4, 8, 16)
CHANNELS = {4: 12, 8: 12, 16: 8}
SMALL = {"resolution": 16, "channel_base": 1024, "max_channels": 512}
CLASSES = 3
STYLE, LATENT, LAYERS = 10, 6, 2


def _draw(shapes: dict[str, tuple[int, ...]]) -> State:
    rng = generator(0)
    state = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    return {name: FILTER.clone() if name.endswith("resample_filter") else tensor for name, tensor in state.items()}


def generator_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the state dict of a published `G_ema`, with few channels."""
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (STYLE,)}
    if classes:
        shapes |= {"mapping.embed.weight": (STYLE, classes), "mapping.embed.bias": (STYLE,)}
    for index in range(LAYERS):
        inputs = STYLE if index else LATENT + (STYLE if classes else 0)
        shapes |= {f"mapping.fc{index}.weight": (STYLE, inputs), f"mapping.fc{index}.bias": (STYLE,)}
    shapes["synthesis.b4.const"] = (CHANNELS[4], 4, 4)
    for side in SIDES:
        block, width = f"synthesis.b{side}", CHANNELS[side]
        shapes[f"{block}.resample_filter"] = (4, 4)
        for layer, inputs in (("conv0", CHANNELS[max(4, side // 2)]), ("conv1", width)):
            if side > 4 or layer == "conv1":
                shapes |= {
                    f"{block}.{layer}.weight": (width, inputs, 3, 3),
                    f"{block}.{layer}.bias": (width,),
                    f"{block}.{layer}.affine.weight": (inputs, STYLE),
                    f"{block}.{layer}.affine.bias": (inputs,),
                    f"{block}.{layer}.noise_const": (side, side),
                    f"{block}.{layer}.noise_strength": (),
                    f"{block}.{layer}.resample_filter": (4, 4),
                }
        shapes |= {
            f"{block}.torgb.weight": (3, width, 1, 1),
            f"{block}.torgb.bias": (3,),
            f"{block}.torgb.affine.weight": (width, STYLE),
            f"{block}.torgb.affine.bias": (width,),
        }
    return shapes


def critic_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    """The same for a published `D`."""
    last = CHANNELS[4]
    shapes: dict[str, tuple[int, ...]] = {
        "b16.fromrgb.weight": (CHANNELS[16], 3, 1, 1),
        "b16.fromrgb.bias": (CHANNELS[16],),
        "b16.fromrgb.resample_filter": (4, 4),
    }
    for side in (16, 8):
        width, half = CHANNELS[side], CHANNELS[side // 2]
        shapes |= {
            f"b{side}.resample_filter": (4, 4),
            f"b{side}.conv0.weight": (width, width, 3, 3),
            f"b{side}.conv0.bias": (width,),
            f"b{side}.conv1.weight": (half, width, 3, 3),
            f"b{side}.conv1.bias": (half,),
            f"b{side}.conv1.resample_filter": (4, 4),
            f"b{side}.skip.weight": (half, width, 1, 1),
            f"b{side}.skip.resample_filter": (4, 4),
        }
    shapes |= {
        "b4.conv.weight": (last, last + 1, 3, 3),
        "b4.conv.bias": (last,),
        "b4.fc.weight": (last, last * 16),
        "b4.fc.bias": (last,),
        "b4.out.weight": (last if classes else 1, last),
        "b4.out.bias": (last if classes else 1,),
    }
    if classes:
        shapes |= {"mapping.embed.weight": (last, classes), "mapping.embed.bias": (last,)}
        for index in range(LAYERS):
            shapes |= {f"mapping.fc{index}.weight": (last, last), f"mapping.fc{index}.bias": (last,)}
    return shapes


def _lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def _dense(state: State, name: str, x: Tensor, rate: float = 1.0) -> Tensor:
    weight = state[f"{name}.weight"]
    return x @ (weight * rate / math.sqrt(weight.shape[1])).T + state[f"{name}.bias"] * rate


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def _filtered(x: Tensor, pad: tuple[int, int], gain: float = 1.0) -> Tensor:
    """Pad by (before, after) on both axes, and apply the 4×4 filter, which is symmetric."""
    x = functional.pad(x, (*pad, *pad))
    kernel = (FILTER.to(x) * gain).expand(x.shape[1], 1, 4, 4)
    return functional.conv2d(x, kernel, groups=x.shape[1])


def _stuffed(x: Tensor) -> Tensor:
    """Put a zero after every pixel, along both axes."""
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    y[:, :, ::2, ::2] = x
    return y


def _mapped(state: State, parts: list[Tensor], labels: Tensor | None) -> Tensor:
    if labels is not None:
        one_hot = functional.one_hot(labels, CLASSES).to(state["mapping.embed.weight"])
        parts = [*parts, _unit(_dense(state, "mapping.embed", one_hot))]
    x = torch.cat(parts, dim=1)
    for index in range(LAYERS):
        x = _lrelu(_dense(state, f"mapping.fc{index}", x, rate=0.01))
    return x


def _styled(state: State, name: str, x: Tensor, w: Tensor, enlarge: bool) -> Tensor:
    """One modulated convolution, a weight a sample. Published enlarging layers convolve: their kernels are turned."""
    rows = []
    for row, style in zip(x, _dense(state, f"{name}.affine", w), strict=True):
        weight = state[f"{name}.weight"] * style[None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if enlarge:
            row = _filtered(_stuffed(row[None]), (3, 2), gain=4)  # one more than upsampling: the kernel's padding
            rows.append(functional.conv2d(row, weight.flip(2, 3)))
        else:
            rows.append(functional.conv2d(row[None], weight, padding=1))
    x = torch.cat(rows) + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
    return _lrelu(x + state[f"{name}.bias"][:, None, None])


def reference_generator(state: State, latents: Tensor, labels: Tensor | None) -> Tensor:
    w = _mapped(state, [_unit(latents)], labels)
    x = state["synthesis.b4.const"].expand(len(w), -1, -1, -1)
    picture = None
    for side in SIDES:
        block = f"synthesis.b{side}"
        if side > 4:
            x = _styled(state, f"{block}.conv0", x, w, enlarge=True)
        x = _styled(state, f"{block}.conv1", x, w, enlarge=False)
        weight = state[f"{block}.torgb.weight"][:, :, 0, 0]
        styles = _dense(state, f"{block}.torgb.affine", w) / math.sqrt(weight.shape[1])
        painted = torch.einsum("oi,ni,nihw->nohw", weight, styles, x) + state[f"{block}.torgb.bias"][:, None, None]
        picture = painted if picture is None else _filtered(_stuffed(picture), (2, 1), gain=4) + painted
    return (picture + 1) / 2


def reference_critic(state: State, images: Tensor, labels: Tensor | None, spread: float | None) -> Tensor:
    """With the given spread, or where None that of one group of all pictures."""

    def convolved(name: str, x: Tensor, halve: bool = False) -> Tensor:
        weight = state[f"{name}.weight"]
        size = weight.shape[2]
        if halve:  # the filter leaves the side as it is for a 3x3 kernel without padding, and one less for 1x1
            x = _filtered(x, (2, 2) if size == 3 else (1, 1))
        padding = 0 if halve else size // 2
        return functional.conv2d(x, weight / math.sqrt(weight[0].numel()), stride=1 + halve, padding=padding)

    def activated(name: str, x: Tensor, halve: bool = False) -> Tensor:
        return _lrelu(convolved(name, x, halve) + state[f"{name}.bias"][:, None, None])

    x = activated("b16.fromrgb", images * 2 - 1)
    for side in (16, 8):
        around = convolved(f"b{side}.skip", x, halve=True) / math.sqrt(2)
        through = activated(f"b{side}.conv1", activated(f"b{side}.conv0", x), halve=True) / math.sqrt(2)
        x = around + through
    value = (x.var(dim=0, correction=0) + 1e-8).sqrt().mean() if spread is None else torch.tensor(spread).to(x)
    x = activated("b4.conv", torch.cat([x, value.expand(len(x), 1, 4, 4)], dim=1))
    x = _lrelu(_dense(state, "b4.fc", x.flatten(1)))
    votes = _dense(state, "b4.out", x)
    if labels is not None:
        meaning = _mapped(state, [], labels)
        votes = (votes * meaning).sum(dim=1, keepdim=True) / math.sqrt(meaning.shape[1])
    return votes


class _Narrow:
    """Gives a config the few channels of the synthetic file, which no setting reaches at these sides."""

    def channels(self, side: int) -> int:
        return CHANNELS[side]


class NarrowGenerator(_Narrow, GeneratorConfig):
    pass


class NarrowCritic(_Narrow, CriticConfig):
    pass


def _generator(classes: int) -> StyleGan2:
    names = tuple(f"class {index}" for index in range(classes))
    config = NarrowGenerator(class_names=names, mapping_layers=LAYERS, latent_size=LATENT, style_size=STYLE, **SMALL)
    return StyleGan2(config).double().eval()


def _critic(classes: int) -> StyleGan2Critic:
    names = tuple(f"class {index}" for index in range(classes))
    return StyleGan2Critic(NarrowCritic(class_names=names, mapping_layers=LAYERS, **SMALL)).double().eval()


def _load(model: Model, state: State, folder: Path) -> None:
    save_file(state, folder / "published.safetensors")
    model.load_weights({"model": folder / "published.safetensors"}, device=CPU, dtype=torch.float64)


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_a_published_generator_makes_the_pictures_of_the_paper(tmp_path: Path, classes: int) -> None:
    state = _draw(generator_shapes(classes))
    model = _generator(classes)
    _load(model, state, tmp_path)
    latents = model.sample_latents(3, rng=generator(1))
    labels = torch.tensor([0, 2, 1]) if classes else None
    expected = reference_generator({name: tensor.double() for name, tensor in state.items()}, latents, labels)
    with torch.no_grad():
        pictures = model(latents, Condition(labels=labels))
    torch.testing.assert_close(pictures, expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(model.mean_w, state["mapping.w_avg"].double())


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_a_published_critic_gives_the_votes_of_the_paper(tmp_path: Path, classes: int) -> None:
    state = _draw(critic_shapes(classes))
    model = _critic(classes)
    _load(model, state, tmp_path)
    images = torch.rand(4, 3, 16, 16, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 0]) if classes else None
    wide = {name: tensor.double() for name, tensor in state.items()}
    condition = Condition(labels=labels)
    with torch.no_grad():
        alone, together = model(images, condition), model.train()(images, condition)
    torch.testing.assert_close(alone, reference_critic(wide, images, labels, spread=1.0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(together, reference_critic(wide, images, labels, spread=None), rtol=1e-9, atol=1e-9)


def test_the_published_sizes_are_those_of_the_paper_at_1024_pixels() -> None:
    with torch.device("meta"):
        made, critic = StyleGan2(GeneratorConfig(resolution=1024)), StyleGan2Critic(CriticConfig(resolution=1024))
    assert made.num_ws == 18
    # 30.37 million parameters in configuration F at 1024 pixels: 28.27 in the synthesis, 2.10 in the mapping
    assert sum(parameter.numel() for parameter in made.parameters()) == 30_370_060
    assert sum(parameter.numel() for parameter in critic.parameters()) == 29_012_513
    assert [tuple(block.refine.weight.shape[:2]) for block in made.blocks] == [
        (width, width) for width in (512, 512, 512, 512, 512, 256, 128, 64, 32)
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("synthesis.b8.conv0.affine.bias"), "missing 'synthesis.b8.conv0.affine.bias'"),
        (lambda state: state.update({"synthesis.b32.const": torch.zeros(1)}), "unexpected 'synthesis.b32.const'"),
        (lambda state: state.update({"mapping.w_avg": torch.zeros(4)}), r"'mean_w' is \[4\], expected \[10\]"),
        (
            lambda state: state.update({"synthesis.b8.resample_filter": torch.full((4, 4), 1 / 16)}),
            "'synthesis.b8.resample_filter' is not StyleGAN2's filter",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, change: object, message: str) -> None:
    state = _draw(generator_shapes(0))
    change(state)
    model = _generator(0)
    before = {name: tensor.clone() for name, tensor in model.own_state().items()}
    with pytest.raises(ModelError, match=message):
        _load(model, state, tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.own_state().items())


def test_own_names_load_too_and_damage_is_named(tmp_path: Path) -> None:
    first, second = _critic(0), _critic(0)
    state = {name: tensor.contiguous() for name, tensor in first.own_state().items()}
    _load(second, state, tmp_path)
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    assert torch.equal(first(images), second(images))
    (tmp_path / "damaged.safetensors").write_bytes(b"not weights")
    with pytest.raises((WeightsError, SettingsError), match=r"damaged\.safetensors"):
        first.load_weights({"model": tmp_path / "damaged.safetensors"}, device=CPU, dtype=torch.float32)
