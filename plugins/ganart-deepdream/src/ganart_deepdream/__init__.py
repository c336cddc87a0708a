"""DeepDream for ganart-zoo. Torch-free: the model is imported when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Use, hookimpl

__all__ = ["ganart_models"]


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the one model, `deepdream`."""
    return [
        ModelSpec(
            name="deepdream",
            kind="style_transfer",
            summary="Exaggerates what a network sees in a photo, alone or towards a guide picture.",
            license="Apache-2.0",
            factory="ganart_deepdream.model:DeepDream",
            config="ganart_deepdream.config:Config",
            options="ganart_deepdream.config:Options",
            capabilities=frozenset({"no_style", "image_styles", "init"}),
            uses={
                "backbone": Use(
                    "backbone",
                    default="ganart-backbones/efficientnet_lite0",
                    summary="The network whose activations are raised.",
                )
            },
            paper="https://research.google/blog/inceptionism-going-deeper-into-neural-networks/",
        )
    ]
