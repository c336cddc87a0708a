"""A plugin of generators and a critic whose pictures and votes a test computes by hand."""

from __future__ import annotations

from ganart_zoo import ModelSpec, hookimpl

__version__ = "0.1.0"


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return a plain, a style-based, an iterative and a broken generator, and a critic."""

    def model(name: str, kind: str = "generator", **more: object) -> ModelSpec:
        factory = f"ganart_shapes.model:{name.title()}"
        return ModelSpec(name=name, kind=kind, summary=f"{name}.", license="MIT", factory=factory, **more)

    settings = {"config": "ganart_shapes.config:Config"}
    both = {"unconditional", "labels", "differentiable"}
    return [
        model("flat", capabilities=both, **settings),
        model(
            "bands",
            capabilities={"unconditional", "differentiable"},
            config="ganart_shapes.config:Plain",
            options="ganart_shapes.config:Truncation",
        ),
        model("slow", capabilities={"prompt"}, config="ganart_shapes.config:Plain"),
        model(
            "lettered",
            capabilities={"prompt", "differentiable"},
            config="ganart_shapes.config:Plain",
            options="ganart_shapes.config:Truncation",
        ),
        model("echo", capabilities={"reference"}),
        model("faulty", capabilities={"unconditional"}),
        model("reddest", kind="critic", capabilities=both, **settings),
    ]
