"""ComfyUI nodes, one a model, by ComfyUI's V3 schema.

Put this into a file of `custom_nodes`, such as `custom_nodes/ganart.py`:

    from ganart_zoo.adapters.comfyui import comfy_entrypoint

Pictures are `[n, H, W, 3]` in ComfyUI and `[n, 3, H, W]` here. A node's progress is shown, and cancelling the prompt
stops the work. Models stay loaded from one run to the next; `ComfyNodes.release` drops them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganart_zoo.adapters.fields import FormField, fields_of, settings_from
from ganart_zoo.contract.events import StepEvent
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ComfyNodes", "comfy_entrypoint"]

_CATEGORY = "ganart-zoo"
_KEPT = 4 << 30
_LARGEST_INT = 2**31 - 1


class ComfyNodes:
    """The nodes of a zoo.

    Args:
        zoo: Where models come from; None: all that is installed.
        io: ComfyUI's module `comfy_api.latest.io`; None: it is imported.
    """

    def __init__(self, zoo: Zoo | None = None, io: Any = None) -> None:
        if io is None:
            from comfy_api import latest

            io = latest.io
        self.zoo = Zoo() if zoo is None else zoo
        self._io = io
        self._give_back = self.zoo.models.reserve(_KEPT)
        described = self.zoo.describe()["models"]
        makers = {"style_transfer": self._restyle, "generator": self._paint}
        self.nodes: list[type] = [makers[model["kind"]](model) for model in described if model["kind"] in makers]
        """The classes of the nodes."""

    def release(self) -> None:
        """Drop the models that are kept."""
        self.zoo.release()

    def _restyle(self, model: Mapping[str, Any]) -> type:
        io, can = self._io, model["capabilities"]
        fields = fields_of(model["settings"])
        inputs = [io.Image.Input("content", tooltip="The pictures to restyle.")]
        if "image_styles" in can:
            inputs.append(io.Image.Input("style", optional="no_style" in can, tooltip="The style, or several."))
        elif "named_styles" in can:
            inputs.append(io.String.Input("style_name", default="", tooltip="The name of a learned style."))
        inputs += [self._seed(), self._size(), *map(self._input, fields)]

        def execute(content: Tensor, seed: int, size: int, **given: Any) -> list[Tensor]:
            from ganart_zoo.running.stylists import StyleInput, Stylizer

            pictures, name = given.pop("style", None), given.pop("style_name", "")
            styles = [StyleInput(image=one) for one in _to_zoo(pictures)] if pictures is not None else []
            styles += [StyleInput(name=name)] if name else []
            settings = settings_from(fields, given)
            stylizer = Stylizer(self.zoo, model["name"], styles, seed=seed, size=size, settings=settings)
            contents = _to_zoo(content)
            return [stylizer(one, on_step=_Progress(row, len(contents))).images for row, one in enumerate(contents)]

        return self._node(model, inputs, execute)

    def _paint(self, model: Mapping[str, Any]) -> type:
        io, can = self._io, model["capabilities"]
        fields = fields_of(model["settings"])
        inputs = [self._seed(), io.Int.Input("count", default=1, min=1, max=64, tooltip="How many pictures.")]
        if "prompt" in can:
            inputs.append(io.String.Input("prompt", default="", multiline=True, tooltip="What to paint."))
        if "labels" in can:
            inputs.append(io.String.Input("label", default="", tooltip="A class, by number or name; empty for all."))
        inputs += map(self._input, fields)

        def execute(seed: int, count: int, prompt: str = "", label: str = "", **given: Any) -> list[Tensor]:
            from ganart_zoo.running.generators import load_generator
            from ganart_zoo.tasks.sample import sample

            generator = load_generator(self.zoo, model["name"], settings=settings_from(fields, given))
            classes = [label] if label else None
            made = sample(generator, count, seed=seed, prompt=prompt or None, classes=classes, on_step=_Progress(0, 1))
            return [one[None] for one in made.images]

        return self._node(model, inputs, execute)

    def _node(self, model: Mapping[str, Any], inputs: list[Any], execute: Any) -> type:
        io = self._io
        words = re.sub(r"[^0-9A-Za-z]+", "_", model["name"])
        schema = {
            "node_id": f"Ganart_{words}",
            "display_name": f"{model['short_name']} (ganart-zoo)",
            "category": f"{_CATEGORY}/{model['kind']}",
            "description": f"{model['summary']} Licence of the code: {model['license']}.",
            "inputs": inputs,
        }

        def define_schema(cls: type, /) -> Any:
            return io.Schema(**schema, outputs=[io.Image.Output(display_name="pictures")])

        def run(cls: type, /, **given: Any) -> Any:
            return io.NodeOutput(_to_comfy(execute(**given)))

        members = {"define_schema": classmethod(define_schema), "execute": classmethod(run), "__module__": __name__}
        return type(f"Ganart_{words}", (io.ComfyNode,), members)

    def _seed(self) -> Any:
        return self._io.Int.Input("seed", default=0, min=0, max=2**63 - 1, control_after_generate=True)

    def _size(self) -> Any:
        text = "Long side of the result, in pixels; a smaller picture is not enlarged."
        return self._io.Int.Input("size", default=512, min=16, max=8192, tooltip=text)

    def _input(self, field: FormField) -> Any:
        io, about = self._io, {"tooltip": field.description, "optional": True}
        if field.kind == "switch":
            return io.Boolean.Input(field.name, default=field.default, **about)
        if field.kind == "choice":
            return io.Combo.Input(field.name, options=list(field.choices), default=field.default, **about)
        if field.kind in ("integer", "number"):
            make = io.Int if field.kind == "integer" else io.Float
            least = -_LARGEST_INT if field.least is None else field.least
            most = _LARGEST_INT if field.most is None else field.most
            step = {} if field.step is None else {"step": field.step}
            return make.Input(field.name, default=field.default, min=least, max=most, **step, **about)
        return io.String.Input(field.name, default=field.default, **about)


class _Progress:
    """Shows steps in ComfyUI, and stops where the prompt was cancelled: ComfyUI raises its own exception there."""

    def __init__(self, row: int, rows: int) -> None:
        self._row, self._rows = row, rows
        self._bar: Any = None

    def __call__(self, event: StepEvent) -> bool | None:
        try:
            from comfy.model_management import throw_exception_if_processing_interrupted
            from comfy.utils import ProgressBar
        except ImportError:  # outside ComfyUI
            return None
        throw_exception_if_processing_interrupted()
        if event.total:
            self._bar = self._bar or ProgressBar(event.total * self._rows)
            self._bar.update_absolute(self._row * event.total + event.step)
        return None


def _to_zoo(pictures: Tensor) -> list[Tensor]:
    """Return ComfyUI's `[n, H, W, c]` as pictures `[1, 3, H, W]`."""
    return [one[..., :3].permute(2, 0, 1)[None].float().clamp(0, 1).cpu() for one in pictures]


def _to_comfy(pictures: list[Tensor]) -> Tensor:
    import torch

    return torch.cat([one.detach().float().cpu().clamp(0, 1).permute(0, 2, 3, 1) for one in pictures])


async def comfy_entrypoint() -> Any:
    """Return the extension that ComfyUI asks a custom node for."""
    from comfy_api.latest import ComfyExtension

    class Extension(ComfyExtension):  # type: ignore[misc]
        async def get_node_list(self) -> list[type]:
            return ComfyNodes().nodes

    return Extension()
