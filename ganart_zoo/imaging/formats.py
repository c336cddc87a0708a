"""The formats that pictures are written in: by suffix, with what each can hold and what it needs. Torch-free."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ganart_zoo.contract.errors import ImageError, SettingsError

__all__ = ["DEPTHS", "Format", "check_depth", "check_suffix", "format_of", "writable_forms"]

DEPTHS = (8, 16)
"""Bits of each channel."""


class Format(NamedTuple):
    """A format of picture files."""

    name: str
    """Pillow's."""
    longest: int
    """Pixels of the longest side that it can hold."""
    deep: bool = False
    """Whether it can hold 16 bits a channel."""
    streams: bool = False
    """Whether a file is written from strips as they come; else they are collected."""
    needs: str | None = None
    """The module of the extra `ganart-zoo[photos]` that writes it."""


_JPEG, _TIFF = Format("JPEG", 65500), Format("TIFF", 2**31 - 1, deep=True, streams=True, needs="tifffile")
_HEIF = Format("HEIF", 65535, needs="pillow_heif")
_WRITABLE = {
    ".png": Format("PNG", 2**31 - 1, deep=True, streams=True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": Format("WEBP", 16383),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".avif": Format("AVIF", 65536),
    ".heic": _HEIF,
    ".heif": _HEIF,
}


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return the format of a path that `check_suffix` accepts."""
    return _WRITABLE[Path(path).suffix.lower()]


def writable_forms() -> list[str]:
    """Return the suffixes without their dots."""
    return [suffix[1:] for suffix in _WRITABLE]


def check_depth(depth: int) -> int:
    """Return bits of a channel as they are; raise SettingsError where they are neither 8 nor 16."""
    if depth not in DEPTHS:
        raise SettingsError(f"depth is {depth}, expected 8 or 16 bits a channel")
    return depth


def check_suffix(path: str | os.PathLike[str], depth: int = 8) -> None:
    """Raise ImageError if `save` cannot write the suffix of `path` here. Call it before long work.

    Args:
        path: Its suffix says the format.
        depth: Bits of each channel.

    Raises:
        SettingsError: `depth` is neither 8 nor 16.
    """
    check_depth(depth)
    suffix, name = Path(path).suffix, os.fspath(path)
    if suffix.lower() not in _WRITABLE:
        raise ImageError(
            f"{name}: cannot write {repr(suffix) if suffix else 'a file without a suffix'}; "
            f"end the name with one of {', '.join(_WRITABLE)}"
        )
    form = format_of(path)
    if depth > 8 and not form.deep:
        deep = " or ".join(suffix for suffix, one in _WRITABLE.items() if one.deep)
        raise ImageError(f"{name}: {form.name} is written with 8 bits a channel; end the name with {deep} for {depth}")
    if form.needs is not None and importlib.util.find_spec(form.needs) is None:
        package = form.needs.replace("_", "-")
        raise ImageError(f"{name}: writing {form.name} needs {package}; pip install 'ganart-zoo[photos]'")
    if form.name == "AVIF" and not _pillow_writes(form.name):
        raise ImageError(f"{name}: this build of Pillow cannot write AVIF; install Pillow 11.3 or later")


def _pillow_writes(form: str) -> bool:
    Image.init()
    return form in Image.SAVE
