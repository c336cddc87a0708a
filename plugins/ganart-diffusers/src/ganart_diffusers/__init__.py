"""Pipelines of diffusers for ganart-zoo. Torch-free: `diffusers` loads when a generator is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl

__all__ = ["ganart_models"]


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the generator `diffusion`."""
    return [
        ModelSpec(
            name="diffusion",
            kind="generator",
            summary="Stable Diffusion, SDXL, PixArt, Flux and their kin, from a folder of diffusers or the Hub.",
            license="Apache-2.0",
            factory="ganart_diffusers.generator:Diffusion",
            config="ganart_diffusers.config:Config",
            options="ganart_diffusers.config:Options",
            capabilities=frozenset({"prompt", "init"}),
            folder=("model_index.json", "*/*.safetensors", "*/*.json", "*/*.txt", "*/*.model"),
            paper="https://arxiv.org/abs/2112.10752",
        )
    ]
