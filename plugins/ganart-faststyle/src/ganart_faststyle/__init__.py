"""Feed-forward style transfer for ganart-zoo. Torch-free: a model loads when it is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, RecipeSpec, Use, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models", "ganart_recipes"]


_PHOTOS = "2,830 crops of Debian's wallpapers and of scikit-image's astronaut, coffee and rocket, not given on; "
_STYLES = (
    "brick",
    "cafe_terrace",
    "church_auvers",
    "grass",
    "great_wave",
    "ink_hatching",
    "mosaic",
    "night_cafe",
    "paper_cut",
    "pointillism",
    "stained_glass",
    "starry_night",
)
_TWELVE = Weights(
    "twelve",
    files=(
        WeightsFile(
            package="ganart-faststyle:ganart_faststyle/weights/multistyle.safetensors",
            sha256="8077df9c9d301208d78c2f9e3c8646ca9b6ff11136b5a0bb8f551edd87646d2a",
            size=1_428_056,
            license="Apache-2.0",
            training_data=_PHOTOS + "styles: paintings by Vincent van Gogh and Hokusai (public domain), two textures, "
            "and drawings of this project",
            source="trained by this project: the card multistyle.md lies beside the file",
        ),
    ),
    config={"style_names": _STYLES, "channels": (8, 32, 64), "blocks": 4, "expand": (32, 8), "skips": True},
    summary="twelve styles; installed with this plugin",
)
_ANY = Weights(
    "any",
    files=(
        WeightsFile(
            package="ganart-faststyle:ganart_faststyle/weights/adain.safetensors",
            sha256="397b1babdd4a70f5fc8feba4071d1089c50a78d4d9871eb61f88e87cb9100fa4",
            size=1_567_796,
            license="Apache-2.0",
            training_data=_PHOTOS + "styles: paintings by Vincent van Gogh and Hokusai (public domain), two textures, "
            "drawings of this project, and crops of the wallpapers",
            source="trained by this project: the card adain.md lies beside the file",
        ),
    ),
    summary="paints in any style; installed with this plugin",
)


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
            weights=[_TWELVE],
            style_names=_STYLES,
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
            weights=(_ANY,),
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
