"""The verb `export`: a run's generator becomes a package to install and publish, and ONNX for use without torch."""

from __future__ import annotations

import logging
import re
import shutil
import warnings
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
    of rows. Both are checked: the declared model gives the same bits as the run when it loads the weights, and
    onnxruntime gives the same pictures within a thousandth.

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
    if onnx and "prompt" in generator.entry.spec.capabilities:
        raise ModelError(f"{generator.entry.canonical} reads a text, which ONNX cannot express; leave ONNX out")
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


def _sample(generator: LoadedGenerator, n: int) -> tuple[Tensor, Tensor | None]:
    """Return latents and labels of the first seeds."""
    known = generator.labels(None)
    labels = None if known is None else torch.tensor([known[row % len(known)] for row in range(n)])
    return generator.latents(range(n)), labels


def _check_weights(generator: LoadedGenerator, weights: Path) -> None:
    """Load the file as the declared model will, and compare its pictures with the run's."""
    config = generator.model.config
    described = {} if config is None else config.model_dump(mode="json")
    again = generator.zoo.create(generator.entry.canonical, weights=weights, **described)
    network, other = _Network(generator.model, generator.options), _Network(again, generator.options)
    inputs = _sample(generator, 2)
    with torch.no_grad():
        if not torch.equal(network(*inputs), other(*inputs)):
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
    """The generator as a function of tensors."""

    def __init__(self, model: Any, options: Any) -> None:
        super().__init__()
        assert isinstance(model, Generator)
        self.model = model
        self._options = options

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        condition = None if labels is None else Condition(labels=labels)
        images: Tensor = self.model(latents, condition, options=self._options)
        return images


def _write_onnx(generator: LoadedGenerator, file: Path) -> float:
    try:
        import onnxruntime  # type: ignore[import-untyped,unused-ignore]
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise ModelError(f"ONNX needs {error.name}; pip install 'ganart-zoo[onnx]', or leave ONNX out") from None
    network = _Network(generator.model, generator.options).eval()
    _trace(generator, network, file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    if isinstance(rows := session.get_inputs()[0].shape[0], int):
        raise ModelError(
            f"{generator.entry.canonical} in ONNX makes {rows} rows and no other number, for its code fixes it; "
            "let it ask for shape[0] of tensors and not len(), or leave ONNX out"
        )
    names = [one.name for one in session.get_inputs()]
    largest = 0.0
    for rows in _CHECKED_ROWS:
        inputs = [each for each in _sample(generator, rows) if each is not None]
        with torch.no_grad():
            expected = network(*inputs).numpy()
        (found,) = session.run(None, {name: each.numpy() for name, each in zip(names, inputs, strict=True)})
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
    inputs = [each for each in _sample(generator, 2) if each is not None]
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)  # it warns about torchvision, which is not needed
    try:
        with ops.use("reference"), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns about its own code
            program = torch.onnx.export(
                network,
                tuple(inputs),
                dynamo=True,
                verbose=False,
                input_names=["latents", "labels"][: len(inputs)],
                output_names=["images"],
                dynamic_shapes=tuple({0: torch.export.Dim("n")} for _ in inputs),
            )
    except Exception as error:
        cause = " ".join(str(error.__cause__ or error).split())[:200]
        raise ModelError(f"{generator.entry.canonical} cannot be exported to ONNX: {cause}; leave ONNX out") from error
    finally:
        registry.setLevel(level)
    assert program is not None  # so it is with dynamo
    program.save(str(file), external_data=False)
