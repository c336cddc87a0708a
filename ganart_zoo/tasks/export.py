"""The verb `export`: a run's model becomes a package to install and publish, and ONNX for use without torch."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from ganart_zoo.contract.digest import file_sha256
from ganart_zoo.contract.errors import ModelError, SettingsError
from ganart_zoo.contract.models import StyleTransfer
from ganart_zoo.contract.spec import ModelSpec, Weights, WeightsFile
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.registry.runs import main_part, run_parts
from ganart_zoo.running.generators import LoadedGenerator
from ganart_zoo.running.outputs import make_folder
from ganart_zoo.running.stylists import LoadedStyleTransfer
from ganart_zoo.tasks.onnx_file import require_onnx, write_onnx
from ganart_zoo.tasks.onnx_networks import Network, network_of
from ganart_zoo.training.card import LICENCE_TO_FILL_IN, without_run_contents

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ganart_zoo.running.loaded import LoadOptions

__all__ = ["Exported", "export", "export_onnx"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_LOADERS: dict[str, type[LoadedGenerator] | type[LoadedStyleTransfer]] = {
    each.kind: each for each in (LoadedGenerator, LoadedStyleTransfer)
}
"""By kind of model."""
_USAGE = {
    "generator": "ganart sample {name} -n 16 -o grid.png",
    "style_transfer": "ganart stylize photo.jpg -m {name} -o painting.png",
}


@dataclass(frozen=True)
class Exported:
    """The result of a call."""

    folder: Path
    """Of the files."""
    files: tuple[Path, ...]
    onnx_error: float | None
    """The largest difference of any value between torch's and onnxruntime's pictures; None without ONNX."""


def export(
    zoo: Zoo, run: Path, folder: Path, *, name: str | None = None, license: str = "", onnx: bool = True
) -> Exported:
    """Write a run's model as a distribution `ganart-<name>` with one model, `<name>`; `pip install` takes it.

    The folder gets `pyproject.toml`, `README.md` (the run's card), `src/ganart_<name>/` with the declaration and the
    weights, and the ONNX file that `export_onnx` describes, `generator.onnx` or `stylist.onnx`. Both are checked: the
    declared model gives the same bits as the run when it loads the weights, and onnxruntime gives the same pictures
    within a thousandth.

    Args:
        zoo: Where the run's model comes from.
        run: The folder of a finished run, of a generator or of a style transfer model.
        folder: The folder to create; its parent exists, and the folder does not, or is empty.
        name: Lower-case letters and digits joined by hyphens; None: the name of the folder.
        license: SPDX expression of the weights' licence, as the data allows.
        onnx: Whether to write ONNX, which needs the extra `onnx`.

    Raises:
        SettingsError: The name is not valid, or the folder is not empty.
        ModelError: `run` is not a run, its model is built on others than its declaration says, ONNX is not installed or
            cannot express the model, or a check failed.
    """
    name = name or folder.resolve().name.lower().replace("_", "-")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"name is {name!r}, expected lower-case letters and digits joined by hyphens")
    loaded = _load(zoo, run)
    network = network_of(loaded)
    if onnx:
        network.check()
    fresh = not folder.exists()
    make_folder(folder)
    if any(folder.iterdir()):
        raise SettingsError(f"{folder}: is not empty; choose another folder")
    module = f"ganart_{name.replace('-', '_')}"
    try:
        weights = folder / "src" / module / "weights" / f"{network.role}.safetensors"
        weights.parent.mkdir(parents=True)
        save_file({key: value.contiguous() for key, value in loaded.model.own_state().items()}, weights)
        _check_weights(loaded, weights)
        spec = _spec(loaded, name, module, weights, license)
        (weights.parents[1] / "__init__.py").write_text(_module(name, spec, run), encoding="utf-8")
        (folder / "pyproject.toml").write_text(_project(name, module, loaded.entry), encoding="utf-8")
        (folder / "README.md").write_text(_readme(name, run, license, loaded), encoding="utf-8")
        error = _write(network, folder / f"{network.role}.onnx", loaded) if onnx else None
    except BaseException:
        if fresh:
            shutil.rmtree(folder)
        raise
    return Exported(folder, tuple(sorted(path for path in folder.rglob("*") if path.is_file())), error)


def export_onnx(zoo: Zoo, model: str | Path, file: Path, **how: Unpack[LoadOptions]) -> Exported:
    """Write a model as ONNX, for use without torch, and check it with onnxruntime. An existing file is replaced.

    The output is `images`, and all inputs may have any number of rows. A generator's are `latents` and, where it has
    classes, `labels`; one that reads prompts takes their `embedding`, as `Model.embed` makes it. A style transfer model
    of one pass takes `content` `[n, 3, H, W]` in 0..1 of any size from 64 x 64 on, and `style`: `[n, styles]`, the
    share of each learned style, or `[n, 3, h, w]`, pictures, where it has learned none, or nothing where it has one.

    Args:
        zoo: Where the model comes from.
        model: A name, or the `Path` of a run.
        file: `.onnx`, in a folder that exists.
        **how: See `LoadOptions`: `settings`, `weights`, `device`, `dtype`, `fetch`.

    Raises:
        SettingsError: The model is neither a generator nor a style transfer model, or the file's name does not fit.
        ModelError: ONNX is not installed or cannot express the model, the check failed, or the file cannot be written.
    """
    if file.suffix.lower() != ".onnx":
        raise SettingsError(f"{file}: expected a name that ends in .onnx")
    if not file.parent.is_dir():
        raise ModelError(f"{file}: the folder {file.parent} does not exist; create it first")
    require_onnx()
    loaded = _load(zoo, model, **how)
    network = network_of(loaded)
    network.check()
    part = file.with_name(f".{file.name}.{os.getpid()}.part.onnx")
    try:
        error = _write(network, part, loaded)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return Exported(file.parent, (file,), error)


def _load(zoo: Zoo, model: str | Path, **how: Unpack[LoadOptions]) -> LoadedGenerator | LoadedStyleTransfer:
    """Load the main network of a run, or a model by its name; of a run whose main network is neither, its generator."""
    if isinstance(model, Path):
        main = next(iter(run_parts(model).values()), None)
        kind = "generator" if main is None else zoo.spec(main.model).kind
        kind = kind if kind in _LOADERS else "generator"
    elif (kind := zoo.entry(model).spec.kind) not in _LOADERS:
        raise SettingsError(f"{model} is a {kind}, expected one of {', '.join(_LOADERS)}")
    return _LOADERS[kind].load(zoo, model, **how)


def _write(network: Network, file: Path, loaded: LoadedGenerator | LoadedStyleTransfer) -> float:
    traced, free = network.traced(), network.free()
    return write_onnx(network, traced, free, network.checked(), file, name=loaded.entry.canonical)


def _check_weights(loaded: LoadedGenerator | LoadedStyleTransfer, weights: Path) -> None:
    """Load the file as the declared model will, and compare its pictures with the run's."""
    canonical = loaded.entry.canonical
    again = loaded.load(loaded.zoo, canonical, settings=_config(loaded), weights=weights)
    assert loaded.model.provenance is not None  # Zoo.create set both
    assert again.model.provenance is not None
    given, usual = loaded.model.provenance.uses, again.model.provenance.uses
    if others := [key for key in usual if given.get(key) != usual[key]]:
        raise ModelError(
            f"{canonical} has another {others[0]} in this run than its declaration, which export needs to be the same"
        )
    with torch.no_grad():
        if not torch.equal(_pictures(loaded), _pictures(again)):
            raise ModelError(f"{canonical} does not give the run's pictures from its exported weights")


def _pictures(loaded: LoadedGenerator | LoadedStyleTransfer) -> torch.Tensor:
    network = network_of(loaded)
    pictures: torch.Tensor = network(*network.traced().values())
    return pictures


def _config(loaded: LoadedGenerator | LoadedStyleTransfer) -> dict[str, Any]:
    config = loaded.model.config
    return {} if config is None else config.model_dump(mode="json")


def _spec(
    loaded: LoadedGenerator | LoadedStyleTransfer, name: str, module: str, weights: Path, license: str
) -> ModelSpec:
    file = WeightsFile(
        package=f"ganart-{name}:{module}/weights/{weights.name}",
        sha256=file_sha256(weights),
        size=weights.stat().st_size,
        license=license,
        training_data="See the README.",
    )
    return replace(
        loaded.entry.spec,
        name=name,
        summary=f"{loaded.entry.spec.name}, trained: {name}.",
        weights=(Weights("default", files=(file,), config=_config(loaded)),),
        style_names=loaded.model.style_names if isinstance(loaded.model, StyleTransfer) else (),
    )


def _module(name: str, spec: ModelSpec, run: Path) -> str:
    values = {one.name: getattr(spec, one.name) for one in fields(spec) if getattr(spec, one.name) != one.default}
    values = {key: value for key, value in values.items() if value}
    arguments = "\n".join(f"            {key}={_source(value)}," for key, value in values.items())
    return f'''"""{name}: trained with ganart-zoo. Torch-free: the network loads when a model is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models"]


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the model with its weights."""
    return [
        ModelSpec(
{arguments}
        )
    ]
'''


def _source(value: Any) -> str:
    return repr(sorted(value)) if isinstance(value, frozenset) else repr(value)


def _project(name: str, module: str, entry: Entry) -> str:
    return f'''[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "ganart-{name}"
version = "0.1.0"
description = "A model trained with ganart-zoo."
readme = "README.md"
requires-python = ">=3.10"
dependencies = ["ganart-zoo>=0.1,<0.2", "{entry.plugin.distribution}=={entry.plugin.version}"]

[project.entry-points."ganart_zoo.plugins"]
{name} = "{module}"

[tool.setuptools.packages.find]
where = ["src"]

[tool.setuptools.package-data]
{module} = ["weights/*"]
'''


def _readme(name: str, run: Path, license: str, loaded: LoadedGenerator | LoadedStyleTransfer) -> str:
    card, kind = run / "README.md", loaded.kind
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {name}\n\nA model trained with ganart-zoo.\n"
    text = without_run_contents(text, main_part(run))  # the files of the run's folder are not in the package
    if license:
        text = text.replace(LICENCE_TO_FILL_IN, license)
    return f"{text}\n\n## As a package\n\n```sh\npip install .\n{_USAGE[kind].format(name=name)}\n```\n"
