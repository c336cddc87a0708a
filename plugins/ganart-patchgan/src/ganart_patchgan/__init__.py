"""PatchGAN for ganart-zoo: a critic of patches. Torch-free: the network is imported when it is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl

__all__ = ["ganart_models"]


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the critic."""
    return [
        ModelSpec(
            name="patchgan",
            kind="critic",
            summary="Votes on every patch of a picture of any size; judges texture and detail more than composition.",
            license="Apache-2.0",
            factory="ganart_patchgan.critic:PatchGan",
            config="ganart_patchgan.config:Config",
            capabilities=frozenset({"unconditional", "reference", "trainable", "differentiable"}),
            paper="https://arxiv.org/abs/1611.07004",
        )
    ]
