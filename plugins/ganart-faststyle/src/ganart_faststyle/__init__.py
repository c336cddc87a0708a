"""Feed-forward style transfer for ganart-zoo. Torch-free: a model loads when it is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, RecipeSpec, Use, hookimpl

__all__ = ["ganart_models", "ganart_recipes"]


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the models `multistyle`, `adain` and `johnson`."""
    return [
        ModelSpec(
            name="multistyle",
            kind="style_transfer",
            summary="Restyles a photo in one pass, in any of the styles a file holds or in a blend of them.",
            license="Apache-2.0",
            factory="ganart_faststyle.multistyle:MultiStyle",
            config="ganart_faststyle.config:MultiStyleConfig",
            options="ganart_faststyle.config:TiledOptions",
            capabilities=frozenset({"named_styles", "differentiable", "trainable"}),
            paper="https://arxiv.org/abs/1610.07629",
        ),
        ModelSpec(
            name="adain",
            kind="style_transfer",
            summary="Restyles a photo in one pass, in the style of any pictures.",
            license="Apache-2.0",
            factory="ganart_faststyle.adain:AdaIN",
            config="ganart_faststyle.config:AdaINConfig",
            options="ganart_faststyle.config:AdaINOptions",
            capabilities=frozenset({"image_styles", "regions", "differentiable", "trainable"}),
            uses={
                "backbone": Use(
                    "backbone",
                    default="ganart-backbones/efficientnet_lite0",
                    summary="Its features take on the statistics of the style's.",
                )
            },
            paper="https://arxiv.org/abs/1703.06868",
        ),
        ModelSpec(
            name="johnson",
            kind="style_transfer",
            summary="Restyles a photo in one pass, in the one style of its weights file.",
            license="Apache-2.0",
            factory="ganart_faststyle.johnson:Johnson",
            config="ganart_faststyle.config:JohnsonConfig",
            options="ganart_faststyle.config:TiledOptions",
            capabilities=frozenset({"no_style", "differentiable", "trainable"}),
            paper="https://arxiv.org/abs/1603.08155",
        ),
    ]


@hookimpl
def ganart_recipes() -> list[RecipeSpec]:
    """Return the recipes `faststyle` and `adain`."""
    return [
        RecipeSpec(
            name="faststyle",
            summary="Trains multistyle on your photos and your style pictures, or adds a style to a trained network.",
            license="Apache-2.0",
            factory="ganart_faststyle.recipe:FastStyle",
            config="ganart_faststyle.training_config:FastStyleConfig",
            uses={
                "backbone": Use(
                    "backbone",
                    default="ganart-backbones/efficientnet_lite0",
                    summary="Its features define content and style.",
                )
            },
            networks={"stylist": Use("style_transfer", default="ganart-faststyle/multistyle")},
            main="stylist",
            paper="https://arxiv.org/abs/1610.07629",
        ),
        RecipeSpec(
            name="adain",
            summary="Trains adain on your photos and your style pictures.",
            license="Apache-2.0",
            factory="ganart_faststyle.adain_recipe:AdaINTraining",
            config="ganart_faststyle.training_config:AdaINTrainingConfig",
            networks={"stylist": Use("style_transfer", default="ganart-faststyle/adain")},
            main="stylist",
            paper="https://arxiv.org/abs/1703.06868",
        ),
    ]
