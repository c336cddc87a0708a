"""Critics of picture and text for ganart-zoo. Torch-free: the networks load when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, RecipeSpec, Use, hookimpl

__all__ = ["ganart_models", "ganart_recipes"]

_BACKBONE = Use(
    "backbone", default="ganart-backbones/efficientnet_lite0", summary="What pictures are compared by; it stays frozen."
)
_CLIP_PAPER = "https://arxiv.org/abs/2103.00020"


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the two text critics and the reference critic."""
    return [
        ModelSpec(
            name="text-critic",
            kind="critic",
            summary="Scores pictures against a text prompt: small, differentiable, trained here.",
            license="Apache-2.0",
            factory="ganart_text_critic.critic:TextCritic",
            config="ganart_text_critic.config:CriticConfig",
            capabilities=frozenset({"prompt", "trainable", "differentiable"}),
            paper=_CLIP_PAPER,
        ),
        ModelSpec(
            name="text-critic-report",
            kind="critic",
            summary="Scores pictures against a text prompt for reports; it never chooses what is shown.",
            license="Apache-2.0",
            factory="ganart_text_critic.report:ReportCritic",
            config="ganart_text_critic.config:ReportCriticConfig",
            capabilities=frozenset({"prompt", "trainable", "differentiable"}),
            uses={"backbone": _BACKBONE},
            paper=_CLIP_PAPER,
        ),
        ModelSpec(
            name="reference",
            kind="critic",
            summary="Scores pictures against a reference picture by the features of a classifier; needs no training.",
            license="Apache-2.0",
            factory="ganart_text_critic.reference:Reference",
            config="ganart_text_critic.config:ReferenceConfig",
            capabilities=frozenset({"reference", "differentiable"}),
            uses={"backbone": _BACKBONE},
            paper="https://arxiv.org/abs/1801.03924",
        ),
    ]


@hookimpl
def ganart_recipes() -> list[RecipeSpec]:
    """Return the recipe `text-critic`."""
    return [
        RecipeSpec(
            name="text-critic",
            summary="Trains a text critic on captioned pictures.",
            license="Apache-2.0",
            factory="ganart_text_critic.recipe:TextCriticRecipe",
            config="ganart_text_critic.recipe_config:TextCriticRecipeConfig",
            networks={"critic": Use("critic", default="ganart-text-critic/text-critic")},
            main="critic",
            paper=_CLIP_PAPER,
        )
    ]
