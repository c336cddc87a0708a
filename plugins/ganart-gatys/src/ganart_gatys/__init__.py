"""Neural style transfer by optimisation for ganart-zoo. Torch-free: the model is imported when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Use, hookimpl

__all__ = ["ganart_models"]


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the one model, `gatys`."""
    return [
        ModelSpec(
            name="gatys",
            kind="style_transfer",
            summary="Repaints a photo in the style of any pictures by optimising its pixels (Gatys et al. 2016).",
            license="Apache-2.0",
            factory="ganart_gatys.model:Gatys",
            config="ganart_gatys.config:Config",
            options="ganart_gatys.config:Options",
            capabilities=frozenset({"image_styles", "regions", "init", "temporal"}),
            uses={
                "backbone": Use(
                    "backbone",
                    default="ganart-backbones/efficientnet_lite0",
                    summary="Its features define content and style.",
                )
            },
            paper="https://arxiv.org/abs/1508.06576",
        )
    ]
