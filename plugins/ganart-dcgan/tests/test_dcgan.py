"""DCGAN: the contract, shapes and bounds, conditions, and that it learns."""

from __future__ import annotations

import subprocess
import sys

import ganart_dcgan
import pytest
import torch
from ganart_dcgan.batch_norm import StyledBatchNorm
from ganart_dcgan.config import CriticConfig, GeneratorConfig
from ganart_dcgan.critic import Critic
from ganart_dcgan.generator import Generator
from torch import Tensor
from torch.nn.functional import softplus

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, GanartError, SettingsError, generator
from ganart_zoo.testing import Check, Subject, checks_for

ZOO = Zoo(plugins=[ganart_dcgan])
CLASSES = ("circle", "square", "star")
SMALL = {"resolution": 16, "width": 4}


def _subjects() -> list[Subject]:
    found = []
    for name in ("dcgan", "dcgan_critic"):
        untrained = {**SMALL, "weights": None}
        found.append(Subject(ZOO, name, settings=untrained, size=(16, 16)))
        labelled = Condition(labels=torch.tensor([1]))
        settings = {**untrained, "class_names": CLASSES}
        found.append(Subject(ZOO, name, settings=settings, condition=labelled, size=(16, 16)))
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
    code = "import sys, ganart_dcgan as d; d.ganart_models(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("resolution", [8, 32, 512])
def test_pictures_of_every_size_from_8_to_512(resolution: int) -> None:
    made = Generator(GeneratorConfig(resolution=resolution, width=2, max_width=16)).eval()
    with torch.no_grad():
        pictures = made(made.sample_latents(2, rng=generator(0)))
        votes = Critic(CriticConfig(resolution=resolution, width=2, max_width=16))(pictures)
    assert pictures.shape == (2, 3, resolution, resolution)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert votes.shape == (2, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 4}, "greater than or equal to 8"),
        ({"resolution": 1024}, "less than or equal to 512"),
        ({"resolution": 28}, "resolution is 28, expected a power of two from 8 to 512"),
        ({"class_names": ["dog", "dog"]}, "two classes are named 'dog'"),
        ({"width": 0}, "width"),
    ],
)
@pytest.mark.parametrize("name", ["dcgan", "dcgan_critic"])
def test_wrong_settings_are_refused(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ZOO.create(name, weights=None, **settings)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (None, CLASSES, "a network of 3 classes was given no labels"),
        (torch.tensor([0, 3]), CLASSES, "label 3 is out of range; the 3 classes are 0 to 2"),
        (torch.tensor([-1]), CLASSES, "label -1 is out of range"),
        (torch.tensor([0.0, 1.0]), CLASSES, r"labels are torch.float32 \[2\]"),
        (torch.tensor([[0], [1]]), CLASSES, r"labels are torch.int64 \[2, 1\]"),
        (torch.tensor([0, 1, 2]), CLASSES, "3 rows of labels for 2 pictures"),
        (torch.tensor([0]), (), "labels were given to a network without classes"),
    ],
)
def test_wrong_labels_are_refused(labels: Tensor | None, classes: tuple[str, ...], message: str) -> None:
    made = Generator(GeneratorConfig(resolution=8, width=2, class_names=classes))
    critic = Critic(CriticConfig(resolution=8, width=2, class_names=classes))
    condition = Condition(labels=labels)
    with pytest.raises(SettingsError, match=message):
        made(made.sample_latents(2), condition)
    with pytest.raises(SettingsError, match=message):
        critic(torch.rand(2, 3, 8, 8), condition)


def test_pictures_and_latents_of_another_shape_are_refused() -> None:
    with pytest.raises(GanartError, match=r"images are \[2, 3, 16, 16\], expected \[n, 3, 8, 8\]"):
        Critic(CriticConfig(resolution=8))(torch.rand(2, 3, 16, 16))
    with pytest.raises(GanartError, match=r"latents are \[2, 7\], expected \[n, 128\]"):
        Generator(GeneratorConfig(resolution=8))(torch.randn(2, 7))


def test_the_label_decides_the_picture_and_the_vote() -> None:
    made = Generator(GeneratorConfig(class_names=CLASSES, **SMALL)).eval()
    critic = Critic(CriticConfig(class_names=CLASSES, **SMALL))
    latents = made.sample_latents(1, rng=generator(0)).expand(3, -1)
    condition = Condition(labels=torch.arange(3))
    pictures = made(latents, condition)
    assert (pictures[0] - pictures[1]).abs().max() > 0
    votes = critic(pictures[:1].expand(3, -1, -1, -1), condition)
    assert len(votes.unique()) == 3


def test_batch_norm_and_relu_are_the_formula() -> None:
    norm = StyledBatchNorm(5, 7).double()
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    features, style = torch.randn(6, 5, 4, 3, dtype=torch.float64), torch.randn(6, 7, dtype=torch.float64)
    mean = features.mean((0, 2, 3))[:, None, None]
    variance = features.var((0, 2, 3), correction=0)[:, None, None]
    scale = torch.einsum("oi,ni->no", norm.scale.weight, style) + norm.scale.bias
    shift = torch.einsum("oi,ni->no", norm.shift.weight, style) + norm.shift.bias
    expected = (features - mean) / (variance + 1e-5).sqrt() * scale[..., None, None] + shift[..., None, None]
    torch.testing.assert_close(norm(features, style), expected.relu())


def _bars(n: int) -> tuple[Tensor, Tensor]:
    """Pictures with a bright left, upper or right half, and which."""
    labels = torch.arange(n) % 3
    pictures = torch.full((n, 3, 8, 8), 0.1)
    pictures[labels == 0, :, :, :4] = 0.9
    pictures[labels == 1, :, :4] = 0.9
    pictures[labels == 2, :, :, 4:] = 0.9
    return pictures, labels


def test_a_short_training_learns_what_each_class_looks_like() -> None:
    torch.manual_seed(0)
    settings = {"resolution": 8, "width": 8, "class_names": CLASSES}
    made = Generator(GeneratorConfig(latent_size=8, **settings))
    critic = Critic(CriticConfig(**settings))
    optimizers = [torch.optim.Adam(network.parameters(), 2e-3, (0.0, 0.99)) for network in (made, critic)]
    real, labels = _bars(24)
    condition = Condition(labels=labels)
    for _ in range(150):
        fake = made(made.sample_latents(24), condition).detach().requires_grad_()
        real.requires_grad_()
        votes = critic(real, condition), critic(fake, condition)
        loss = softplus(votes[1] - votes[0]).mean()
        for vote, pictures in zip(votes, (real, fake), strict=True):  # R1 and R2
            (slope,) = torch.autograd.grad(vote.sum(), pictures, create_graph=True)
            loss = loss + 0.05 * slope.square().sum((1, 2, 3)).mean()
        _descend(optimizers[1], loss)
        shown = critic(made(made.sample_latents(24), condition), condition)
        _descend(optimizers[0], softplus(critic(real, condition).detach() - shown).mean())
    with torch.no_grad():
        pictures = made.eval()(made.sample_latents(24), condition)
    nearest = torch.cdist(pictures.flatten(1), real[:3].detach().flatten(1)).argmin(dim=1)
    assert (nearest == labels).float().mean() > 0.9
    assert (pictures - real).abs().mean() < 0.15


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
    assert all(gradient.isfinite().all() for gradient in gradients)
    optimizer.step()
