"""StyleGAN2: the contract, styles and noise, conditions, and that it learns."""

from __future__ import annotations

import subprocess
import sys

import ganart_stylegan2
import pytest
import torch
from ganart_stylegan2.config import CriticConfig, GeneratorConfig, GeneratorOptions
from ganart_stylegan2.critic import StyleGan2Critic
from ganart_stylegan2.generator import StyleGan2
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, GanartError, SettingsError, generator
from ganart_zoo.testing import Check, Subject, checks_for

ZOO = Zoo(plugins=[ganart_stylegan2])
CLASSES = ("circle", "square", "star")
TINY = {"resolution": 16, "max_channels": 8, "mapping_layers": 2}
TINY_GENERATOR = {**TINY, "latent_size": 6, "style_size": 10}


def _subjects() -> list[Subject]:
    found = []
    for name, settings in (("stylegan2", TINY_GENERATOR), ("stylegan2_critic", TINY)):
        found.append(Subject(ZOO, name, settings=settings, size=(16, 16)))
        labelled = Condition(labels=torch.tensor([1]))
        settings = {**settings, "class_names": CLASSES}
        options = {"truncation": 0.5} if name == "stylegan2" else {}
        found.append(Subject(ZOO, name, settings=settings, options=options, condition=labelled, size=(16, 16)))
    return found


def _applies(subject: Subject, check: Check) -> bool:
    """A network has classes or it has none: each of two checks is for one of them."""
    other = "works_without_condition" if subject.condition else "one_label_serves_all_rows"
    return check.__name__ != other


CASES = [(subject, check) for subject in _subjects() for check in checks_for(subject) if _applies(subject, check)]


@pytest.mark.parametrize(
    ("subject", "check"),
    CASES,
    ids=[f"{s.name}-{'classes' if s.condition else 'plain'}-{check.__name__}" for s, check in CASES],
)
def test_conformance(subject: Subject, check: Check) -> None:
    torch.manual_seed(0)
    check(subject)


def test_declaring_imports_neither_torch_nor_pydantic() -> None:
    code = "import sys, ganart_stylegan2 as s; s.ganart_models(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def tiny(**settings: object) -> StyleGan2:
    """An untrained generator whose noise and styles show."""
    torch.manual_seed(0)
    made = StyleGan2(GeneratorConfig(**{**TINY_GENERATOR, **settings}))
    for name, parameter in made.named_parameters():
        if name.endswith("noise_strength"):
            nn.init.ones_(parameter)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("resolution", [8, 32, 256, 1024])
def test_pictures_of_every_size(resolution: int) -> None:
    made = tiny(resolution=resolution, channel_base=4096)
    pictures = made(made.sample_latents(1, rng=generator(0)))
    votes = StyleGan2Critic(CriticConfig(resolution=resolution, channel_base=4096, max_channels=8))(pictures)
    assert pictures.shape == (1, 3, resolution, resolution)
    assert votes.shape == (1, 1)


def test_a_style_changes_no_layer_before_its_own() -> None:
    """Styles of the last layer alone leave all features before as they are: only the last painting differs."""
    made = tiny()
    one, other = (made.map(made.sample_latents(1, rng=generator(seed))) for seed in (1, 2))
    features: list[list[Tensor]] = []
    hooks = [block.register_forward_hook(lambda _, __, out: features[-1].append(out[0])) for block in made.blocks]
    for first in range(made.num_ws + 1):  # layers from `first` on take the other style
        features.append([])
        made.synthesize(torch.cat([one[:, :first], other[:, first:]], dim=1))
    for hook in hooks:
        hook.remove()
    plain = features[made.num_ws]
    for first, mixed in enumerate(features):
        same = [bool(torch.equal(a, b)) for a, b in zip(mixed, plain, strict=True)]
        # layer 0 is the block of 4 pixels, 1 and 2 that of 8, 3 and 4 that of 16, and 5 only paints
        assert same == [first > last for last in (0, 2, 4)]


def test_truncation_pulls_towards_the_mean_style() -> None:
    made = tiny()
    nn.init.normal_(made.mean_w)
    latents = made.sample_latents(3, rng=generator(0))
    ws = made.map(latents)
    for truncation in (0.0, 0.3, 1.0):
        expected = made.synthesize(made.mean_w + truncation * (ws - made.mean_w))
        pictures = made(latents, options=GeneratorOptions(truncation=truncation))
        torch.testing.assert_close(pictures, expected)


def test_the_mean_style_is_followed_in_training_only() -> None:
    made = tiny(style_mixing=0.0)
    latents = made.sample_latents(64, rng=generator(0))
    made.map(latents)
    assert made.mean_w.abs().max() == 0
    made.train()
    for _ in range(2000):
        ws = made.map(latents)
    torch.testing.assert_close(made.mean_w, ws[:, 0].mean(dim=0), rtol=1e-3, atol=1e-3)


def test_training_mixes_styles_of_the_rows_it_should() -> None:
    made = tiny(style_mixing=0.5).train()
    seen: list[Tensor] = []
    plain = made.synthesize
    made.synthesize = lambda ws, rng=None: seen.append(ws) or plain(ws, rng=rng)  # type: ignore[method-assign]
    n = 2000
    made(made.sample_latents(n, rng=generator(0)), rng=generator(1))
    (ws,) = seen
    changes = (ws[:, 1:] != ws[:, :-1]).any(dim=2)
    assert changes.sum(dim=1).max() == 1
    assert changes.any(dim=1).float().mean() == pytest.approx(0.5, abs=0.05)
    layers = changes.sum(dim=0) / n  # each of the 5 places between 6 layers as often
    torch.testing.assert_close(layers, torch.full((5,), 0.1), rtol=0, atol=0.03)


def test_rows_of_a_training_batch_follow_their_own_generators() -> None:
    made = tiny().train()
    latents = made.sample_latents(3, rng=generator(0))
    whole = made(latents, rng=[generator(seed) for seed in (1, 2, 3)])
    part = made(latents[1:], rng=[generator(seed) for seed in (2, 3)])
    torch.testing.assert_close(whole[1:], part)


def test_noise_is_stored_seeded_or_in_training_free() -> None:
    made = tiny(style_mixing=0.0)
    ws = made.map(made.sample_latents(2, rng=generator(0)))
    stored = made.synthesize(ws)
    assert torch.equal(stored, made.synthesize(ws))
    seeded = made.synthesize(ws, rng=generator(1))
    assert not torch.equal(stored, seeded)
    made.train()
    assert not torch.equal(made.synthesize(ws), made.synthesize(ws))


def test_batches_in_one_call_are_never_in_one_group() -> None:
    critics = [StyleGan2Critic(CriticConfig(**TINY)) for _ in range(2)]
    critics[1].load_state_dict(critics[0].state_dict())
    one, other = (critic.double().train() for critic in critics)
    real, fake = (torch.rand(2, 3, 16, 16, dtype=torch.float64) for _ in range(2))  # 2 and 2 would make a group of 4
    expected = torch.cat([one(real), one(fake)])
    assert torch.allclose(other(torch.cat([real, fake]), batches=2), expected, atol=1e-12)
    assert torch.allclose(other.typical_spread, one.typical_spread, atol=1e-12)


def test_the_critic_sees_the_spread_of_a_batch_in_training_and_its_mean_afterwards() -> None:
    critic = StyleGan2Critic(CriticConfig(**TINY))
    images = torch.rand(4, 3, 16, 16)
    alike = images[:1].expand(4, -1, -1, -1)
    with torch.no_grad():
        assert not torch.allclose(critic.train()(images)[:1], critic(alike)[:1])
        for _ in range(1000):
            critic(images)
        together = critic(images)
        alone = torch.cat([critic.eval()(image[None]) for image in images])
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-3)


def test_groups_are_of_neighbours_so_that_processes_may_share_a_batch() -> None:
    critic = StyleGan2Critic(CriticConfig(**TINY)).train()
    images = torch.rand(12, 3, 16, 16)
    torch.testing.assert_close(critic(images), torch.cat([critic(images[:8]), critic(images[8:])]))


@pytest.mark.parametrize("rows", [1, 3, 5, 6])
def test_batches_that_4_does_not_divide_are_taken(rows: int) -> None:
    critic = StyleGan2Critic(CriticConfig(**TINY)).train()
    assert critic(torch.rand(rows, 3, 16, 16)).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 48}, "resolution is 48, expected a power of two from 8 to 1024"),
        ({"resolution": 2048}, "less than or equal to 1024"),
        ({"class_names": ["dog", "dog"]}, "two classes are named 'dog'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    for name in ("stylegan2", "stylegan2_critic"):
        with pytest.raises(SettingsError, match=message):
            ZOO.create(name, **settings)


def test_wrong_inputs_are_refused() -> None:
    made, critic = tiny(class_names=CLASSES), StyleGan2Critic(CriticConfig(**TINY, class_names=CLASSES))
    for labels, message in (
        (None, "a network of 3 classes was given no labels"),
        (torch.tensor([3]), "label 3 is out of range; the 3 classes"),
        (torch.tensor([0, 1, 2]), "3 rows of labels for 2 pictures"),
    ):
        with pytest.raises(SettingsError, match=message):
            made(torch.randn(2, 6), Condition(labels=labels))
        with pytest.raises(SettingsError, match=message):
            critic(torch.rand(2, 3, 16, 16), Condition(labels=labels))
    with pytest.raises(SettingsError, match="labels were given to a network without classes"):
        tiny()(torch.randn(2, 6), Condition(labels=torch.tensor([0])))
    with pytest.raises(GanartError, match=r"latents are \[2, 7\], expected \[n, 6\]"):
        tiny()(torch.randn(2, 7))
    with pytest.raises(GanartError, match=r"styles are \[2, 5, 10\], expected \[n, 6, 10\]"):
        tiny().synthesize(torch.randn(2, 5, 10))
    with pytest.raises(GanartError, match=r"images are \[2, 3, 8, 8\], expected \[n, 3, 16, 16\]"):
        critic(torch.rand(2, 3, 8, 8), Condition(labels=torch.tensor([0])))


def test_autocast_to_bfloat16_trains_both() -> None:
    made, critic = tiny().train().requires_grad_(), StyleGan2Critic(CriticConfig(**TINY)).train()
    with torch.autocast("cpu", torch.bfloat16):
        pictures = made(made.sample_latents(4))
        votes = critic(pictures)
    assert pictures.dtype == votes.dtype == torch.float32
    softplus(-votes).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in [*made.parameters(), *critic.parameters()])


def test_path_lengths_can_be_differentiated() -> None:
    made = tiny().train().requires_grad_()
    ws = made.map(made.sample_latents(2))
    pictures = made.synthesize(ws)
    (slope,) = torch.autograd.grad((pictures * torch.randn_like(pictures)).sum(), ws, create_graph=True)
    slope.square().sum(dim=2).mean().backward()
    for name, parameter in made.mapping.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_short_training_with_penalties_comes_nearer_to_the_pictures() -> None:
    torch.manual_seed(0)
    settings = {"resolution": 8, "max_channels": 16, "mapping_layers": 2}
    made = StyleGan2(GeneratorConfig(latent_size=4, style_size=16, **settings)).train()
    critic = StyleGan2Critic(CriticConfig(**settings)).train()
    optimizers = [torch.optim.Adam(network.parameters(), 5e-3, (0.0, 0.99)) for network in (made, critic)]
    real = torch.zeros(8, 3, 8, 8)
    real[:, 0, :4] = 0.9
    real[:, 2, 4:] = 0.8
    before = _distance(made, real)
    for _ in range(60):
        fake = made(made.sample_latents(8)).detach().requires_grad_()
        real.requires_grad_()
        votes = critic(real), critic(fake)
        loss = softplus(votes[1] - votes[0]).mean()
        for vote, pictures in zip(votes, (real, fake), strict=True):  # R1 and R2
            (slope,) = torch.autograd.grad(vote.sum(), pictures, create_graph=True)
            loss = loss + 0.05 * slope.square().sum((1, 2, 3)).mean()
        _descend(optimizers[1], loss)
        _descend(optimizers[0], softplus(critic(real).detach() - critic(made(made.sample_latents(8)))).mean())
    assert _distance(made, real) < 0.5 * before


@torch.no_grad()
def _distance(made: StyleGan2, real: Tensor) -> float:
    return float((made(made.sample_latents(8)) - real).square().mean())


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
    assert all(gradient.isfinite().all() for gradient in gradients)
    optimizer.step()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["stylegan2", "stylegan2_critic"])
def test_a_traced_network_gives_the_same(name: str) -> None:
    model = Zoo().create(f"ganart-stylegan2/{name}", weights=None, resolution=16)
    given = torch.rand(2, 3, 16, 16) if name.endswith("critic") else model.sample_latents(2, rng=generator(1))
    traced = torch.jit.trace(model, (given,), check_trace=False)
    torch.testing.assert_close(traced(given), model(given))
