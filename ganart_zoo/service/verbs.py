"""The verbs that jobs can run: which function does each, and its arguments, read from the function itself."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ganart_zoo.contract.errors import SettingsError, did_you_mean
from ganart_zoo.registry.settings import check_values

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ganart_zoo.contract.events import OnStep
    from ganart_zoo.registry import Zoo

__all__ = ["VERBS", "Verb", "find_verb"]


@dataclass(frozen=True)
class Verb:
    """One verb."""

    name: str
    function: str
    """`"module:name"`. Its first parameter is a zoo, or a generator that is loaded for it."""
    summary: str
    kind: str | None = None
    """The kind of model that the argument `model` names."""
    produces: str = "pictures"
    """`"picture"`, `"pictures"`, `"animation"` (a file or a folder), `"folder"`, `"report"` or `"scores"`."""
    documents: tuple[str, ...] = ()
    """Other objects whose docstrings describe arguments."""
    keeps: bool = True
    """Whether work that is stopped returns the best so far; else there is no result."""
    suffix: str = ""
    """Where the function cannot do without an output: the suffix of the one that a job chooses."""
    hidden: tuple[str, ...] = ()
    """Parameters that only Python can give."""

    def load(self) -> Callable[..., Any]:
        """Return the function. Imports torch."""
        module, _, name = self.function.partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found

    @cached_property
    def loads_generator(self) -> bool:
        """Whether the function takes a loaded generator in place of a zoo. Imports torch."""
        return next(iter(inspect.signature(self.load()).parameters)) == "generator"

    @cached_property
    def reports_steps(self) -> bool:
        """Whether the function takes `on_step`. Imports torch."""
        return "on_step" in inspect.signature(self.load()).parameters

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """A model of the arguments, whose JSON Schema describes them. Imports torch."""
        return _arguments(self)

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        """The names of the arguments that are one picture."""
        return tuple(name for name, field in self.arguments.model_fields.items() if _is_picture(field))

    def check(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that were given, converted from what JSON brings.

        Raises:
            SettingsError: An argument is unknown, missing or not valid; one line says which.
        """
        checked = check_values(self.arguments, request, self.name)
        return {name: getattr(checked, name) for name in request}

    def call(self, zoo: Zoo, arguments: Mapping[str, Any], on_step: OnStep | None = None) -> Any:
        """Do the work with checked arguments; errors are those of the function."""
        given = dict(arguments)
        if self.reports_steps:
            given["on_step"] = on_step
        if "recipe" in given and isinstance(given.get("config"), Mapping):
            recipe = zoo.recipe_settings(given["recipe"])
            given["config"] = check_values(recipe.config_class, given["config"], recipe.entry.canonical)
        if not self.loads_generator:
            return self.load()(zoo, **given)
        from ganart_zoo.running.generators import load_generator

        how: Any = {name: given.pop(name) for name in _LOAD_OPTIONS if name in given}
        if "fetch" in how and "fetch" in inspect.signature(self.load()).parameters:
            given["fetch"] = how["fetch"]
        return self.load()(load_generator(zoo, given.pop("model"), **how), **given)


VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "stylize",
            "ganart_zoo.tasks.stylize:stylize",
            "Restyle a picture.",
            kind="style_transfer",
            produces="picture",
            documents=("ganart_zoo.running.stylists:Stylizer", "ganart_zoo.running.stylists:Stylizer.__call__"),
        ),
        Verb(
            "dream",
            "ganart_zoo.tasks.dream:dream",
            "Exaggerate what a network sees in a picture.",
            kind="style_transfer",
            produces="picture",
            documents=(
                "ganart_zoo.tasks.dream:Dreamer",
                "ganart_zoo.running.stylists:Stylizer",
                "ganart_zoo.running.stylists:Stylizer.__call__",
            ),
        ),
        Verb(
            "zoom",
            "ganart_zoo.tasks.dream:zoom",
            "Make an animation into a dream of a picture.",
            kind="style_transfer",
            produces="animation",
            documents=(
                "ganart_zoo.tasks.dream:Dreamer",
                "ganart_zoo.tasks.dream:Dreamer.zoom",
                "ganart_zoo.running.stylists:Stylizer",
            ),
            suffix=".gif",
        ),
        Verb("sample", "ganart_zoo.tasks.sample:sample", "Paint pictures of seeds.", kind="generator"),
        Verb(
            "mix",
            "ganart_zoo.tasks.mix:mix",
            "Paint the pictures of pairs of seeds.",
            kind="generator",
            keeps=False,
        ),
        Verb(
            "interpolate",
            "ganart_zoo.tasks.interpolate:interpolate",
            "Paint the frames on a path through seeds.",
            kind="generator",
            produces="animation",
            suffix=".gif",
        ),
        Verb(
            "project",
            "ganart_zoo.tasks.project:project",
            "Find the latent whose picture is nearest to a given one.",
            kind="generator",
            produces="picture",
        ),
        Verb(
            "imagine",
            "ganart_zoo.tasks.imagine:imagine",
            "Paint a prompt: propose pictures, score them, keep and refine the best.",
            kind="generator",
        ),
        Verb("rank", "ganart_zoo.tasks.rank:rank", "Score pictures with a critic.", kind="critic", produces="scores"),
        Verb(
            "evaluate",
            "ganart_zoo.tasks.evaluate:evaluate",
            "Measure a generator's pictures against real ones.",
            kind="generator",
            produces="report",
            keeps=False,
        ),
        Verb(
            "prompt_accuracy",
            "ganart_zoo.tasks.prompt_accuracy:prompt_accuracy",
            "Measure how often a picture's own prompt ranks first.",
            kind="generator",
            produces="report",
        ),
        Verb(
            "reproduce",
            "ganart_zoo.tasks.reproduce:reproduce",
            "Make a picture again from its record, and compare.",
            produces="report",
        ),
        Verb(
            "export",
            "ganart_zoo.tasks.export:export",
            "Write a run's generator as a package.",
            produces="folder",
            keeps=False,
        ),
        Verb(
            "train",
            "ganart_zoo.tasks.train:train",
            "Train a generator against a critic.",
            produces="folder",
            hidden=("metric",),
        ),
        Verb(
            "train_recipe",
            "ganart_zoo.tasks.train:train_recipe",
            "Train by any recipe.",
            produces="folder",
            documents=("ganart_zoo.tasks.train:prepare",),
            hidden=("metric",),
        ),
    )
}
"""The verbs by name."""


def find_verb(name: str) -> Verb:
    """Return a verb by its name.

    Raises:
        SettingsError: There is none; the message names near misses.
    """
    if isinstance(name, str) and name in VERBS:
        return VERBS[name]
    near = did_you_mean(str(name), VERBS) or f"; there are {', '.join(VERBS)}"
    raise SettingsError(f"task {name!r:.60} is unknown{near}")


# -- arguments, read from a signature

_LOAD_OPTIONS = ("settings", "weights", "device", "dtype", "fetch")
_PICTURE = "ganart-picture"


def _arguments(verb: Verb) -> type[BaseModel]:
    from pydantic import ConfigDict, Field, create_model

    function = verb.load()
    own = inspect.signature(function)
    texts: dict[str, str] = {}
    for path in (*reversed(verb.documents), verb.function):
        module, _, name = path.partition(":")
        texts |= _argument_texts(_attribute(importlib.import_module(module), name).__doc__ or "")
    fields: dict[str, Any] = {}
    first = next(iter(own.parameters))
    parameters = [own.parameters[name] for name in own.parameters if name != first]
    open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters)
    if verb.function.endswith("train_recipe"):  # its other arguments are those of `prepare`
        prepare = inspect.signature(_attribute(importlib.import_module("ganart_zoo.tasks.train"), "prepare"))
        parameters += [one for name, one in prepare.parameters.items() if name not in own.parameters]
        open_ended = False
    if verb.loads_generator:
        fields["model"] = (str | Path, Field(description="The generator: a name, or the folder of a run."))
    for one in parameters:
        if one.name == "on_step" or one.kind is one.VAR_KEYWORD or one.name in verb.hidden:
            continue
        default = ... if one.default is one.empty else one.default
        if one.name == "output" and verb.suffix:
            default = None
        annotation = _evaluate(one.annotation, function)
        if default is None:
            annotation = annotation | None
        fields[one.name] = (annotation, Field(default, description=texts.get(one.name, "")))
    if open_ended or verb.loads_generator:
        for name, (annotation, default, text) in _how().items():
            fields.setdefault(name, (annotation, Field(default, description=text)))
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    made: type[BaseModel] = create_model(f"{verb.name.title().replace('_', '')}Arguments", __config__=config, **fields)
    return made


def _how() -> dict[str, tuple[Any, Any, str]]:
    return {
        "settings": (
            typing.Mapping[str, Any] | None,
            None,
            "By name: the model's config, the models it uses, and the options of its calls.",
        ),
        "weights": (str | Path | None, "default", "A variant, a file, or null for an untrained model."),
        "device": (str, "cpu", "Where the model computes."),
        "dtype": (_dtype() | None, None, "The compute type; null means float32."),
        "fetch": (bool, False, "Download missing weights."),
    }


def _evaluate(annotation: Any, function: Callable[..., Any]) -> Any:
    """Return an annotation as pydantic reads it: pictures, styles and critics also in the form that JSON has."""
    if not isinstance(annotation, str):
        return annotation
    unwrapped = inspect.unwrap(function)
    known = {
        "os": os,
        "Any": Any,
        "Path": Path,
        "Mapping": typing.Mapping,
        **unwrapped.__globals__,
        **_wire_types(),
    }
    known |= {"Sequence": _SEVERAL, "Iterable": _SEVERAL, "Files": _SEVERAL[str | Path]}
    for python_only in (" | LoadedGenerator", " | LoadedCritic"):
        annotation = annotation.replace(python_only, "")
    return eval(annotation.replace("os.PathLike[str]", "Path"), known)  # source text of our own modules


class _Several:
    """`_SEVERAL[T]`: a sequence of T, or one T alone."""

    def __getitem__(self, item: Any) -> Any:
        from pydantic import BeforeValidator

        return Annotated[typing.Sequence[item], BeforeValidator(_as_list)]


_SEVERAL = _Several()


def _as_list(value: Any) -> Any:
    alone = isinstance(value, (str, bytes, os.PathLike, Mapping)) or _has_pixels(value)
    return [value] if alone or (value is not None and not isinstance(value, Sequence)) else value


def _has_pixels(value: Any) -> bool:
    """Say whether a value is a tensor, an array or a Pillow image."""
    return hasattr(value, "shape") or hasattr(value, "getexif")


def _wire_types() -> dict[str, Any]:
    """Return what stands for types that JSON does not have."""
    from pydantic import BeforeValidator, WithJsonSchema

    from ganart_zoo.running.panel import CriticChoice
    from ganart_zoo.running.stylists import StyleInput

    picture = Annotated[
        Any,
        BeforeValidator(_picture),
        WithJsonSchema({"type": "string", "format": _PICTURE, "description": "A picture: a file, or its bytes."}),
    ]
    part = {"anyOf": [{"type": "string", "format": _PICTURE}, {"type": "null"}]}
    style = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "image": part,
            "name": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "Of a learned style."},
            "weight": {"type": "number", "default": 1.0, "description": "Its share."},
            "region": {**part, "description": "A mask over the content, white where this style goes."},
            "source_region": {**part, "description": "A mask over the style picture, white where it is taken from."},
        },
    }
    critic = {
        "type": "object",
        "additionalProperties": False,
        "required": ["model"],
        "properties": {
            "model": {"type": "string"},
            "weight": {"type": "number", "default": 1.0},
            "settings": {"anyOf": [{"type": "object"}, {"type": "null"}]},
        },
    }
    backbone = {"anyOf": [{"type": "string"}, {"type": "object"}]}
    return {
        "Picture": picture,
        "StyleInput": Annotated[Any, BeforeValidator(_dataclass(StyleInput, "a style")), WithJsonSchema(style)],
        "CriticChoice": Annotated[Any, BeforeValidator(_dataclass(CriticChoice, "a critic")), WithJsonSchema(critic)],
        "BackboneChoice": Annotated[Any, WithJsonSchema(backbone)],
        "TrainConfig": Annotated[Any, BeforeValidator(_train_config), WithJsonSchema({"type": "object"})],
        "RunSettings": Annotated[Any, WithJsonSchema({"type": "object"})],
    }


def _dataclass(kind: type[Any], what: str) -> Callable[[Any], Any]:
    """Return a validator that accepts an instance, or a mapping of its fields."""

    def convert(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"expected {what}")
        names = [name for name in kind.__dataclass_fields__ if name != "loaded"]
        for name in value:
            if name not in names:
                raise ValueError(f"{what} has no {name!r}{did_you_mean(str(name), names)}")
        given = dict(value)
        if "weight" in given:
            given["weight"] = float(given["weight"])
        return kind(**given)

    return convert


def _train_config(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    from ganart_zoo.training import TrainConfig

    return check_values(TrainConfig, value, "config")


def _picture(value: Any) -> Any:
    """Accept what tasks accept as a picture, by its type alone."""
    if isinstance(value, (str, bytes, os.PathLike)) or _has_pixels(value):
        return value
    raise ValueError("expected a picture: a file, its bytes, a Pillow image, an array or a tensor")


def _dtype() -> Any:
    import torch
    from pydantic import BeforeValidator, WithJsonSchema

    names = ("float32", "float64", "bfloat16", "float16")

    def convert(value: Any) -> Any:
        if isinstance(value, torch.dtype):
            return value
        if value in names:
            return getattr(torch, value)
        raise ValueError(f"expected one of {', '.join(names)}")

    return Annotated[Any, BeforeValidator(convert), WithJsonSchema({"enum": list(names)})]


def _is_picture(field: Any) -> bool:
    return any(isinstance(one, str) is False and _PICTURE in repr(one) for one in (field.annotation, *field.metadata))


def _attribute(module: Any, path: str) -> Any:
    for part in path.split("."):
        module = getattr(module, part)
    return module


def _argument_texts(docstring: str) -> dict[str, str]:
    """Return the description of each argument in a docstring of Google's form, as one line."""
    _, _, rest = inspect.cleandoc(docstring).partition("Args:\n")
    block = re.split(r"\n\n|\n(?=\S)", rest, maxsplit=1)[0]
    found: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if match := re.fullmatch(r"    (\w+): (.*)", line):
            name = match[1]
            found[name] = match[2].strip()
        elif name and line.startswith("        "):
            found[name] += f" {line.strip()}"
    return {key: text.replace("`", "") for key, text in found.items()}
