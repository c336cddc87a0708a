"""A plugin of style transfers that a test can hold, let go, hang and break."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl

__version__ = "0.1.0"


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the models."""

    def model(name: str) -> ModelSpec:
        return ModelSpec(
            name=name,
            kind="style_transfer",
            summary=f"{name}.",
            license="MIT",
            factory=f"ganart_busy.model:{name.title()}",
            options="ganart_busy.config:Options",
            capabilities={"no_style"},
        )

    return [model(name) for name in ("steady", "deaf", "fatal", "quick")]
