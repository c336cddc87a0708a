"""The verb `export`: a run's generator becomes a package to install and publish, and ONNX for use without torch."""

from __future__ import annotations

import logging
import re
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ganart_zoo import ops
from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.digest import file_sha256
from ganart_zoo.contract.errors import ModelError, SettingsError
from ganart_zoo.contract.models import Generator
from ganart_zoo.contract.spec import ModelSpec, Weights, WeightsFile
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.running.generators import LoadedGenerator, load_generator
from ganart_zoo.running.outputs import make_folder
from ganart_zoo.training.card import LICENCE_TO_FILL_IN, run_contents

__all__ = ["Exported", "export"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_CHECKED_ROWS = (1, 3)
"""Numbers of rows that the ONNX is tested with; it is traced with two."""

_LARGEST_ERROR = 1e-3
"""Allowed difference of torch's and onnxruntime's pictures in 0..1: a quarter of one level of 8 bits."""


@dataclass(frozen=True)
class Exported:
    """The result of a call."""

    folder: Path
    files: tuple[Path, ...]
    onnx_error: float | None
    """The largest difference of any value between torch's and onnxruntime's pictures; None without ONNX."""


def export(
    zoo: Zoo, run: Path, folder: Path, *, name: str | None = None, license: str = "", onnx: bool = True
) -> Exported:
    """Write a run's generator as a distribution `ganart-<name>` with one model, `<name>`; `pip install` takes it.

    The folder gets `pyproject.toml`, `README.md` (the run's card), `src/ganart_<name>/` with the declaration and the
    weights, and `generator.onnx` with the inputs `latents` and, for a generator with classes, `labels`, with any number
    of rows. A generator that reads prompts takes their `embedding` instead, as `Model.embed` makes it. Both are
    checked: the declared model gives the same bits as the run when it loads the weights, and onnxruntime gives the same
    pictures within a thousandth.

    Args:
        zoo: Where the run's model comes from.
        run: The folder of a finished run.
        folder: The folder to create; its parent exists, and the folder does not, or is empty.
        name: Lower-case letters and digits joined by hyphens; None: the name of the folder.
        license: SPDX expression of the weights' licence, as the data allows.
        onnx: Whether to write ONNX, which needs the extra `onnx`.

    Raises:
        SettingsError: The name is not valid, or the folder is not empty.
        ModelError: `run` is not a run, ONNX is not installed or cannot express the generator, or a check failed.
    """
    name = name or folder.resolve().name.lower().replace("_", "-")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"name is {name!r}, expected lower-case letters and digits joined by hyphens")
    generator = load_generator(zoo, run)
    if generator.entry.spec.uses:
        raise ModelError(f"{generator.entry.canonical} is built on other models, and export needs one that is not")
    if onnx and _reads_text(generator) and "embedding" not in _inputs(generator, 1):
        raise ModelError(
            f"{generator.entry.canonical} reads a text and has no embedding of it to give to ONNX; leave ONNX out"
        )
    fresh = not folder.exists()
    make_folder(folder)
    if any(folder.iterdir()):
        raise SettingsError(f"{folder}: is not empty; choose another folder")
    module = f"ganart_{name.replace('-', '_')}"
    try:
        weights = folder / "src" / module / "weights" / "generator.safetensors"
        weights.parent.mkdir(parents=True)
        save_file({key: value.contiguous() for key, value in generator.model.own_state().items()}, weights)
        _check_weights(generator, weights)
        spec = _spec(generator, name, module, weights, license)
        (weights.parents[1] / "__init__.py").write_text(_module(name, spec, run), encoding="utf-8")
        (folder / "pyproject.toml").write_text(_project(name, module, generator.entry), encoding="utf-8")
        (folder / "README.md").write_text(_readme(name, run, license), encoding="utf-8")
        error = _write_onnx(generator, folder / "generator.onnx") if onnx else None
    except BaseException:
        if fresh:
            shutil.rmtree(folder)
        raise
    return Exported(folder, tuple(sorted(path for path in folder.rglob("*") if path.is_file())), error)


def _reads_text(generator: LoadedGenerator) -> bool:
    return "prompt" in generator.entry.spec.capabilities


def _inputs(generator: LoadedGenerator, n: int) -> dict[str, Tensor]:
    """Return the inputs of the first seeds by name: latents, and labels and the embedding of prompts where it has them.

    More rows have longer prompts, so that a length of the embedding that follows from the prompts changes with them.
    """
    inputs = {"latents": generator.latents(range(n))}
    if known := generator.labels(None):
        inputs["labels"] = torch.tensor([known[row % len(known)] for row in range(n)])
    if _reads_text(generator):
        prompts = tuple(" ".join(["word"] * (row + 1)) for row in range(n))
        with torch.no_grad():
            embedding = generator.model.embed(Condition(prompts=prompts)).embedding
        if embedding is not None:
            inputs["embedding"] = embedding
    return inputs


def _check_weights(generator: LoadedGenerator, weights: Path) -> None:
    """Load the file as the declared model will, and compare its pictures with the run's."""
    config = generator.model.config
    described = {} if config is None else config.model_dump(mode="json")
    again = generator.zoo.create(generator.entry.canonical, weights=weights, **described)
    inputs = _inputs(generator, 2)
    network, other = (_Network(model, generator.options, tuple(inputs)) for model in (generator.model, again))
    with torch.no_grad():
        if not torch.equal(network(*inputs.values()), other(*inputs.values())):
            raise ModelError(f"{generator.entry.canonical} does not give the run's pictures from its exported weights")


def _spec(generator: LoadedGenerator, name: str, module: str, weights: Path, license: str) -> ModelSpec:
    config = generator.model.config
    file = WeightsFile(
        package=f"ganart-{name}:{module}/weights/generator.safetensors",
        sha256=file_sha256(weights),
        size=weights.stat().st_size,
        license=license,
        training_data="See the README.",
    )
    described = {} if config is None else config.model_dump(mode="json")
    return replace(
        generator.entry.spec,
        name=name,
        summary=f"{generator.entry.spec.name}, trained: {name}.",
        weights=(Weights("default", files=(file,), config=described),),
    )


def _module(name: str, spec: ModelSpec, run: Path) -> str:
    values = {one.name: getattr(spec, one.name) for one in fields(spec) if getattr(spec, one.name) != one.default}
    values = {key: value for key, value in values.items() if value}
    arguments = "\n".join(f"            {key}={_source(value)}," for key, value in values.items())
    return f'''"""{name}: a generator trained with ganart-zoo. Torch-free: the network loads when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models"]


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the generator with its weights."""
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
description = "A generator trained with ganart-zoo."
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


def _readme(name: str, run: Path, license: str) -> str:
    card = run / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {name}\n\nA generator trained with ganart-zoo.\n"
    # the files of the run's folder are not in the package
    text = text.replace(run_contents("generator", ("generator", "critic")), "").rstrip()
    if license:
        text = text.replace(LICENCE_TO_FILL_IN, license)
    return f"{text}\n\n## As a package\n\n```sh\npip install .\nganart sample {name} -n 16 -o grid.png\n```\n"


class _Network(nn.Module):
    """The generator as a function of tensors: of latents, and of the parts of a condition that are named."""

    def __init__(self, model: Any, options: Any, names: Sequence[str]) -> None:
        super().__init__()
        assert isinstance(model, Generator)
        self.model = model
        self._options = options
        self._names = names[1:]

    def forward(self, latents: Tensor, first: Tensor | None = None, second: Tensor | None = None) -> Tensor:
        parts = dict(zip(self._names, (first, second), strict=False))
        condition = Condition(labels=parts.get("labels"), embedding=parts.get("embedding")) if parts else None
        images: Tensor = self.model(latents, condition, options=self._options)
        return images


def _write_onnx(generator: LoadedGenerator, file: Path) -> float:
    try:
        import onnxruntime  # type: ignore[import-untyped,unused-ignore]
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise ModelError(f"ONNX needs {error.name}; pip install 'ganart-zoo[onnx]', or leave ONNX out") from None
    network = _Network(generator.model, generator.options, tuple(_inputs(generator, 1))).eval()
    _trace(generator, network, file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    if isinstance(rows := session.get_inputs()[0].shape[0], int):
        raise ModelError(
            f"{generator.entry.canonical} in ONNX makes {rows} rows and no other number, for its code fixes it; "
            "let it ask for shape[0] of tensors and not len(), or leave ONNX out"
        )
    largest = 0.0
    for rows in _CHECKED_ROWS:
        inputs = _inputs(generator, rows)
        with torch.no_grad():
            expected = network(*inputs.values()).numpy()
        (found,) = session.run(None, {name: each.numpy() for name, each in inputs.items()})
        difference = float(np.abs(found - expected).max())
        if not difference <= _LARGEST_ERROR:
            raise ModelError(
                f"{generator.entry.canonical} in ONNX differs from torch by {difference:.3g} at {rows} rows, "
                f"expected at most {_LARGEST_ERROR}"
            )
        largest = max(largest, difference)
    return largest


def _trace(generator: LoadedGenerator, network: _Network, file: Path) -> None:
    """Write the ONNX of the network, for any number of rows."""
    inputs, more = _inputs(generator, 2), _inputs(generator, 3)
    rows = torch.export.Dim("n")
    # the rows, and what else follows from the prompts, may be any number
    free = {
        name: {0: rows}
        | {
            axis: torch.export.Dim(f"{name}_{axis}")
            for axis in range(1, tensor.ndim)
            if tensor.shape[axis] != more[name].shape[axis]
        }
        for name, tensor in inputs.items()
    }
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)  # it warns about torchvision, which is not needed
    try:
        with ops.use("reference"), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns about its own code
            program = torch.onnx.export(
                network,
                tuple(inputs.values()),
                dynamo=True,
                verbose=False,
                input_names=list(inputs),
                output_names=["images"],
                dynamic_shapes=tuple(free.values()),
            )
    except Exception as error:
        cause = " ".join(str(error.__cause__ or error).split())[:200]
        raise ModelError(f"{generator.entry.canonical} cannot be exported to ONNX: {cause}; leave ONNX out") from error
    finally:
        registry.setLevel(level)
    assert program is not None  # so it is with dynamo
    program.save(str(file), external_data=False)
