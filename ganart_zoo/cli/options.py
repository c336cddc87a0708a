"""The options that several commands share, each with one name and one text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from types import MappingProxyType
from typing import Any, TypeVar

import click

from ganart_zoo.cli.chosen import Chosen, ChosenBackbone, Loading, find_model

__all__ = [
    "PICTURE",
    "backbone_options",
    "class_option",
    "classes_option",
    "depth_option",
    "device_option",
    "fetch_option",
    "force_option",
    "generator_options",
    "json_option",
    "loading_options",
    "max_memory_option",
    "max_pixels_option",
    "output_option",
    "prompt_option",
    "quiet_option",
    "reference_option",
    "result_options",
    "seed_option",
    "set_option",
    "settings_flags",
    "steps_option",
    "weights_option",
]

F = TypeVar("F", bound=Callable[..., Any])

PICTURE = "A .png, .jpg or .webp file."

_DTYPES = ("float32", "bfloat16", "float16", "float64")

_STEPS = "Number of steps."

_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "steps": _STEPS,
        "alpha": "Amount of the style: 0 keeps the photo, 1 applies the style in full.",
        "preserve_colour": "Whether, or how, to keep the photo's colours.",
        "strength": "How much of the start may change: 0 nothing, 1 everything.",
        "truncation": "Variety of the pictures: 1 leaves styles as they are, 0 replaces them by their mean.",
        "guidance": "How closely the picture follows the text.",
        "negative_prompt": "What the picture should not show.",
        "size": "Size of the pictures in pixels: the long side, or WIDTHxHEIGHT where the model takes it.",
    }
)


def settings_flags(*names: str) -> Callable[[F], F]:
    """Add a flag for each of these options of a model; the values stay text until `Loading.check` reads them."""

    def add(command: F) -> F:
        for name in reversed(names):
            flag = f"--{name.replace('_', '-')}"
            text = f"{_FLAGS[name]} Only for models that have this option."
            command = click.option(flag, name, metavar="VALUE", help=text)(command)
        return command

    return add


def output_option(
    text: str, *, metavar: str = "OUT", aliases: tuple[str, ...] = (), required: bool = True, **more: Any
) -> Callable[[F], F]:
    """Add `-o/--output`; `text` says what it may be."""
    names = ("-o", "--output", *aliases)
    return click.option(*names, required=required, metavar=metavar, help=text, **more)


def seed_option(default: int | None = 0) -> Callable[[F], F]:
    """Add `--seed`."""
    text = "Seed of the first picture; each following picture uses the next seed."
    return click.option("--seed", type=int, default=default, show_default=default is not None, help=text)


def steps_option(default: int | None = None, *aliases: str) -> Callable[[F], F]:
    """Add `--steps` for the steps of the task itself."""
    names = ("--steps", *aliases, "steps")
    return click.option(*names, type=int, default=default, show_default=default is not None, help=_STEPS)


class_option = click.option(
    "--class", "label", metavar="CLASS", help="A class, by number or name. Default: the first, where there are classes."
)
classes_option = click.option(
    "--classes", metavar="0,1,…", help="Classes, by number or name; pictures use them in turn. Default: all."
)


def _once(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> str | None:
    if len(values) > 1:
        raise click.BadParameter("it was given more than once, expected one text", ctx, parameter)
    return values[0] if values else None


prompt_option = click.option(
    "--prompt", metavar="TEXT", multiple=True, callback=_once, help="What to paint, for models that take a text."
)
reference_option = click.option(
    "--reference", metavar="PICTURE", help="A picture to resemble, for models that take one."
)
set_option = click.option(
    "--set",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set one of the settings that ganart info MODEL lists. Can be repeated.",
)
weights_option = click.option(
    "--weights",
    default="default",
    show_default=True,
    help="A variant, a file, a folder, hub:…, or none for an untrained model.",
)
device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
dtype_option = click.option("--dtype", type=click.Choice(_DTYPES), help="Compute type. Default: float32.")
fetch_option = click.option("--fetch", is_flag=True, help="Download missing weights.")
force_option = click.option("--force", is_flag=True, help="Replace files that ganart did not make.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show errors only.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")


max_memory_option = click.option(
    "--max-memory",
    metavar="1536MiB|2GiB",
    help="The most memory that the process may take; the picture is then made in tiles where that is needed. "
    "Default: tiles where less than the memory that is free would not do.",
)
depth_option = click.option(
    "--depth",
    type=click.Choice(["8", "16"]),
    default="8",
    show_default=True,
    help="Bits of each channel of the result; 16 for .png and .tif only.",
)
max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Refuse photos of more pixels than this. Default: 134217728.",
)


def result_options(command: F) -> F:
    """Add `--force`, `--quiet` and `--json`."""
    return force_option(quiet_option(json_option(command)))


def loading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a model is loaded; the command gets them as `loading`."""

    def with_loading(
        *arguments: Any,
        pairs: tuple[str, ...],
        weights: str,
        device: str,
        dtype: str | None,
        fetch: bool,
        **options: Any,
    ) -> Any:
        return command(*arguments, loading=Loading(pairs, weights, device, dtype, fetch), **options)

    wrapped: Callable[..., Any] = update_wrapper(with_loading, command)
    for add in (fetch_option, dtype_option, device_option, weights_option, set_option):
        wrapped = add(wrapped)
    return wrapped


def generator_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument RUN_OR_MODEL and the loading options; the command gets them as `chosen`."""

    def with_chosen(*arguments: Any, model: str, loading: Loading, **options: Any) -> Any:
        return command(*arguments, chosen=Chosen(find_model(model), loading), **options)

    wrapped = loading_options(update_wrapper(with_chosen, command))
    return click.argument("model", metavar="RUN_OR_MODEL")(wrapped)


def backbone_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the backbone that compares pictures; the command gets it as `backbone`, and also `side`."""

    def with_backbone(
        *arguments: Any, backbone: str, backbone_weights: str | None, backbone_pairs: tuple[str, ...], **options: Any
    ) -> Any:
        weights = () if backbone_weights is None else (f"weights={backbone_weights}",)
        return command(*arguments, backbone=ChosenBackbone(backbone, (*backbone_pairs, *weights)), **options)

    wrapped: Callable[..., Any] = update_wrapper(with_backbone, command)
    for add in (
        click.option(
            "--side", type=int, help="Side in pixels to scale pictures to. Default: 299 for Inception, else 128."
        ),
        click.option(
            "--backbone-set",
            "backbone_pairs",
            metavar="NAME=VALUE",
            multiple=True,
            help="A setting of the backbone. Can be repeated.",
        ),
        click.option(
            "--backbone-weights",
            metavar="WEIGHTS",
            help="The backbone's: a variant, a file, a folder or hub:….",
        ),
        click.option(
            "--backbone",
            default="ganart-backbones/efficientnet_lite0",
            show_default=True,
            help="The backbone whose features are compared.",
        ),
    ):
        wrapped = add(wrapped)
    return wrapped
