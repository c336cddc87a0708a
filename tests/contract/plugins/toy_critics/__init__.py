"""Two critics: one projects the features of a backbone, one compares pictures with prompts."""

from ganart_zoo import ModelSpec, Use, hookimpl


@hookimpl
def ganart_models():
    yield ModelSpec(
        name="projected",
        kind="critic",
        summary="A vote for each place of each layer of a backbone.",
        license="Apache-2.0",
        factory="toy_critics.model:Projected",
        config="toy_critics.config:Config",
        capabilities={"unconditional", "trainable", "differentiable"},
        uses={"backbone": Use("backbone", default="toy-backbone/tiny")},
    )
    yield ModelSpec(
        name="prompted",
        kind="critic",
        summary="How near pictures are to a text.",
        license="Apache-2.0",
        factory="toy_critics.model:Prompted",
        capabilities={"prompt", "differentiable"},
        uses={"backbone": Use("backbone", default="toy-backbone/tiny")},
    )
