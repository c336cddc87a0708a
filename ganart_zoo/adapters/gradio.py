"""A Gradio app for one model: its inputs, its options as a form, previews while it works, and a button that stops it.

from ganart_zoo import Zoo
from ganart_zoo.adapters.gradio import app
from ganart_zoo.service import Jobs

with Jobs(Zoo()) as jobs:
    app(jobs, "gatys").launch()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from ganart_zoo.adapters.fields import FormField, fields_of, settings_from
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.service import Jobs, message_for_users

__all__ = ["app"]

_PREVIEW = 0.5
_KINDS = {"style_transfer": "stylize", "generator": "sample"}


def app(jobs: Jobs, model: str) -> gr.Blocks:
    """Return the app of a style transfer or a generator.

    Raises:
        GanartError: There is no such model, or it is of another kind.
    """
    entry = jobs.zoo.entry(model)
    if entry.spec.kind not in _KINDS:
        raise SettingsError(f"{entry.canonical} is a {entry.spec.kind}, expected a style_transfer or a generator")
    (described,) = (one for one in jobs.zoo.describe()["models"] if one["name"] == entry.canonical)
    fields = fields_of(described["settings"])
    inputs = _inputs(described)

    with gr.Blocks(title=described["short_name"]) as blocks:
        gr.Markdown(f"# {described['short_name']}\n{described['summary']}")
        with gr.Row():
            with gr.Column():
                components = {name: make() for name, make in inputs.items()}
                with gr.Accordion("Options", open=False):
                    components |= {field.name: _component(field) for field in fields}
                with gr.Row():
                    start, stop = gr.Button("Paint", variant="primary"), gr.Button("Stop")
            with gr.Column():
                gallery = gr.Gallery(label="Pictures", columns=2)
                status = gr.Markdown()
        current = gr.State(None)
        names = list(components)

        def paint(*values: Any) -> Iterator[tuple[Any, str, str | None]]:
            try:
                job = jobs.submit(
                    preview=_PREVIEW, **_request(described, fields, dict(zip(names, values, strict=True)))
                )
                yield [], "waiting", job.id
                for event in job.events():
                    shown = [event.preview] if event.preview is not None else gr.skip()
                    yield shown, f"{event.state}: step {event.step} of {event.total or '?'}", job.id
                yield [one.to_pil() for one in job.pictures()], job.state, None
            except Exception as error:
                raise gr.Error(message_for_users(error)) from error

        def end(id: str | None) -> None:
            if id is not None and id in jobs:
                jobs[id].cancel()

        start.click(paint, list(components.values()), [gallery, status, current], api_name="paint")
        stop.click(end, current, None, queue=False, api_name="stop")
    return blocks


def _inputs(described: Mapping[str, Any]) -> dict[str, Any]:
    can = described["capabilities"]
    made: dict[str, Any] = {}
    if described["kind"] == "style_transfer":
        made["content"] = lambda: gr.Image(label="Photo", type="pil")
        if "image_styles" in can:
            made["style"] = lambda: gr.Image(label="Style", type="pil")
        elif "named_styles" in can:
            made["style_name"] = lambda: gr.Textbox(label="Name of a style")
        made["size"] = lambda: gr.Slider(64, 1024, value=384, step=16, label="Size")
    else:
        made["n"] = lambda: gr.Slider(1, 16, value=4, step=1, label="Pictures")
        if "prompt" in can:
            made["prompt"] = lambda: gr.Textbox(label="Prompt")
    made["seed"] = lambda: gr.Number(value=0, precision=0, label="Seed")
    return made


def _component(field: FormField) -> Any:
    about = {"label": field.name, "info": field.description}
    if field.kind == "switch":
        return gr.Checkbox(value=field.default, **about)
    if field.kind == "choice":
        return gr.Dropdown(list(field.choices), value=field.default, **about)
    if field.kind in ("integer", "number"):
        if field.least is not None and field.most is not None:
            step = field.step or (field.most - field.least) / 100
            return gr.Slider(field.least, field.most, value=field.default, step=step, **about)
        return gr.Number(value=field.default, precision=0 if field.kind == "integer" else None, **about)
    return gr.Textbox(value=field.default, **about)


def _request(described: Mapping[str, Any], fields: tuple[FormField, ...], values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the job for the values of the form."""
    options = {field.name: values.pop(field.name) for field in fields}
    settings = settings_from(fields, options)
    request = {"task": _KINDS[described["kind"]], "model": described["name"], "settings": settings}
    if described["kind"] == "style_transfer":
        style, name = values.pop("style", None), values.pop("style_name", "")
        request["styles"] = [*([style] if style is not None else []), *([{"name": name}] if name else [])]
        if values["content"] is None:
            raise SettingsError("there is no photo; drop one first")
    return {**request, **{name: value for name, value in values.items() if value not in ("", None)}}
