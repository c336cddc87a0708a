"""The plugin beside the broken ones, which must not notice them: a generator of one grey, and a style transfer."""

DISTRIBUTION = "healthy"

MODULES = {
    "healthy/__init__.py": """
from ganart_zoo import ModelSpec, hookimpl

@hookimpl
def ganart_models():
    return [
        ModelSpec(name="grey", kind="generator", summary="Grey.", license="MIT", factory="healthy.model:Grey"),
        ModelSpec(name="negative", kind="style_transfer", summary="Inverts.", license="MIT",
                  factory="healthy.model:Negative", capabilities={"no_style"}),
    ]
""",
    "healthy/model.py": """
import torch
from ganart_zoo.contract import Generator, StyleTransfer

class Grey(Generator):
    latent_shape = (1,)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None):
        return torch.full((len(latents), 3, 4, 4), 0.5)

class Negative(StyleTransfer):
    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        return 1 - content
""",
}
