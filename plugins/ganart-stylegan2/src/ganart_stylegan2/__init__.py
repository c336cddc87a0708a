"""StyleGAN2 for ganart-zoo. Torch-free: the networks are imported when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl

__all__ = ["ganart_models"]

_PAPER = "https://arxiv.org/abs/1912.04958"
_CAPABILITIES = frozenset({"unconditional", "labels", "trainable", "differentiable"})


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the generator and the critic."""
    return [
        ModelSpec(
            name="stylegan2",
            kind="generator",
            summary="StyleGAN2: styles that can be mixed and truncated, noise in every layer; loads published weights.",
            license="Apache-2.0",
            factory="ganart_stylegan2.generator:StyleGan2",
            config="ganart_stylegan2.config:GeneratorConfig",
            options="ganart_stylegan2.config:GeneratorOptions",
            capabilities=_CAPABILITIES,
            paper=_PAPER,
        ),
        ModelSpec(
            name="stylegan2_critic",
            kind="critic",
            summary="Residual blocks and minibatch standard deviation, with one vote per picture.",
            license="Apache-2.0",
            factory="ganart_stylegan2.critic:StyleGan2Critic",
            config="ganart_stylegan2.config:CriticConfig",
            capabilities=_CAPABILITIES,
            paper=_PAPER,
        ),
    ]
