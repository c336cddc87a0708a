"""What a job will take, told from its request before any model is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.imaging.decode import picture_sides
from ganart_zoo.registry import Zoo
from ganart_zoo.service.limits import Limits
from ganart_zoo.service.verbs import Verb

__all__ = ["check_forecast", "pixels_of"]


def check_forecast(zoo: Zoo, verb: Verb, arguments: Mapping[str, Any], limits: Limits) -> None:
    """Refuse a job that would take more pixels than its limit.

    Raises:
        SettingsError: It would.
        ImageError: A picture cannot be read.
    """
    if limits.pixels is None:
        return
    for name, pixels in pixels_of(zoo, verb, arguments):
        if pixels > limits.pixels:
            raise SettingsError(
                f"{name} has {pixels} pixels to work on, more than the limit of {limits.pixels:g}; "
                "ask for a smaller size"
            )


def pixels_of(zoo: Zoo, verb: Verb, arguments: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the pictures that a job works on, each with its pixels at the size at which it does."""
    shrinks = "size" in verb.arguments.model_fields and verb.kind == "style_transfer"
    size = arguments.get("size", verb.arguments.model_fields["size"].default) if shrinks else None
    for name in verb.pictures:
        given = arguments.get(name)
        several = given if isinstance(given, list) else [] if given is None else [given]
        for picture in several:
            if (sides := _sides(picture)) is not None:
                yield name, _pixels(sides, size if name == "content" else None)
    if verb.kind == "generator":
        if side := _resolution(zoo, arguments):
            yield "a picture", side * side
        if isinstance(side := arguments.get("size"), int):
            yield "a picture", side * side


def _pixels(sides: tuple[int, int], size: int | None) -> int:
    width, height = sides
    long = max(width, height)
    if size is None or long <= size:
        return width * height
    return max(1, round(width * size / long)) * max(1, round(height * size / long))


def _sides(picture: Any) -> tuple[int, int] | None:
    if hasattr(picture, "image"):  # a style
        picture = picture.image
    if picture is None:
        return None
    if hasattr(picture, "getexif"):
        return int(picture.width), int(picture.height)
    if hasattr(picture, "shape"):
        height, width = picture.shape[-2:] if len(picture.shape) == 4 else picture.shape[:2]
        return int(width), int(height)
    if not isinstance(picture, bytes) and Path(picture).is_dir():
        return None
    return picture_sides(picture)


def _resolution(zoo: Zoo, arguments: Mapping[str, Any]) -> int | None:
    """Return the side of a generator's pictures, where its settings or its weights say it."""
    model = arguments.get("model")
    if not isinstance(model, str) or isinstance(model, Path):
        return None
    known = zoo.settings(model)
    settings = arguments.get("settings") or {}
    for name in ("size", "resolution"):
        if isinstance(settings.get(name), int):
            return int(settings[name])
    variant = arguments.get("weights", "default")
    for weights in known.entry.spec.weights:
        if weights.name == variant and "resolution" in weights.config:
            return int(weights.config["resolution"])
    field = known.config_class.model_fields.get("resolution")
    return field.default if field is not None and isinstance(field.default, int) else None
