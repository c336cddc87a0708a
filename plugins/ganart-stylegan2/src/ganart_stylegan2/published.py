"""Maps the names of tensors in published StyleGAN2 weights to our own, and converts the tensors.

Published weights are the state dicts of `G_ema` and `D` in NVIDIA's `stylegan2-ada-pytorch`, saved as safetensors (or
as a torch file of tensors alone). The README shows the conversion from their pickles, which this package never reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ganart_stylegan2.config import CriticConfig, GeneratorConfig
from ganart_stylegan2.layers import resampling_taps
from ganart_zoo.contract import Model, ModelError, load_tensors, unwrap_names

__all__ = ["critic_names", "generator_names", "read_published"]

_FILTER = "resample_filter"
_STYLED = {
    "weight": "weight",
    "bias": "bias",
    "style.weight": "affine.weight",
    "style.bias": "affine.bias",
    "noise_strength": "noise_strength",
    "noise": "noise_const",
}
_PAINTING = {name: _STYLED[name] for name in ("weight", "bias", "style.weight", "style.bias")}
_PLAIN = {"weight": "weight", "bias": "bias"}


def generator_names(config: GeneratorConfig) -> dict[str, str]:
    """Return the published name of each tensor of the generator, by our name."""
    names = _mapping_names(config) | {"mean_w": "mapping.w_avg", "constant": "synthesis.b4.const"}
    for index, side in enumerate(config.sides):
        parts = {"refine": ("conv1", _STYLED), "paint": ("torgb", _PAINTING)}
        if index:
            parts["enlarge"] = ("conv0", _STYLED)
        for ours, (theirs, tensors) in parts.items():
            names |= _joined(f"blocks.{index}.{ours}", f"synthesis.b{side}.{theirs}", tensors)
    return names


def critic_names(config: CriticConfig) -> dict[str, str]:
    """Return the published name of each tensor of the critic except `typical_spread`, by our name."""
    names = _mapping_names(config) if config.class_names else {}
    names |= _joined("from_picture", f"b{config.resolution}.fromrgb", _PLAIN)
    for index, side in enumerate(reversed(config.sides[1:])):
        names |= _joined(f"blocks.{index}.first", f"b{side}.conv0", _PLAIN)
        names |= _joined(f"blocks.{index}.second", f"b{side}.conv1", _PLAIN)
        names[f"blocks.{index}.skip.weight"] = f"b{side}.skip.weight"
    for ours, theirs in (("last", "conv"), ("dense", "fc"), ("vote", "out")):
        names |= _joined(ours, f"b4.{theirs}", _PLAIN)
    return names


def read_published(model: Model, files: Mapping[str, Path], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return a file's tensors by our names, whether it was saved with our names or with the published ones.

    Args:
        model: The network that will load them.
        files: Exactly one file.
        names: The published names by our names.

    Raises:
        ModelError: There is not exactly one file; tensors are missing or unexpected; or the published network resamples
            with another filter.
        WeightsError: The file is damaged.
    """
    if len(files) != 1:
        raise ModelError(f"{type(model).__name__} takes one weights file, got {len(files)}: {', '.join(sorted(files))}")
    (path,) = files.values()
    tensors = unwrap_names(load_tensors(path), model.own_state().keys() | set(names.values()))
    if tensors.keys() == model.own_state().keys():
        return tensors
    filters = {name: tensors.pop(name) for name in list(tensors) if name.endswith(_FILTER)}
    problems = [f"missing {name!r}" for name in names.values() if name not in tensors]
    problems += [f"unexpected {name!r}" for name in tensors.keys() - set(names.values())]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ModelError(f"{path.name} does not fit {type(model).__name__}: {', '.join(sorted(problems)[:3])}{more}")
    _check_filters(path, filters)
    return {ours: _as_ours(ours, tensors[theirs]) for ours, theirs in names.items()}


def _as_ours(name: str, tensor: Tensor) -> Tensor:
    """Convert a published tensor to ours: published enlarging layers convolve, while all of ours correlate."""
    return tensor.flip(2, 3) if name.endswith("enlarge.weight") else tensor


def _mapping_names(config: CriticConfig) -> dict[str, str]:
    names = _joined("mapping.embed", "mapping.embed", _PLAIN) if config.class_names else {}
    for index in range(config.mapping_layers):
        names |= _joined(f"mapping.layers.{index}", f"mapping.fc{index}", _PLAIN)
    return names


def _joined(ours: str, theirs: str, tensors: Mapping[str, str]) -> dict[str, str]:
    return {f"{ours}.{name}": f"{theirs}.{published}" for name, published in tensors.items()}


def _check_filters(path: Path, filters: Mapping[str, Tensor]) -> None:
    taps = resampling_taps()
    for name, taps_found in filters.items():
        if taps_found.shape != (4, 4) or not torch.allclose(taps_found.float(), taps.outer(taps), atol=1e-3):
            raise ModelError(
                f"{path.name}: {name!r} is not StyleGAN2's filter [1, 3, 3, 1], the only one that this network supports"
            )
