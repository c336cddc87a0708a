"""Loads a pipeline's parts from a folder, quietly, without ever running code that lies in it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoPipelineForText2Image
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers.utils import logging as transformers_logging

from ganart_zoo.contract import ModelError, WeightsError

__all__ = ["Parts", "read_folder", "untrained"]

_ERRORS = (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError)


@dataclass(frozen=True)
class Parts:
    """What a pipeline is made of."""

    pipeline: type[Any]
    networks: dict[str, nn.Module]
    others: dict[str, Any]
    """Schedulers, tokenizers, settings of the pipeline, and None for parts that it does without."""


def read_folder(folder: Path, *, dtype: torch.dtype, variant: str | None) -> Parts:
    """Return the parts of a saved pipeline.

    Args:
        folder: With `model_index.json`.
        dtype: Of the networks.
        variant: `"fp16"` where only such files are there.

    Raises:
        WeightsError: It cannot be read, or is no pipeline of texts and pictures.
    """
    described(folder)
    try:
        with _quiet():
            loader: Any = AutoPipelineForText2Image
            pipeline = loader.from_pretrained(
                folder,
                dtype=dtype,
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
    except _ERRORS as error:
        raise WeightsError(f"{folder} cannot be loaded: {_line(error)}") from error
    return _parts(pipeline)


def untrained(folder: Path) -> Parts:
    """Return the parts of a pipeline that a folder's configurations describe, the networks with random weights.

    Raises:
        WeightsError: A configuration cannot be read.
        ModelError: It names a class that is not of diffusers or transformers.
    """
    index = described(folder)
    arguments: dict[str, Any] = {}
    for name, where in index.items():
        if name.startswith("_") or not isinstance(where, list):
            continue
        library, class_name = where
        if class_name is None:
            arguments[name] = None
            continue
        try:
            with _quiet():
                arguments[name] = _untrained_part(folder / name, library, class_name)
        except _ERRORS as error:
            raise WeightsError(f"{folder / name} cannot be read: {_line(error)}") from error
    pipeline = getattr(diffusers, index["_class_name"], None)
    if pipeline is None:
        raise ModelError(f"{folder} is a {index['_class_name']}, which this diffusers does not have; update it")
    return _parts(pipeline(**arguments))


def described(folder: Path) -> dict[str, Any]:
    """Return a folder's `model_index.json`.

    Raises:
        WeightsError: It is missing or damaged, or asks for code of its own.
    """
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}; take the pipeline's whole folder") from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise WeightsError(f"{path} names no pipeline of diffusers; pipelines with code of their own are not run")
    return index


def _untrained_part(folder: Path, library: str, class_name: str) -> Any:
    source = {"diffusers": diffusers, "transformers": transformers}.get(library)
    part = getattr(source, class_name, None)
    if part is None:
        raise ModelError(f"{folder}: {library}.{class_name} is not of diffusers or transformers; it is not run")
    if not issubclass(part, nn.Module):
        return part.from_pretrained(folder, local_files_only=True)
    if library == "diffusers":
        return part.from_config(part.load_config(folder, local_files_only=True))
    return part(part.config_class.from_pretrained(folder, local_files_only=True))


def _parts(pipeline: Any) -> Parts:
    networks: dict[str, nn.Module] = {}
    others: dict[str, Any] = {}
    for name, part in pipeline.components.items():
        (networks if isinstance(part, nn.Module) else others)[name] = part
    for name in inspect.signature(type(pipeline).__init__).parameters:
        if name not in pipeline.components and name in pipeline.config:
            others[name] = pipeline.config[name]
    return Parts(type(pipeline), networks, others)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep both libraries from writing to the terminal and from drawing at random, and leave them as they were."""
    before = [(library, library.get_verbosity()) for library in (diffusers_logging, transformers_logging)]
    bars = [library.is_progress_bar_enabled() for library in (diffusers_logging, transformers_logging)]
    try:
        for library, _ in before:
            library.set_verbosity_error()
            library.disable_progress_bar()
        with torch.random.fork_rng(devices=[]):  # they initialise by torch's global generator
            yield
    finally:
        for (library, level), bar in zip(before, bars, strict=True):
            library.set_verbosity(level)
            if bar:
                library.enable_progress_bar()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
