"""DCGAN for ganart-zoo: a small generator and its critic. Torch-free: the networks are imported when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models"]

_PAPER = "https://arxiv.org/abs/1511.06434"
_CAPABILITIES = frozenset({"unconditional", "labels", "trainable", "differentiable"})
_GARMENTS = Weights(
    "garments",
    files=(
        WeightsFile(
            package="ganart-dcgan:ganart_dcgan/weights/garments.safetensors",
            sha256="677503f3dfa71ab8442f2926e878f33e9f50b84ec79e36c0af2709e6729bd62d",
            size=2_725_246,
            license="Apache-2.0",
            training_data="10,000 pictures of Fashion-MNIST (MIT licence, Xiao et al. 2017), enlarged to 32 pixels",
            source="trained by this project; see the card garments.md beside the file",
        ),
    ),
    config={
        "resolution": 32,
        "width": 24,
        "class_names": [
            "T-shirt",
            "trousers",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ],
    },
    summary="garments of ten classes at 32 pixels; installed with this plugin",
)


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the generator and the critic."""
    return [
        ModelSpec(
            name="dcgan",
            kind="generator",
            summary="DCGAN: transposed convolutions and batch norm. Small and fast; works with or without classes.",
            license="Apache-2.0",
            factory="ganart_dcgan.generator:Generator",
            config="ganart_dcgan.config:GeneratorConfig",
            capabilities=_CAPABILITIES,
            weights=(_GARMENTS,),
            paper=_PAPER,
        ),
        ModelSpec(
            name="dcgan_critic",
            kind="critic",
            summary="Strided convolutions with one vote per picture; classes are conditioned on by projection.",
            license="Apache-2.0",
            factory="ganart_dcgan.critic:Critic",
            config="ganart_dcgan.config:CriticConfig",
            capabilities=_CAPABILITIES,
            paper=_PAPER,
        ),
    ]
