"""A style-based generator."""

from ganart_zoo import ModelSpec, hookimpl


@hookimpl
def ganart_models():
    return [
        ModelSpec(
            name="styled",
            kind="generator",
            summary="Three modulated convolutions.",
            license="Apache-2.0",
            factory="toy_styles.model:Styled",
            config="toy_styles.config:Config",
            options="toy_styles.config:Options",
            capabilities={"unconditional", "labels", "trainable", "differentiable"},
        ),
    ]
