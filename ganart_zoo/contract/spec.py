"""What a plugin declares: models, their published weights, and the models they are built on. Torch-free.

Constructing a declaration never raises: constructors normalise their arguments, and `problems()` lists what is wrong,
one line each. The registry can therefore judge each spec alone, and a bad spec does not disable the others of its
plugin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ganart_zoo.contract.declarations import (
    as_items,
    as_mapping,
    line_problems,
    name_problems,
    path_problems,
    repeated,
    text_problems,
)
from ganart_zoo.contract.errors import did_you_mean

__all__ = ["CAPABILITIES", "KINDS", "RESERVED_SETTINGS", "STABILITIES", "ModelSpec", "Use", "Weights", "WeightsFile"]

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "generator": "turns latents, and labels or a prompt, into pictures",
        "critic": "scores pictures: higher is more real, or nearer to the prompt",
        "style_transfer": "restyles or dreams a photo",
        "backbone": "features of a picture at named layers",
    }
)

CAPABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "unconditional": "works without any condition",
        "labels": "takes class labels",
        "prompt": "takes text prompts",
        "reference": "takes reference pictures",
        "init": "can start from a given picture",
        "trainable": "can be trained by ganart_zoo.training",
        "differentiable": "gradients reach its inputs",
        "image_styles": "takes any picture as the style",
        "named_styles": "has learned styles with names",
        "no_style": "works without a style (dreams)",
        "regions": "styles can be confined to masks",
        "temporal": "can keep what it painted on the frame before",
    }
)

STABILITIES = ("stable", "beta", "prototype")
"""How much of a model may change in the next release: nothing that breaks users, details, or anything."""

RESERVED_SETTINGS = frozenset({"model", "part", "weights", "device", "dtype", "fetch", "rng", "on_step", "trusted"})
"""Names of arguments of `Zoo.create` and of model calls; no config field, option or `uses` key may have them."""

FORMATS = ("safetensors", "torch")

FOLDER_SUFFIXES = (".safetensors", ".json", ".txt", ".model")
"""Suffixes of the files of a `ModelSpec.folder`: tensors, configurations and vocabularies, never code or pickles."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class WeightsFile:
    """One published file of weights.

    Give either `urls`, which are tried in order, or `package`. A file with `urls` but without a full sha256 is never
    downloaded: a message says where it is published, and the user passes the file as `weights=PATH`.
    """

    name: str = "model"
    """The file's role in its variant; `Model.load_weights` gets `{name: path}`."""
    urls: Sequence[str] = ()
    package: str | None = None
    """`"distribution:path/inside"` for a file that an installed distribution carries."""
    sha256: str | None = None
    """All 64 hex digits."""
    size: int | None = None
    """Bytes."""
    format: str = "safetensors"
    """`"safetensors"`, or `"torch"`, which is read with `torch.load(weights_only=True)` and nothing else."""
    license: str = ""
    """SPDX expression."""
    training_data: str = ""
    source: str = ""
    """Where the file is published and described: a URL or a citation."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "urls", as_items(self.urls))

    def problems(self) -> list[str]:
        """Return what is wrong with the declaration, one line each."""
        where = f"weights file {self.name!r}"
        found = text_problems(self, where, "name", "format", "license", "training_data", "source")
        if isinstance(self.name, str) and not _FILE_NAME.fullmatch(self.name):
            found.append(f"{where}: name must be letters, digits and . _ + -")
        if bool(self.urls) == (self.package is not None):
            found.append(f"{where}: give either urls or package")
        found += [
            f"{where}: url {url!r} must start with https://, http:// or file://"
            for url in self.urls
            if not (isinstance(url, str) and url.startswith(("https://", "http://", "file://")))
        ]
        if self.package is not None and not (
            isinstance(self.package, str) and all(part.strip() for part in self.package.partition(":"))
        ):
            found.append(f"{where}: package is {self.package!r}, expected 'distribution:path/inside'")
        if self.sha256 is not None and not (isinstance(self.sha256, str) and _SHA256.fullmatch(self.sha256)):
            found.append(f"{where}: sha256 is {self.sha256!r}, expected all 64 lower-case hex digits")
        if self.size is not None and not (isinstance(self.size, int) and self.size >= 0):
            found.append(f"{where}: size is {self.size!r}, expected a number of bytes")
        if self.format not in FORMATS:
            found.append(f"{where}: format is {self.format!r}, expected one of {', '.join(FORMATS)}")
        return found


@dataclass(frozen=True)
class Weights:
    """A named variant: its files, and the config they require, which a caller cannot change."""

    name: str
    files: Sequence[WeightsFile] = ()
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    summary: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", as_items(self.files))
        object.__setattr__(self, "config", as_mapping(self.config))

    def problems(self) -> list[str]:
        """Return what is wrong with the declaration, one line each."""
        where = f"weights {self.name!r}"
        found = text_problems(self, where, "name", "summary")
        if isinstance(self.name, str) and not _FILE_NAME.fullmatch(self.name):
            found.append(f"{where}: name must be letters, digits and . _ + -")
        if not self.files:
            found.append(f"{where}: files is empty")
        for file in self.files:
            if isinstance(file, WeightsFile):
                found += [f"{where}: {problem}" for problem in file.problems()]
            else:
                found.append(f"{where}: {file!r} is not a WeightsFile")
        names = [file.name for file in self.files if isinstance(file, WeightsFile)]
        found += [f"{where}: two files are named {name!r}" for name in repeated(names)]
        if not isinstance(self.config, Mapping):
            found.append(f"{where}: config is {self.config!r}, expected a mapping")
        return found


@dataclass(frozen=True)
class Use:
    """A model that another one is built on: its kind, and the default used if the caller names none."""

    kind: str
    default: str | None = None
    """A model name, preferably canonical, or None if the caller must choose."""
    summary: str = ""

    def problems(self) -> list[str]:
        """Return what is wrong with the declaration, one line each."""
        found = text_problems(self, "use", "kind", "summary")
        if self.kind not in KINDS:
            found.append(f"use: kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        if self.default is not None and not isinstance(self.default, str):
            found.append(f"use: default is {self.default!r}, expected a model name or None")
        return found


@dataclass(frozen=True)
class ModelSpec:
    """One model that a plugin offers: everything the registry knows about it before importing it.

    Example:
        >>> from dataclasses import replace
        >>> blur = ModelSpec(
        ...     name="blur", kind="style_transfer", summary="Blurs.", license="MIT", factory="mine.model:Blur"
        ... )
        >>> blur.problems()
        []
        >>> replace(blur, kind="filter").problems()
        ["kind is 'filter', expected one of generator, critic, style_transfer, backbone"]
    """

    name: str
    """Lower case, unique in its distribution; `distribution/name` is the canonical name."""
    kind: str
    """One of `KINDS`."""
    summary: str
    """One line for `ganart list`."""
    license: str
    """SPDX expression of the code; each weights file has its own."""
    factory: str
    """`"module:Class"`, called as `factory(config, **uses)`; imported only when the model is created."""
    config: str | None = None
    """`"module:Class"` of a pydantic model in a torch-free module: what is built. None if nothing can be configured."""
    options: str | None = None
    """The same for what one call may change. None if a call has no options."""
    capabilities: Set[str] = frozenset()
    """Names from `CAPABILITIES`, or names that start with `x-`."""
    uses: Mapping[str, Use] = field(default_factory=dict, hash=False)
    """The keyword of the factory -> the kind of model to pass for it."""
    weights: Sequence[Weights] = ()
    """The variants. If the caller names none, the variant named "default" is used, or else the first."""
    paper: str | None = None
    """URL."""
    folder: Sequence[str] = ()
    """Patterns, such as `"unet/*.safetensors"`, of the files in a weights folder of another library's layout.

    `load_weights` then gets all of them by relative path, and reads the folder's configuration itself. Empty: a folder
    holds `*.safetensors`, and this model's settings in `config.json`.
    """
    style_names: Sequence[str] = ()
    """The names of the learned styles, for `named_styles`, so that they are known before the model is built.

    Those of the default weights; empty where they depend on the weights or on the config.
    """
    stability: str = "stable"
    """One of `STABILITIES`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "capabilities", _capabilities(self.capabilities))
        object.__setattr__(self, "uses", as_mapping(self.uses))
        object.__setattr__(self, "weights", as_items(self.weights))
        object.__setattr__(self, "folder", as_items(self.folder))
        object.__setattr__(self, "style_names", as_items(self.style_names))

    def problems(self) -> list[str]:
        """Return what is wrong with the declaration, one line each; an empty list if nothing is."""
        found = name_problems(self.name)
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            found.append(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        found += line_problems(self, "summary", "license")
        found += path_problems(self, required=("factory",), optional=("config", "options"))
        for capability in sorted(self.capabilities, key=str):
            if not isinstance(capability, str) or not (capability in CAPABILITIES or capability.startswith("x-")):
                near = did_you_mean(str(capability), CAPABILITIES)
                found.append(f"capability {capability!r} is unknown; names of your own start with 'x-'{near}")
        found += use_problems(self.uses)
        found += [
            f"folder has the pattern {pattern!r}, expected a relative one that ends in {', '.join(FOLDER_SUFFIXES)}"
            for pattern in self.folder
            if not isinstance(pattern, str)
            or not pattern.endswith(FOLDER_SUFFIXES)
            or pattern.startswith("/")
            or ".." in pattern.split("/")
        ]
        for variant in self.weights:
            found += variant.problems() if isinstance(variant, Weights) else [f"{variant!r} is not a Weights"]
        names = [variant.name for variant in self.weights if isinstance(variant, Weights)]
        found += [f"two weights are named {name!r}" for name in repeated(names)]
        if self.paper is not None and not (
            isinstance(self.paper, str) and self.paper.startswith(("https://", "http://"))
        ):
            found.append(f"paper is {self.paper!r}, expected a URL")
        found += [
            f"style_names has {name!r}, expected names of one line"
            for name in self.style_names
            if not isinstance(name, str) or not name.strip() or "\n" in name
        ]
        if self.style_names and "named_styles" not in self.capabilities:
            found.append("style_names is given without the capability 'named_styles'")
        if self.stability not in STABILITIES:
            near = did_you_mean(str(self.stability), STABILITIES)
            found.append(f"stability is {self.stability!r}, expected one of {', '.join(STABILITIES)}{near}")
        return found


def _capabilities(value: Any) -> frozenset[Any]:
    try:
        return frozenset(as_items(value))
    except TypeError:  # an unhashable item; its text is kept so that problems() can name it
        return frozenset(map(repr, as_items(value)))


def use_problems(uses: Any) -> list[str]:
    """Return what is wrong with a mapping of keyword to `Use`, one line each."""
    if not isinstance(uses, Mapping):
        return [f"uses is {uses!r}, expected a mapping of keyword to Use"]
    found: list[str] = []
    for key, use in uses.items():
        if not isinstance(key, str) or not key.isidentifier():
            found.append(f"uses key {key!r} is not an identifier")
        elif key in RESERVED_SETTINGS:
            found.append(f"uses key {key!r} is reserved; choose another name")
        if isinstance(use, Use):
            found += [f"uses {key!r}: {problem}" for problem in use.problems()]
        else:
            found.append(f"uses {key!r} is {use!r}, expected a Use")
    return found
