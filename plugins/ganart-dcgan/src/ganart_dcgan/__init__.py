"""DCGAN for ganart-zoo: a small generator and its critic. Torch-free: the networks load when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl

__all__ = ["ganart_models"]

_PAPER = "https://arxiv.org/abs/1511.06434"
_CAPABILITIES = frozenset({"unconditional", "labels", "trainable", "differentiable"})


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the generator and the critic."""
    return [
        ModelSpec(
            name="dcgan",
            kind="generator",
            summary="DCGAN: transposed convolutions and batch norm; small and quick, with or without classes.",
            license="Apache-2.0",
            factory="ganart_dcgan.generator:Generator",
            config="ganart_dcgan.config:GeneratorConfig",
            capabilities=_CAPABILITIES,
            paper=_PAPER,
        ),
        ModelSpec(
            name="dcgan_critic",
            kind="critic",
            summary="Strided convolutions, one vote a picture; classes by projection.",
            license="Apache-2.0",
            factory="ganart_dcgan.critic:Critic",
            config="ganart_dcgan.config:CriticConfig",
            capabilities=_CAPABILITIES,
            paper=_PAPER,
        ),
    ]
