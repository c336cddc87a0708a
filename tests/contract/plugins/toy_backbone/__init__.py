"""A backbone of three convolutions and a class head."""

from ganart_zoo import ModelSpec, hookimpl


@hookimpl
def ganart_models():
    return [
        ModelSpec(
            name="tiny",
            kind="backbone",
            summary="Three convolutions.",
            license="Apache-2.0",
            factory="toy_backbone.model:Tiny",
            capabilities={"differentiable"},
        ),
    ]
