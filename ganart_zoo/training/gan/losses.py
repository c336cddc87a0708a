"""Adversarial losses of the critic and of the generator, as functions of the votes on real and generated pictures.

Each takes votes `[n, k]`, is computed for every vote, and is averaged (patch and projected critics have k > 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu, softplus

__all__ = ["LOSSES", "AdversarialLoss"]


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of critic and generator. Arguments are the votes on real pictures, then those on generated ones."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    decision: Callable[[Tensor, Tensor], Tensor]
    """Positive where the critic is right about a real picture; its mean sign drives adaptive augmentation."""
    relativistic: bool = False
    """Whether the generator's loss also depends on the votes on real pictures."""


def _non_saturating_critic(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def _hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    return relu(1 - real).mean() + relu(1 + fake).mean()


def _wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _least_squares_critic(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def _relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(fake - real).mean()


LOSSES: dict[str, AdversarialLoss] = {
    # Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661
    "non_saturating": AdversarialLoss(
        _non_saturating_critic, lambda real, fake: softplus(-fake).mean(), lambda real, fake: real
    ),
    # Lim and Ye 2017, https://arxiv.org/abs/1705.02894
    "hinge": AdversarialLoss(_hinge_critic, lambda real, fake: -fake.mean(), lambda real, fake: real),
    # Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875; only differences of votes mean anything
    "wasserstein": AdversarialLoss(
        _wasserstein_critic, lambda real, fake: -fake.mean(), lambda real, fake: real - fake
    ),
    # Mao et al. 2017, https://arxiv.org/abs/1611.04076; real is 1 and generated 0
    "least_squares": AdversarialLoss(
        _least_squares_critic, lambda real, fake: 0.5 * (fake - 1).square().mean(), lambda real, fake: real - 0.5
    ),
    # Jolicoeur-Martineau 2018, https://arxiv.org/abs/1807.00734, paired as in Huang et al. 2024,
    # https://arxiv.org/abs/2501.05441: row i of the real pictures against row i of the generated
    "rpgan": AdversarialLoss(
        _relativistic_critic,
        lambda real, fake: softplus(real - fake).mean(),
        lambda real, fake: real - fake,
        relativistic=True,
    ),
}
