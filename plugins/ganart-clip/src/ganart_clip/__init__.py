"""CLIP and SigLIP for ganart-zoo. Torch-free: `transformers` loads when a critic is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl

__all__ = ["ganart_models"]


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the critic `clip`."""
    return [
        ModelSpec(
            name="clip",
            kind="critic",
            summary="CLIP or SigLIP from a folder or the Hub: scores pictures against a prompt or a reference picture.",
            license="Apache-2.0",
            factory="ganart_clip.critic:Clip",
            config="ganart_clip.config:Config",
            capabilities=frozenset({"prompt", "reference", "differentiable"}),
            folder=("*.safetensors", "*.json", "*.txt", "*.model"),
            paper="https://arxiv.org/abs/2103.00020",
        )
    ]
