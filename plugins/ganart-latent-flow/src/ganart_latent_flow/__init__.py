"""Text to picture by a small latent flow, for ganart-zoo. Torch-free: the networks load when a model is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, RecipeSpec, Use, hookimpl

__all__ = ["ganart_models", "ganart_recipes"]

_TRAINED = Use("generator", default="ganart-latent-flow/latent_flow")


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
            paper="https://arxiv.org/abs/2209.03003",
        ),
    ]


@hookimpl
def ganart_recipes() -> list[RecipeSpec]:
    """Return the recipes of the model's two parts."""
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
    ]
