"""A style transfer on a kernel of its own."""

from ganart_zoo import ModelSpec, hookimpl


@hookimpl
def ganart_models():
    return [
        ModelSpec(
            name="negative",
            kind="style_transfer",
            summary="Inverts the picture.",
            license="Apache-2.0",
            factory="toy_kernel.model:Negative",
            capabilities={"no_style", "differentiable"},
        ),
    ]
