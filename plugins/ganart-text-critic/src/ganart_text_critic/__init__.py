"""Critics of picture and text for ganart-zoo. Torch-free: the networks load when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, RecipeSpec, Use, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models", "ganart_recipes"]

_BACKBONE = Use(
    "backbone", default="ganart-backbones/efficientnet_lite0", summary="What pictures are compared by; it stays frozen."
)


def _trained(name: str, sha256: str, size: int) -> Weights:
    """Weights that this project trained, which the package carries."""
    return Weights(
        "emoji",
        files=(
            WeightsFile(
                package=f"ganart-text-critic:ganart_text_critic/weights/{name}.safetensors",
                sha256=sha256,
                size=size,
                license="Apache-2.0",
                training_data="6,550 captioned emoji (Noto: Apache-2.0; Fluent: MIT; Twemoji: CC BY 4.0, Twitter/X and "
                "contributors; captions: emojibase-data, MIT) and drawn scenes",
                source=f"trained by this project: the card {name}.md lies beside the file",
            ),
        ),
        summary="emoji at 64 pixels and drawn scenes; installed with this plugin",
    )


_EMOJI = _trained("critic", "0b39af95e224670e4d4ef120f8347bed9841bd00f91882e768788afeb7863ad3", 5_351_202)
_EMOJI_REPORT = _trained("report", "a5b40d9e8c12e5d791044e92a53a7dce92fe9d704df94389fc3b30ed7df1b386", 5_386_010)
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
            weights=(_EMOJI,),
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
            weights=(_EMOJI_REPORT,),
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
            pretrained=("critic",),
            paper=_CLIP_PAPER,
        )
    ]
