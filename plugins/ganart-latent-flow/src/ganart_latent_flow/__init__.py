"""Text to picture by a small latent flow, for ganart-zoo. Torch-free: the networks load when a model is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, RecipeSpec, Use, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models", "ganart_recipes"]

_TRAINED = Use("generator", default="ganart-latent-flow/latent_flow")

_EMOJI = Weights(
    "emoji",
    files=(
        WeightsFile(
            package="ganart-latent-flow:ganart_latent_flow/weights/emoji.safetensors",
            sha256="a9c1550e3e64de54baf3103d2a8efcbc11a4e64874b35fa7b34c8be75b30900a",
            size=10_001_800,
            license="Apache-2.0",
            training_data="6,550 emoji in four styles: Noto (Apache-2.0, Google), Fluent flat and 3D (MIT, Microsoft), "
            "Twemoji (CC BY 4.0, (c) Twitter, Inc. and other contributors); names from emojibase-data (MIT)",
            source="trained by this project: the card emoji.md lies beside the file",
        ),
    ),
    config={
        "resolution": 64,
        "patch": 4,
        "width": 256,
        "layers": 4,
        "heads": 4,
        "expansion": 3.0,
        "draft": 1024,
        "buckets": 8192,
        "word_width": 96,
        "text_layers": 1,
    },
    summary="emoji of four styles at 64 pixels; installed with this plugin",
)
_SCENES = Weights(
    "scenes",
    files=(
        WeightsFile(
            package="ganart-latent-flow:ganart_latent_flow/weights/scenes.safetensors",
            sha256="a25db0a1b58f4471035381f255c88eaa13df2bb11fe69f62f5833f1a90a5db45",
            size=5_989_208,
            license="Apache-2.0",
            training_data="120,000 scenes drawn by ganart_latent_flow.scenes of this project",
            source="trained by this project: the card scenes.md lies beside the file",
        ),
    ),
    config={
        "resolution": 64,
        "patch": 2,
        "width": 192,
        "layers": 5,
        "heads": 4,
        "expansion": 3.0,
        "draft": 192,
        "buckets": 1024,
        "word_width": 64,
        "text_layers": 2,
    },
    summary="drawn scenes such as 'two red circles left of a blue square', at 64 pixels; installed with this plugin",
)


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the model."""
    return [
        ModelSpec(
            name="latent_flow",
            kind="generator",
            summary="Paints what a prompt asks for: rectified flow on an autoencoder's latents, with a text encoder.",
            license="Apache-2.0",
            factory="ganart_latent_flow.model:LatentFlow",
            config="ganart_latent_flow.config:Config",
            options="ganart_latent_flow.config:Options",
            capabilities=frozenset({"unconditional", "prompt", "init", "trainable", "differentiable"}),
            weights=(_EMOJI, _SCENES),
            paper="https://arxiv.org/abs/2209.03003",
        ),
    ]


@hookimpl
def ganart_recipes() -> list[RecipeSpec]:
    """Return the recipes of the model's three parts."""
    return [
        RecipeSpec(
            name="latent-autoencoder",
            summary="Trains the autoencoder of latent_flow to rebuild pictures.",
            license="Apache-2.0",
            factory="ganart_latent_flow.recipes:LatentAutoencoder",
            config="ganart_latent_flow.training_config:AutoencoderConfig",
            uses={"backbone": Use("backbone", default="ganart-backbones/efficientnet_lite0")},
            networks={"generator": _TRAINED},
            main="generator",
            pretrained=("generator",),
        ),
        RecipeSpec(
            name="latent-flow",
            summary="Trains latent_flow to paint captions; its autoencoder stays as it is.",
            license="Apache-2.0",
            factory="ganart_latent_flow.recipes:LatentFlowRecipe",
            config="ganart_latent_flow.training_config:FlowConfig",
            networks={"generator": _TRAINED},
            main="generator",
            pretrained=("generator",),
        ),
        RecipeSpec(
            name="latent-upscaler",
            summary="Trains the upscaler of latent_flow on pictures of four times the side of its own.",
            license="Apache-2.0",
            factory="ganart_latent_flow.enlarging:LatentUpscaler",
            config="ganart_latent_flow.training_config:UpscalerConfig",
            networks={"generator": _TRAINED},
            main="generator",
            pretrained=("generator",),
        ),
    ]
