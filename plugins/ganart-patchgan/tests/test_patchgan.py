"""PatchGAN: the contract, what a vote sees, scales, references, and that it learns."""

from __future__ import annotations

import subprocess
import sys

import ganart_patchgan
import pytest
import torch
from ganart_patchgan.config import Config
from ganart_patchgan.critic import PatchGan
from torch import Tensor
from torch.nn.functional import softplus

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, ImageError, SettingsError
from ganart_zoo.testing import Check, Subject, checks_for

ZOO = Zoo(plugins=[ganart_patchgan])
SUBJECTS = {
    "spectral": Subject(ZOO, "patchgan", settings={"width": 4}),
    "instance": Subject(ZOO, "patchgan", settings={"width": 4, "norm": "instance", "scales": 2}, size=(64, 70)),
    "none": Subject(ZOO, "patchgan", settings={"width": 4, "norm": "none", "halvings": 1}),
    "reference": Subject(
        ZOO,
        "patchgan",
        settings={"width": 4, "reference": True},
        condition=Condition(images=torch.full((1, 3, 37, 50), 0.3)),
    ),
}
CASES = [(name, check) for name, subject in SUBJECTS.items() for check in checks_for(subject)]


@pytest.mark.parametrize(("name", "check"), CASES, ids=[f"{name}-{check.__name__}" for name, check in CASES])
def test_conformance(name: str, check: Check) -> None:
    torch.manual_seed(0)
    check(SUBJECTS[name])


def test_declaring_imports_neither_torch_nor_pydantic() -> None:
    code = "import sys, ganart_patchgan as p; p.ganart_models(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("halvings", "patch"), [(0, 7), (1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_vote_sees_a_patch_of_the_papers_size(halvings: int, patch: int) -> None:
    critic = PatchGan(Config(halvings=halvings, width=2, norm="none")).double()
    side = 2 * patch + 20
    images = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    votes = critic(images)
    middle = votes.shape[1] // 2 + round(votes.shape[1] ** 0.5) // 2 * (votes.shape[1] % 2 == 0)
    (gradient,) = torch.autograd.grad(votes[0, middle], images)
    rows = (gradient[0].abs().sum(dim=0) > 0).any(dim=1).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == patch


def test_the_papers_critic_has_its_parameters() -> None:
    shapes = [tuple(p.shape) for p in PatchGan(Config(norm="none")).parameters() if p.ndim == 4]
    assert shapes == [(64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)]


def test_each_scale_sees_half_of_the_one_before() -> None:
    critic = PatchGan(Config(width=2, scales=3, halvings=1, norm="none"))
    images = torch.rand(2, 3, 32, 48)
    sides = [(32, 48), (16, 24), (8, 12)]
    assert critic(images).shape == (2, sum((h // 2 - 2) * (w // 2 - 2) for h, w in sides))
    flat = torch.full((1, 3, 32, 32), 0.7)  # halving leaves an even picture even, at its edges too
    votes = [PatchGan(Config(width=2, halvings=1, norm="none")) for _ in range(3)]
    for single, scale in zip(votes, critic.scales, strict=True):
        single.scales[0].load_state_dict(scale.state_dict())
    expected = [single(flat[:, :, :side, :side]) for single, side in zip(votes, (32, 16, 8), strict=True)]
    torch.testing.assert_close(critic(flat), torch.cat(expected, dim=1))


def test_a_reference_is_judged_with_the_picture() -> None:
    critic = PatchGan(Config(width=2, reference=True))
    images, references = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    one, other = (critic(images, Condition(images=each)) for each in (references, references.flip(0)))
    assert not torch.allclose(one, other)


def test_wrong_inputs_are_refused() -> None:
    plain, referring = PatchGan(Config(width=2)), PatchGan(Config(width=2, reference=True))
    images = torch.rand(2, 3, 32, 32)
    with pytest.raises(SettingsError, match="built with reference=True and got no reference"):
        referring(images)
    with pytest.raises(SettingsError, match="patchgan got images, which it does not support"):
        plain(images, Condition(images=images))
    with pytest.raises(SettingsError, match="patchgan got labels, which it does not support"):
        referring(images, Condition(images=images, labels=torch.tensor([1])))
    with pytest.raises(ImageError, match=r"reference pictures are \[2, 3, 32, 16\], expected \[2, 3, 32, 32\]"):
        referring(images, Condition(images=images[..., :16]))
    with pytest.raises(ImageError, match="a picture of 32×16 pixels is too small for 3 halvings and 1 scales"):
        plain(images[:, :, :16])
    with pytest.raises(ImageError, match=r"images are \[2, 1, 32, 32\], expected \[n, 3, H, W\]"):
        plain(images[:, :1])
    with pytest.raises(SettingsError, match="halvings"):
        ZOO.create("patchgan", halvings=9)


@pytest.mark.parametrize("norm", ["spectral", "instance", "none"])
def test_it_learns_to_tell_textures_with_a_penalty(norm: str) -> None:
    torch.manual_seed(0)
    critic = PatchGan(Config(width=8, halvings=1, norm=norm)).train()
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3, (0.0, 0.99))
    for _ in range(30):
        real, fake = _stripes(4).requires_grad_(), _stripes(4).transpose(2, 3)
        votes = critic(real)
        (slope,) = torch.autograd.grad(votes.mean(dim=1).sum(), real, create_graph=True)
        loss = softplus(critic(fake) - votes).mean() + 0.01 * slope.square().sum((1, 2, 3)).mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in critic.parameters())
        optimizer.step()
    critic.eval()
    real = _stripes(16)
    assert (critic.score(real) > critic.score(real.transpose(2, 3))).all()


def _stripes(n: int) -> Tensor:
    """Upright stripes at random places, with noise."""
    place = torch.randint(4, (n, 1, 1, 1))
    columns = (torch.arange(16).view(1, 1, 1, 16) + place) % 4 < 2
    return columns.float().expand(n, 3, 16, 16) * 0.6 + 0.2 * torch.rand(n, 3, 16, 16)
