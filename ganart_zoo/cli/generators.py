"""What the commands on generators share: which one, its settings, and where it computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganart_zoo.cli.settings import parse_settings, set_option
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.runs import read_part

if TYPE_CHECKING:
    import torch

    from ganart_zoo.running.generators import LoadedGenerator

__all__ = ["Chosen", "class_list", "generator_options", "model_of", "named", "prompt_option", "seed_list"]

prompt_option = click.option("--prompt", metavar="TEXT", help="What to paint. Where the model takes a text.")

_DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class Chosen:
    """The generator that the command line names. Reading it needs no torch."""

    model: str | Path
    pairs: Sequence[str]
    weights: str
    device: str
    dtype: str | None
    fetch: bool

    def check(self, zoo: Zoo, flags: Mapping[str, str | None] | None = None) -> dict[str, Any]:
        """Return the settings by name, checked as far as they can be before torch is loaded, which takes seconds."""
        name = named(self.model, "generator")
        settings = parse_settings(zoo, name, self.pairs, flags)
        zoo.options(name, **zoo.settings(name).sort(settings)[1])
        return settings

    def load(self, zoo: Zoo, settings: Mapping[str, Any]) -> LoadedGenerator:
        """Load it."""
        from ganart_zoo import native
        from ganart_zoo.running.generators import load_generator

        native.tune_allocator()
        return load_generator(
            zoo,
            self.model,
            settings=settings,
            weights=self.weights,
            device=self.device,
            dtype=_dtype(self.dtype),
            fetch=self.fetch,
        )


def generator_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument RUN_OR_MODEL and the options that say how it is loaded; the command gets them as `chosen`."""

    def with_chosen(
        *arguments: Any,
        model: str,
        pairs: tuple[str, ...],
        weights: str,
        device: str,
        dtype: str | None,
        fetch: bool,
        **options: Any,
    ) -> Any:
        return command(*arguments, chosen=Chosen(model_of(model), pairs, weights, device, dtype, fetch), **options)

    wrapped: Callable[..., Any] = update_wrapper(with_chosen, command)
    for add in (
        click.option("--fetch", is_flag=True, help="Download weights that are missing."),
        click.option("--dtype", type=click.Choice(_DTYPES), help="Compute type; default: float32."),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
        click.option(
            "--weights", default="default", show_default=True, help="The model's: a variant, file, folder or hub:…."
        ),
        set_option,
        click.argument("model", metavar="RUN_OR_MODEL"),
    ):
        wrapped = add(wrapped)
    return wrapped


def model_of(text: str) -> str | Path:
    """Return the `Path` of a run where `text` is a folder with `config.json`, else the name it is.

    Any other folder whose name cannot be a model's is taken for a run too, so that what it lacks is said.
    """
    path = Path(text)
    looks_like_path = text.startswith((".", "/", "~")) or text.endswith("/")
    return path if (path / "config.json").is_file() or (looks_like_path and path.is_dir()) else text


def named(model: str | Path, part: str) -> str:
    """Return the name of the model itself, or of that part of the run."""
    return read_part(model, part).provenance.model if isinstance(model, Path) else model


def class_list(text: str | None) -> list[str] | None:
    """Return what `--classes 0,1` names."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def seed_list(flag: str, text: str) -> list[int]:
    """Return what `--seeds 0,1,5-8` names: whole numbers, and ranges with both ends."""
    seeds: list[int] = []
    for part in class_list(text) or []:
        first, dash, last = part.partition("-")
        try:
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
        except ValueError:
            raise SettingsError(f"{flag} is {text!r}, expected whole numbers such as 0,1,5-8") from None
    return seeds


def _dtype(text: str | None) -> torch.dtype | None:
    import torch

    return None if text is None else getattr(torch, text)
