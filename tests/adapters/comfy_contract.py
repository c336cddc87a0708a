"""The part of ComfyUI's V3 node API that the nodes use, with its names and defaults.

Recorded by hand from `comfy_api/latest/_io.py` of https://github.com/comfyanonymous/ComfyUI at commit 004b1b5b. It
refuses what that refuses:
arguments that an input does not have, nodes whose `execute` lacks an input, and ids that are used twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Input:
    id: str
    display_name: str | None = None
    optional: bool = False
    tooltip: str | None = None
    lazy: bool | None = None
    extra_dict: dict[str, Any] | None = None


@dataclass
class WidgetInput(Input):
    default: Any = None
    socketless: bool | None = None


@dataclass
class IntInput(WidgetInput):
    min: int | None = None
    max: int | None = None
    step: int | None = None
    control_after_generate: bool | None = None
    display_mode: Any = None


@dataclass
class FloatInput(WidgetInput):
    min: float | None = None
    max: float | None = None
    step: float | None = None
    round: float | None = None
    display_mode: Any = None


@dataclass
class StringInput(WidgetInput):
    multiline: bool = False
    placeholder: str | None = None
    dynamic_prompts: bool | None = None


@dataclass
class BooleanInput(WidgetInput):
    label_on: str | None = None
    label_off: str | None = None


@dataclass
class ComboInput(WidgetInput):
    options: list[str] = field(default_factory=list)


@dataclass
class Output:
    id: str | None = None
    display_name: str | None = None
    tooltip: str | None = None
    is_output_list: bool = False


class Image:
    Input = Input
    Output = Output


class Int:
    Input = IntInput


class Float:
    Input = FloatInput


class String:
    Input = StringInput


class Boolean:
    Input = BooleanInput


class Combo:
    Input = ComboInput


@dataclass
class Schema:
    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Input] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    description: str = ""
    is_output_node: bool = False

    def __post_init__(self) -> None:
        ids = [one.id for one in self.inputs]
        assert len(ids) == len(set(ids)), f"ids must be unique: {ids}"


class NodeOutput:
    def __init__(self, *args: Any, ui: Any = None) -> None:
        self.args = args


class ComfyNode:
    @classmethod
    def GET_SCHEMA(cls) -> Schema:  # noqa: N802
        return cls.define_schema()  # type: ignore[attr-defined]
