"""Pictures from the patches of one picture, for ganart-zoo. Torch-free: a model loads when it is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl

__all__ = ["ganart_models"]

_PAPER = "https://arxiv.org/abs/2203.11862"


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the models `patches` and `patch_style`."""
    return [
        ModelSpec(
            name="patches",
            kind="generator",
            summary="New pictures with the patches of a reference: variations, other shapes, textures. No weights.",
            license="Apache-2.0",
            factory="ganart_patches.generator:Patches",
            options="ganart_patches.config:GeneratorOptions",
            capabilities={"reference"},
            paper=_PAPER,
        ),
        ModelSpec(
            name="patch_style",
            kind="style_transfer",
            summary="Rebuilds a photo from the patches of a style picture. No weights.",
            license="Apache-2.0",
            factory="ganart_patches.style:PatchStyle",
            options="ganart_patches.config:StyleOptions",
            capabilities={"image_styles", "init"},
            paper=_PAPER,
        ),
    ]
