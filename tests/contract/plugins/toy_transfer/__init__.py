"""A network with named styles, and a dream."""

from ganart_zoo import ModelSpec, Use, hookimpl


@hookimpl
def ganart_models():
    return [
        ModelSpec(
            name="named",
            kind="style_transfer",
            summary="Learned colour turns, blended by weight.",
            license="Apache-2.0",
            factory="toy_transfer.named:Named",
            capabilities={"named_styles", "differentiable"},
        ),
        ModelSpec(
            name="dream",
            kind="style_transfer",
            summary="Climbs the activations of a backbone, alone or towards a guide picture.",
            license="Apache-2.0",
            factory="toy_transfer.dream:Dream",
            options="toy_transfer.config:DreamOptions",
            capabilities={"no_style", "image_styles"},
            uses={"backbone": Use("backbone", default="toy-backbone/tiny")},
        ),
    ]
