"""FastGAN and the projected critic: the contract, what their papers say of them, and that they learn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import ganart_backbones
import ganart_fastgan
import pytest
import torch
from ganart_fastgan.config import CriticConfig, GeneratorConfig
from ganart_fastgan.critic import ProjectedCritic
from ganart_fastgan.generator import FastGan
from ganart_fastgan.mixing import RandomMixing
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganart_zoo import Zoo
from ganart_zoo.contract import Backbone, Condition, GanartError, LayerInfo, SettingsError, generator
from ganart_zoo.testing import Check, Subject, checks_for

ZOO = Zoo(plugins=[ganart_fastgan, ganart_backbones])
SMALL_CRITIC = {
    "resolution": 32,
    "view": 64,
    "width": 4,
    "max_width": 8,
    "backbone": {"model": "efficientnet_lite0", "weights": None, "classifier": False},
}
SUBJECTS = {
    "generator": Subject(ZOO, "fastgan", settings={"resolution": 32, "width": 8, "latent_size": 16}),
    "critic": Subject(ZOO, "projected_critic", settings=SMALL_CRITIC, size=(32, 32), tolerance=1e-4),
    "pixels": Subject(
        ZOO, "projected_critic", settings={**SMALL_CRITIC, "pixel_head": True}, size=(32, 32), tolerance=1e-4
    ),
}
CASES = [(name, check) for name, subject in SUBJECTS.items() for check in checks_for(subject)]


@pytest.mark.parametrize(("name", "check"), CASES, ids=[f"{name}-{check.__name__}" for name, check in CASES])
def test_conformance(name: str, check: Check) -> None:
    torch.manual_seed(0)
    check(SUBJECTS[name])


def test_declaring_imports_neither_torch_nor_pydantic() -> None:
    code = "import sys, ganart_fastgan as f; f.ganart_models(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class TinyBackbone(Backbone):
    """Three strided convolutions."""

    taps = {"critic": ("a", "b", "c")}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layers = {"a": LayerInfo(4, 2), "b": LayerInfo(6, 4), "c": LayerInfo(8, 8)}
        self.steps = nn.ModuleDict(
            {"a": nn.Conv2d(3, 4, 3, 2, 1), "b": nn.Conv2d(4, 6, 3, 2, 1), "c": nn.Conv2d(6, 8, 3, 2, 1)}
        )

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        found = {}
        for name, step in self.steps.items():
            found[name] = images = torch.relu(step(images))
        return {name: found[name] for name in layers}


def tiny_critic(**settings: object) -> ProjectedCritic:
    return ProjectedCritic(CriticConfig(view=32, width=8, max_width=16, **settings), TinyBackbone())


@pytest.mark.parametrize("resolution", [8, 64, 256])
def test_pictures_of_every_size(resolution: int) -> None:
    made = FastGan(GeneratorConfig(resolution=resolution, width=8, latent_size=4)).eval()
    with torch.no_grad():
        pictures = made(made.sample_latents(2, rng=generator(0)))
        votes = tiny_critic(resolution=resolution)(pictures)
    assert pictures.shape == (2, 3, resolution, resolution)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert len(votes) == 2


def test_channels_and_excitations_are_the_papers() -> None:
    made = FastGan(GeneratorConfig(resolution=1024, width=64, latent_size=256))
    widths = {side: doubling.convolutions[-1].norm.num_features // 2 for side, doubling in made.doublings.items()}
    assert widths == {"8": 512, "16": 256, "32": 128, "64": 128, "128": 64, "256": 32, "512": 16, "1024": 8}
    assert [len(doubling.convolutions) for doubling in made.doublings.values()] == [2, 1, 2, 1, 2, 1, 2, 1]
    inputs = {side: excitation.gather.in_channels for side, excitation in made.excitations.items()}
    # the map of 1/16 the side; that of 32 has only the first one below it
    assert inputs == {"32": 1024, "64": 1024, "128": 512, "256": 256, "512": 128}


def test_excitation_scales_channels_by_what_the_small_map_says() -> None:
    made = FastGan(GeneratorConfig(resolution=32, width=8, latent_size=4))
    excitation = made.excitations["32"].double()
    small, large = torch.randn(2, 128, 4, 4, dtype=torch.float64), torch.randn(2, 16, 32, 32, dtype=torch.float64)
    gathered = torch.einsum("nihw,oihw->no", small, excitation.gather.weight)
    gathered = torch.where(gathered > 0, gathered, 0.1 * gathered)
    factors = 1 / (1 + torch.exp(-gathered @ excitation.scale.weight[:, :, 0, 0].T))
    torch.testing.assert_close(excitation(small, large), large * factors[:, :, None, None])


def test_noise_is_stored_seeded_or_in_training_free() -> None:
    made = FastGan(GeneratorConfig(resolution=16, width=8, latent_size=4)).eval()
    for name, parameter in made.named_parameters():
        if name.endswith("strength"):
            nn.init.ones_(parameter)  # untrained, noise does not show
    latents = made.sample_latents(2, rng=generator(0))
    stored = made(latents)
    assert torch.equal(stored, made(latents))
    seeded = made(latents, rng=generator(1))
    assert not torch.equal(stored, seeded)
    assert torch.equal(seeded, made(latents, rng=generator(1)))
    made.train()
    assert not torch.equal(made(latents), made(latents))


@pytest.mark.parametrize(("view", "resolution"), [(32, 32), (48, 16), (32, 64), (32, 50)])
def test_each_scale_votes_as_often_as_its_head_leaves_pixels(view: int, resolution: int) -> None:
    critic = ProjectedCritic(
        CriticConfig(view=view, width=4, max_width=8, resolution=resolution, pixel_head=True), TinyBackbone()
    )
    seen = max(view, resolution)
    expected = 0
    for side in (-(-seen // 2), -(-seen // 4), -(-seen // 8), resolution):
        while side >= 8:
            side //= 2
        expected += side**2
    assert critic(torch.rand(3, 3, resolution, resolution)).shape == (3, expected)


def test_mixing_carries_deep_scales_into_shallow_ones_and_keeps_their_size() -> None:
    torch.manual_seed(0)
    mixing = RandomMixing([64, 80], [96, 128]).double()
    shallow, deep = torch.randn(2, 64, 8, 8).double() * 50, torch.randn(2, 80, 3, 3).double() / 100
    mixed = mixing([shallow, deep])
    assert [tuple(each.shape) for each in mixed] == [(2, 96, 8, 8), (2, 128, 3, 3)]
    for each in mixed:
        assert 0.5 < each.square().mean() < 1.5
    other = mixing([shallow, torch.randn(2, 80, 3, 3).double()])
    assert not torch.allclose(mixed[0], other[0])
    other = mixing([torch.randn(2, 64, 8, 8).double(), deep])
    assert torch.equal(mixed[1], other[1])
    assert list(mixing.parameters()) == []


def test_spectral_norm_holds_every_convolution_of_the_heads_at_one() -> None:
    critic = tiny_critic(resolution=32).train()
    for _ in range(30):  # each forward in training is a power iteration
        critic(torch.rand(1, 3, 32, 32))
    convolutions = [module for module in critic.heads.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) > 6
    for convolution in convolutions:
        norm = torch.linalg.matrix_norm(convolution.weight.detach().flatten(1), 2)
        assert float(norm) == pytest.approx(1, rel=0.05)


def test_wrong_settings_and_inputs_are_refused() -> None:
    with pytest.raises(SettingsError, match="resolution is 48, expected a power of two from 8 to 1024"):
        ZOO.create("fastgan", resolution=48)
    with pytest.raises(SettingsError, match="'no_layer' is not in EfficientNetLite0"):
        ZOO.create("projected_critic", **{**SMALL_CRITIC, "layers": ["no_layer"]})
    with pytest.raises(GanartError, match=r"images are \[1, 3, 16, 16\], expected \[n, 3, 32, 32\]"):
        tiny_critic(resolution=32)(torch.rand(1, 3, 16, 16))
    made = FastGan(GeneratorConfig(resolution=8, width=8))
    with pytest.raises(GanartError, match=r"latents are \[2, 7\], expected \[n, 128\]"):
        made(torch.randn(2, 7))
    for call in (lambda c: made(torch.randn(2, 128), c), lambda c: tiny_critic()(torch.rand(2, 3, 64, 64), c)):
        with pytest.raises(SettingsError, match="takes no condition and got labels"):
            call(Condition(labels=torch.tensor([0])))


@pytest.mark.parametrize("pixel_head", [False, True])
def test_a_short_training_comes_nearer_to_the_pictures(pixel_head: bool) -> None:
    torch.manual_seed(0)
    made = FastGan(GeneratorConfig(resolution=16, width=8, latent_size=4)).train()
    critic = tiny_critic(resolution=16, pixel_head=pixel_head).train()
    critic.requires_grad_()
    optimizers = [torch.optim.Adam(list(network.own_parameters()), 1e-3, (0.0, 0.99)) for network in (made, critic)]
    real = torch.zeros(8, 3, 16, 16)
    real[:, 0, :8] = 0.9
    real[:, 2, 8:] = 0.8
    frozen = {
        name: tensor.clone() for name, tensor in critic.state_dict().items() if "mixing" in name or "steps" in name
    }
    before = _distance(made, real)
    for _ in range(30):
        fake = made(made.sample_latents(8)).detach()
        _descend(optimizers[1], softplus(critic(fake) - critic(real)).mean())
        _descend(optimizers[0], softplus(critic(real).detach() - critic(made(made.sample_latents(8)))).mean())
    assert _distance(made, real) < 0.7 * before
    assert all(torch.equal(critic.state_dict()[name], tensor) for name, tensor in frozen.items())


def test_r1_differentiates_twice_through_backbone_and_heads() -> None:
    backbone = ZOO.create("efficientnet_lite0", weights=None, classifier=False)
    critic = ProjectedCritic(CriticConfig(resolution=16, view=32, width=4, max_width=8), backbone).train()
    critic.requires_grad_()
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(critic(images).mean(dim=1).sum(), images, create_graph=True)
    slope.square().sum().backward()
    for name, parameter in critic.named_parameters():
        if "heads" in name and name.endswith("original"):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name
    assert all(parameter.grad is None for parameter in backbone.parameters())


@torch.no_grad()
def _distance(made: FastGan, real: Tensor) -> float:
    return float((made(made.sample_latents(8)) - real).square().mean())


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)
    optimizer.step()
