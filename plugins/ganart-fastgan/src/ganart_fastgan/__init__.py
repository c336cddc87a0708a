"""FastGAN and the projected critic for ganart-zoo. Torch-free: the networks are imported when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Use, hookimpl

__all__ = ["ganart_models"]

_CAPABILITIES = frozenset({"unconditional", "trainable", "differentiable"})


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the generator and the critic."""
    return [
        ModelSpec(
            name="fastgan",
            kind="generator",
            summary="FastGAN: a light network for small data sets; small maps excite the channels of large ones.",
            license="Apache-2.0",
            factory="ganart_fastgan.generator:FastGan",
            config="ganart_fastgan.config:GeneratorConfig",
            capabilities=_CAPABILITIES,
            paper="https://arxiv.org/abs/2101.04775",
        ),
        ModelSpec(
            name="projected_critic",
            kind="critic",
            summary="Votes on a frozen backbone's features, mixed at random over channels and scales.",
            license="Apache-2.0",
            factory="ganart_fastgan.critic:ProjectedCritic",
            config="ganart_fastgan.config:CriticConfig",
            capabilities=_CAPABILITIES,
            uses={
                "backbone": Use(
                    "backbone",
                    default="ganart-backbones/efficientnet_lite0",
                    summary="The frozen network whose features the critic judges.",
                )
            },
            paper="https://arxiv.org/abs/2111.01007",
        ),
    ]
