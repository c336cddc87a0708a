"""FrozenOil for ganart-zoo. Torch-free: the network is imported when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models"]

_START = Weights(
    "start",
    files=(
        WeightsFile(
            package="frozen-oil:frozen_oil/weights/start.safetensors",
            sha256="e7acdd6773ec85112a1319d421b348fbc82247bcb3d128af642aed846076f2e8",
            size=2_092,
            license="MIT",
            training_data="none",
            source="drawn by ganart new; see start.md beside the file",
        ),
    ),
    config={"width": 8},
    summary="first values, not trained; installed with this plugin",
)


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the model."""
    return [
        ModelSpec(
            name="frozen_oil",
            kind="style_transfer",
            summary="Gives a photo the colours of a style picture.",
            capabilities=frozenset({"image_styles", "differentiable"}),
            options="frozen_oil.config:Options",
            license="MIT",
            factory="frozen_oil.model:FrozenOil",
            config="frozen_oil.config:Config",
            weights=(_START,),
        )
    ]
