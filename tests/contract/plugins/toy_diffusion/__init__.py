"""A generator that works in steps."""

from ganart_zoo import ModelSpec, hookimpl


@hookimpl
def ganart_models():
    return [
        ModelSpec(
            name="denoise",
            kind="generator",
            summary="Denoises step by step towards what a prompt means.",
            license="Apache-2.0",
            factory="toy_diffusion.model:Denoise",
            config="toy_diffusion.config:Config",
            options="toy_diffusion.config:Options",
            capabilities={"unconditional", "prompt"},
        ),
    ]
