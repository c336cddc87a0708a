"""A plugin of a generator and critics of text and reference whose best picture is known in closed form."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl


def _spec(name: str, kind: str, capabilities: set[str], **more: object) -> ModelSpec:
    return ModelSpec(
        name=name,
        kind=kind,
        summary="For tests.",
        license="MIT",
        factory=f"ganart_wishes.model:{name.title().replace('_', '')}",
        capabilities=frozenset(capabilities),
        **more,  # type: ignore[arg-type]
    )


@hookimpl
def ganart_models() -> list[ModelSpec]:
    return [
        _spec(
            "flat", "generator", {"unconditional", "prompt", "differentiable"}, options="ganart_wishes.config:Options"
        ),
        _spec("stone", "generator", {"unconditional"}),
        _spec("wild", "generator", {"unconditional", "differentiable"}),
        _spec("bright", "critic", {"unconditional", "differentiable"}),
        _spec("wish", "critic", {"prompt", "differentiable"}),
        _spec("likeness", "critic", {"reference"}),
        _spec("asleep", "critic", {"unconditional"}),
        _spec("lost", "critic", {"unconditional"}),
        _spec("wide", "critic", {"unconditional"}),
    ]
