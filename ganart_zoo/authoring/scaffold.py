"""Makes a new plugin package from the templates beside this file: it installs, lists, runs and passes its tests."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import ganart_zoo
from ganart_zoo.authoring.naming import names_of
from ganart_zoo.contract.errors import GanartError, SettingsError, did_you_mean

__all__ = ["NEW_KINDS", "new_package"]

NEW_KINDS = ("generator", "critic", "style_transfer", "backbone", "recipe")
"""What `ganart new` can make: a model of each kind, or a recipe with a model to train."""

_TEMPLATES = Path(__file__).with_name("templates")
_SUFFIX = ".jinja"
_WIDTH = 8
"""Channels of the example networks, which is a number that their weights file and their config must agree on."""


def new_package(name: str, kind: str, *, native: bool = False, parent: Path | None = None) -> Path:
    """Write a complete plugin package into a new folder, and return the folder.

    Args:
        name: The folder's name. That of the distribution, module and model follow from it, see `names_of`.
        kind: One of `NEW_KINDS`.
        native: Whether to add an op in C++ and CUDA, its tests and its benchmark.
        parent: Where to make the folder. None: the current directory.

    Raises:
        SettingsError: The name or the kind is wrong, or there is such a folder already.
        GanartError: The folder cannot be written.
    """
    names = names_of(name)
    if kind not in NEW_KINDS:
        raise SettingsError(f"kind is {kind!r}, expected one of {', '.join(NEW_KINDS)}{did_you_mean(kind, NEW_KINDS)}")
    folder = (Path.cwd() if parent is None else parent) / name
    if folder.exists() or folder.is_symlink():
        raise SettingsError(f"{folder} exists; choose another name, or remove it first")
    start = _weights(kind)
    values: dict[str, Any] = {
        **{key: getattr(names, key) for key in ("distribution", "module", "model", "cls")},
        "kind": kind,
        "native": native,
        "year": date.today().year,
        "api": _api_range(ganart_zoo.__version__),
        "width": _WIDTH,
        "sha256": hashlib.sha256(start).hexdigest(),
        "size": len(start),
        "class_bases": {"style_transfer": "StyleTransfer"}.get(kind, kind.capitalize()),
    }
    try:
        # Made elsewhere and moved, so that no half package is left behind.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as made:
            root = Path(made) / name
            for path, text in _rendered(kind, native, values):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8", newline="\n")
            weights = root / "src" / names.module / "weights" / "start.safetensors"
            weights.parent.mkdir(parents=True, exist_ok=True)
            weights.write_bytes(start)
            shutil.move(root, folder)
    except OSError as error:
        raise GanartError(f"{folder} cannot be made: {error.strerror or error}") from error
    return folder


def _api_range(version: str) -> str:
    major, minor, *_ = version.split(".")
    return f">={major}.{minor},<{major}.{int(minor) + 1}" if major == "0" else f">={major}.{minor},<{int(major) + 1}"


def _rendered(kind: str, native: bool, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each file of the package: its path in the package, and its text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for part in ("common", kind, *(("native",) if native else ())):
        for path in sorted((_TEMPLATES / part).rglob(f"*{_SUFFIX}")):
            inside = path.relative_to(_TEMPLATES / part).as_posix().removesuffix(_SUFFIX)
            inside = inside.replace("MODULE", values["module"]).replace("DOT", ".")
            yield inside, environment.get_template(path.relative_to(_TEMPLATES).as_posix()).render(values)


def _weights(kind: str) -> bytes:
    """Return a safetensors file with the first weights of a kind's example network.

    They are drawn by a formula, so that no two packages differ in them, and torch is not needed to write them.
    """
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "generator": {
            "place": (_WIDTH, 3),
            "latent": (_WIDTH, 4),
            "hidden": (_WIDTH, _WIDTH),
            "colour": (3, _WIDTH),
        },
        "critic": {"first": (_WIDTH, 3, 3, 3), "second": (_WIDTH, _WIDTH, 3, 3), "vote": (1, _WIDTH)},
        "style_transfer": {"first": (_WIDTH, 3, 3, 3), "last": (3, _WIDTH, 3, 3)},
        "backbone": {"first": (_WIDTH, 3, 3, 3), "second": (_WIDTH, _WIDTH, 3, 3)},
        "recipe": {"first": (_WIDTH, 3, 3, 3), "last": (3, _WIDTH, 3, 3)},
    }
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = bytearray()
    state = 1
    for layer, shape in shapes[kind].items():
        inputs = 1
        for extent in shape[1:]:
            inputs *= extent
        gain = {"generator": 2.0, "style_transfer": 0.5, "recipe": 0.1}.get(kind, 1.0)
        for tensor, extents in ((f"{layer}.weight", shape), (f"{layer}.bias", shape[:1])):
            values = []
            for _ in range(inputs * shape[0] if len(extents) > 1 else shape[0]):
                state = (state * 1103515245 + 12345) % 2**31  # the generator of the C standard's example
                values.append((state / 2**30 - 1) * gain * (3 / inputs) ** 0.5)
            begin = len(data)
            data += struct.pack(f"<{len(values)}f", *values)
            header[tensor] = {"dtype": "F32", "shape": list(extents), "data_offsets": [begin, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(data)
