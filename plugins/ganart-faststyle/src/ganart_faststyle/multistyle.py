"""Many styles in one network: all share its convolutions, and each has a scale and a shift of its own per channel.

V. Dumoulin, J. Shlens, M. Kudlur, "A learned representation for artistic style", ICLR 2017. Tensors are named as in
the published 26-style network, so its file loads as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ganart_faststyle.config import MultiStyleConfig
from ganart_faststyle.feed_forward import FeedForward
from ganart_faststyle.layers import compute_layout, crop, enlarged_conv2d, pad_to_least, reflected_conv2d
from ganart_faststyle.tiled import instance_norm_act, reach
from ganart_zoo import ops
from ganart_zoo.contract import ModelError, SettingsError, Style, load_tensors

__all__ = ["MultiStyle", "numbered_names", "shape_in_file", "styles_in_file"]

_NAMES = "style_names"
"""Key of a safetensors file's metadata: a JSON list of the styles' names."""
_SKIPS = "skips"
"""Likewise: whether the network has skips, as JSON, since its tensors do not tell."""
_FIRST = "contract.0.norm.gamma"
"""The tensor that tells how many styles a file holds."""


class ConditionalInstanceNorm(nn.Module):
    """The scale `gamma` and the shift `beta` of each style and channel."""

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(styles, channels))
        self.beta = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, shares: Tensor, act: ops.Activation) -> Tensor:
        """Return `x` normalised, in the blend of styles that `shares` `[1 or n, styles]` asks for, and activated."""
        weight, bias = (shares @ rows.to(shares) for rows in (self.gamma, self.beta))
        if weight.shape[0] == 1:
            weight, bias = weight[0], bias[0]
        return instance_norm_act(x, weight, bias, act=act)


class StyledConv(nn.Module):
    """A convolution, conditional instance normalisation and an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        styles: int,
        *,
        stride: int = 1,
        doubles: bool = False,
        act: ops.Activation = "relu",
    ) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.norm = ConditionalInstanceNorm(styles, outputs)
        self.stride, self.doubles, self.act = stride, doubles, act
        nn.init.kaiming_normal_(self.w, nonlinearity="relu")

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """Return `[n, outputs, ...]`: twice the side where the layer doubles it, a part of it where it has a stride."""
        x = enlarged_conv2d(x, self.w) if self.doubles else reflected_conv2d(x, self.w, stride=self.stride)
        return self.norm(x, shares, self.act)


class MultiStyle(FeedForward):
    """Restyles photos in any of its learned styles, or in a blend of them.

    Args:
        config: The network's shape and the names of its styles.
    """

    def __init__(self, config: MultiStyleConfig) -> None:
        super().__init__(config)
        self.halo = reach(config.blocks)
        self.skips = config.skips
        self.style_names = config.style_names or numbered_names(1)
        styles, (first, second, third), (fourth, fifth) = len(self.style_names), config.channels, config.expand
        self.contract = nn.ModuleList(
            [
                StyledConv(3, first, 9, styles),
                StyledConv(first, second, 3, styles, stride=2),
                StyledConv(second, third, 3, styles, stride=2),
            ]
        )
        self.res = nn.ModuleList(
            nn.ModuleList([StyledConv(third, third, 3, styles), StyledConv(third, third, 3, styles, act="linear")])
            for _ in range(config.blocks)
        )
        self.expand = nn.ModuleList(
            [
                StyledConv(third, fourth, 3, styles, doubles=True),
                StyledConv(fourth, fifth, 3, styles, doubles=True),
                StyledConv(fifth, 3, 9, styles, act="sigmoid"),
            ]
        )

    def forward(self, images: Tensor, shares: Tensor | None) -> Tensor:
        """Return styled pictures `[n, 3, H, W]` in 0..1.

        Args:
            images: `[n, 3, H, W]` in 0..1.
            shares: `[styles]`, or `[n, styles]` for a style of each picture's own.

        Raises:
            SettingsError: There are no shares.
        """
        if shares is None:
            raise SettingsError("multistyle needs the share of each style")
        shares = shares.to(self.device, self.picture_dtype)
        shares = shares[None] if shares.ndim == 1 else shares
        x = compute_layout(pad_to_least(images), self.compute_dtype)
        found: list[Tensor] = []
        for layer in self.contract:
            x = layer(x, shares)
            found.append(x)
        for pair in self.res:
            first, second = cast(nn.ModuleList, pair)
            x = x + second(first(x, shares), shares)
        for number, layer in enumerate(self.expand):
            x = layer(x, shares)
            if self.skips and number < 2:
                x = crop(x, found[1 - number]) + found[1 - number]
        return crop(x, images).to(self.picture_dtype, memory_format=torch.contiguous_format)

    def style_shares(self, styles: Sequence[Style]) -> Tensor:
        """Return the share of each learned style, `[styles]`.

        Raises:
            SettingsError: No style is named, a name is not known, or a style has a region.
        """
        if not styles:
            raise SettingsError(f"no style was given; multistyle has {', '.join(self.style_names)}")
        if any(style.image is not None for style in styles):
            raise SettingsError(
                "multistyle knows its styles by name and takes no picture as a style; "
                f"it has {', '.join(self.style_names)}"
            )
        if any(style.region is not None or style.source_region is not None for style in styles):
            raise SettingsError("multistyle cannot confine styles to regions; leave the regions out")
        shares = torch.zeros(len(self.style_names), dtype=self.picture_dtype)
        for style, share in zip(styles, self.shares(styles), strict=True):
            shares[self.style_names.index(style.name or "")] += share
        return shares

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load one file. Its styles are named by its metadata, by the config, or `style00` and so on.

        Raises:
            ModelError: There is not exactly one file, its tensors do not fit or hold NaN, or the config names another
                number of styles than it holds.
            WeightsError: The file is damaged.
        """
        if len(files) != 1:
            raise ModelError(f"multistyle takes one weights file, got {len(files)}: {', '.join(sorted(files))}")
        assert isinstance(self.config, MultiStyleConfig)
        (path,) = files.values()
        tensors = _network_in(path)
        names, wanted = styles_in_file(path), self.config.style_names
        if wanted and len(wanted) != len(names):
            raise ModelError(f"{path.name} holds {len(names)} styles, and the config names {len(wanted)}")
        self._set_styles(wanted or names)
        self.load_own_state(tensors)

    def load_trunk(self, path: Path) -> int:
        """Load a file with fewer styles than the network: its styles become the first, and the others their mean.

        Returns:
            The number of styles in the file.

        Raises:
            ModelError: The tensors do not fit, or the file has as many styles as the network or more.
            WeightsError: The file is damaged.
        """
        tensors, own = _network_in(path), self.own_state()
        old, new = len(styles_in_file(path)), len(self.style_names)
        if old >= new:
            raise ModelError(f"{path.name} holds {old} styles, and the network has {new}; expected more than the file")
        for name, tensor in tensors.items():
            if ".norm." in name:
                more = tensor.mean(dim=0, keepdim=True).expand(new - old, -1)
                tensors[name] = torch.cat([tensor, more]).to(own[name].dtype if name in own else tensor.dtype)
        self.load_own_state(tensors)
        return old

    def _set_styles(self, names: tuple[str, ...]) -> None:
        """Give each norm as many rows as there are styles."""
        self.style_names = names
        for module in self.modules():
            if isinstance(module, ConditionalInstanceNorm):
                channels = module.gamma.shape[1]
                module.gamma = nn.Parameter(torch.ones(len(names), channels))
                module.beta = nn.Parameter(torch.zeros(len(names), channels))


def numbered_names(styles: int) -> tuple[str, ...]:
    """Return `style00`, `style01` and so on."""
    return tuple(f"style{number:02}" for number in range(styles))


def styles_in_file(path: Path) -> tuple[str, ...]:
    """Return the names of the styles in a file: those of its metadata, or `style00` and so on.

    Raises:
        ModelError: The file is not a multi-style network, or its metadata names another number of styles than it holds.
        WeightsError: The file is damaged.
    """
    styles = len(_network_in(path)[_FIRST])
    names = _names_in(_described(path))
    if names and len(names) != styles:
        raise ModelError(f"{path.name} holds {styles} styles, and its metadata names {len(names)}")
    return names or numbered_names(styles)


def _network_in(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, checked to be those of some multi-style network and finite."""
    tensors = load_tensors(path)
    first = tensors.get(_FIRST)
    if first is None or first.ndim != 2 or len(first) == 0:
        raise ModelError(f"{path.name} is not a multi-style network: it has no tensor {_FIRST!r} [styles, channels]")
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise ModelError(f"{path.name} has values that are NaN or infinite in {broken[0]!r}; get it again")
    return tensors


def shape_in_file(path: Path) -> dict[str, Any]:
    """Return the settings of the network in a file, but for the names of its styles.

    Raises:
        ModelError: The file is not a multi-style network.
        WeightsError: The file is damaged.
    """
    tensors = _network_in(path)
    try:
        channels, expand = (
            tuple(tensors[f"{part}.{layer}.w"].shape[0] for layer in range(layers))
            for part, layers in (("contract", 3), ("expand", 2))
        )
    except KeyError as error:
        raise ModelError(f"{path.name} is not a multi-style network: it has no tensor {error}") from None
    blocks = len({name.split(".")[1] for name in tensors if name.startswith("res.")})
    return {"channels": channels, "blocks": blocks, "expand": expand, "skips": _described(path).get(_SKIPS) is True}


def _names_in(described: Mapping[str, Any]) -> tuple[str, ...]:
    names = described.get(_NAMES)
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _described(path: Path) -> dict[str, Any]:
    """Return what a safetensors file's metadata says, or for the network of a run the run's `config.json`."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, Any] = {}
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        found = {key: json.loads(metadata[key]) for key in (_NAMES, _SKIPS) if key in metadata}
        if not found:
            run = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
            found = dict(run["parts"][path.stem]["config"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        pass  # then the tensors are all there is
    return found
