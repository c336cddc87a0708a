"""The interfaces of the four kinds of model, as base classes that a plugin derives from.

They are classes and not protocols so that a release can add methods with defaults. Pictures are everywhere sRGB, NCHW,
0 black to 1 white, float32 (float64 for float64 models) whatever the compute dtype; differentiable paths never clamp
and accept values outside. A call leaves no state on the model, so threads may share it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ganart_zoo.contract.condition import Condition, Style
from ganart_zoo.contract.errors import ModelError, SettingsError, did_you_mean
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.contract.rng import Rng
from ganart_zoo.contract.settings import Settings
from ganart_zoo.contract.tensors import load_tensors

__all__ = ["Backbone", "Critic", "CriticOutput", "Generator", "LayerInfo", "Model", "StyleGenerator", "StyleTransfer"]


class Model(nn.Module):
    """What all kinds share: own and borrowed parts, and loading of weights.

    A `Model` inside a `Model` is **borrowed** (it came through `uses`): it stays in eval mode and frozen under
    `train()` and `requires_grad_()`, and its tensors are not part of `own_state()`. A model's own parts are plain
    `nn.Module`s.
    """

    kind: ClassVar[str]
    provenance: Provenance | None = None
    """Set by `Zoo.create`; None for a model built by hand."""

    def __init__(self, config: Settings | None = None) -> None:
        """Keep `config`, so that a model without parts needs no constructor of its own."""
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Where its tensors are; the CPU for a model without any."""
        return next((tensor.device for tensor in self._floats()), torch.device("cpu"))

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type it computes in, that of its first floating-point tensor; float32 for a model without any."""
        return next((tensor.dtype for tensor in self._floats()), torch.float32)

    @property
    def picture_dtype(self) -> torch.dtype:
        """The type of the pictures and votes it gives: float64 where it computes in that, else float32."""
        return torch.float64 if self.compute_dtype == torch.float64 else torch.float32

    def _floats(self) -> Iterator[Tensor]:
        return (tensor for tensor in chain(self.parameters(), self.buffers()) if tensor.is_floating_point())

    def borrowed(self) -> dict[str, Model]:
        """Return the models this one is built on, by their path inside it."""
        found: dict[str, Model] = {}
        # one borrowed model may sit at two places, and a state dict names its tensors at both
        for path, module in self.named_modules(remove_duplicate=False):
            if module is not self and isinstance(module, Model) and not path.startswith(tuple(f"{p}." for p in found)):
                found[path] = module
        return found

    def own_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that training may change: all but those of borrowed models."""
        borrowed = {id(parameter) for model in self.borrowed().values() for parameter in model.parameters()}
        return (parameter for parameter in self.parameters() if id(parameter) not in borrowed)

    def own_state(self) -> dict[str, Tensor]:
        """Return the state dict less the borrowed models: what a run saves."""
        prefixes = tuple(f"{path}." for path in self.borrowed())
        return {key: value for key, value in self.state_dict().items() if not key.startswith(prefixes)}

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `own_state()` gave, strictly.

        Raises:
            ModelError: A tensor is missing, unexpected or of another shape; the model is unchanged.
        """
        own = self.own_state()
        problems = [f"missing {key!r}" for key in own if key not in state]
        problems += [f"unexpected {key!r}" for key in state if key not in own]
        problems += [
            f"{key!r} is {list(state[key].shape)}, expected {list(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ]
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise ModelError(f"weights do not fit {type(self).__name__}: {', '.join(problems[:3])}{more}")
        self.load_state_dict(dict(state), strict=False)

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load published weights. The default takes one safetensors file of exactly `own_state()`'s names.

        Override it where published keys differ; read files with `contract.load_tensors`.

        Args:
            files: The variant's files by `WeightsFile.name`; a single file the user gave has the name `"model"`.
            device: Where the model will be moved afterwards, for an override that wants to load straight to it.
            dtype: Its compute type, likewise.

        Raises:
            ModelError: The tensors do not fit.
            WeightsError: A file is damaged.
        """
        if len(files) != 1:
            raise ModelError(
                f"{type(self).__name__} takes one weights file, got {len(files)}: {', '.join(sorted(files))}"
            )
        (path,) = files.values()
        self.load_own_state(load_tensors(path))

    def embed(self, condition: Condition) -> Condition:
        """Return `condition` with its `embedding` filled where the model has one. The default has none."""
        return condition

    def train(self, mode: bool = True) -> Model:
        """Set training mode on the model's own parts; borrowed models stay in eval mode."""
        super().train(mode)
        for model in self.borrowed().values():
            nn.Module.train(model, False)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Model:
        """Switch gradients of the model's own parameters; borrowed models stay frozen."""
        for parameter in self.own_parameters():
            parameter.requires_grad_(requires_grad)
        for model in self.borrowed().values():
            nn.Module.requires_grad_(model, False)
        return self


class Generator(Model):
    """Turns latents into pictures."""

    kind = "generator"
    latent_shape: tuple[int, ...]
    """Shape of one latent, without the batch axis."""

    def sample_latents(self, n: int, *, rng: Rng = None, options: Settings | None = None) -> Tensor:
        """Return latents `[n, *latent_shape]`, drawn with `contract.randn` so that seeds agree everywhere."""
        raise NotImplementedError

    def forward(
        self,
        latents: Tensor,
        condition: Condition | None = None,
        *,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, H, W]`.

        Args:
            latents: `[n, *latent_shape]`.
            condition: Parts of 1 or n rows.
            rng: For noise inside the network; None uses stored noise, or torch's global generator in train mode.
            options: An instance of the model's options class; None for its defaults.
            on_step: Called after each step of an iterative generator.
        """
        raise NotImplementedError


class StyleGenerator(Generator):
    """A generator with an intermediate style space: latents map to ws, one a layer, which can be mixed."""

    num_ws: int
    """Layers that take a style."""
    w_dim: int
    mean_w: Tensor
    """`[w_dim]`: the centre that truncation pulls towards."""

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Return styles `[n, num_ws, w_dim]` of latents `[n, *latent_shape]`, not truncated."""
        raise NotImplementedError

    def truncate(self, ws: Tensor, truncation: float) -> Tensor:
        """Return `ws` pulled towards `mean_w`: 1 leaves them, 0 gives the mean, whatever the latents were."""
        return self.mean_w.lerp(ws, truncation)

    def synthesize(self, ws: Tensor, *, rng: Rng = None) -> Tensor:
        """Return pictures `[n, 3, H, W]` of styles `[n, num_ws, w_dim]`; `rng=None` uses the stored noise."""
        raise NotImplementedError


class CriticOutput(NamedTuple):
    """What a critic may return in place of bare votes."""

    votes: Tensor
    """`[n, k]`, of the model's `picture_dtype`; higher is better."""
    losses: Mapping[str, Tensor]
    """Scalars the critic adds to its own training loss (a decoder's reconstruction, say)."""


class Critic(Model):
    """Votes on pictures: higher is more real, or nearer to the condition."""

    kind = "critic"

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor | CriticOutput:
        """Return votes `[n, k]` of `picture_dtype`; k is 1 for a plain critic, more for patch and projected critics.

        Training losses apply to each vote, then average. Training calls only this method.
        """
        raise NotImplementedError

    def score(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `[n]`: the mean vote of each picture, higher is better."""
        output = self(images, condition)
        votes: Tensor = output.votes if isinstance(output, CriticOutput) else output
        return votes.mean(dim=1)


class StyleTransfer(Model):
    """Restyles a photo, or dreams it when there is no style."""

    kind = "style_transfer"
    style_names: tuple[str, ...] = ()
    """The learned styles of a model with `named_styles`."""

    def stylize(
        self,
        content: Tensor,
        styles: Sequence[Style],
        *,
        init: Tensor | None = None,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, H, W]` of the content's size, not clamped.

        Args:
            content: `[n, 3, H, W]` in 0..1.
            styles: Blended by weight; empty, or one guide picture, for a dream.
            init: `[n, 3, H, W]`: the picture to start from. None: the model's own choice.
            rng: For noise; None uses torch's global generator.
            options: An instance of the model's options class; None for its defaults.
            on_step: Called after each step; returning False ends with the best picture so far.
        """
        raise NotImplementedError

    def shares(self, styles: Sequence[Style]) -> tuple[float, ...]:
        """Return each style's share of the whole: the weights, divided by their sum.

        Raises:
            SettingsError: A style has neither picture nor name, or both; a name is not one of `style_names` (the
                message gives near misses); a weight is negative or not finite; or all are 0.
        """
        for style in styles:
            if (style.image is None) == (style.name is None):
                raise SettingsError("a style is a picture or a name, and one of these has both or neither")
            if style.name is not None and style.name not in self.style_names:
                known = did_you_mean(style.name, self.style_names) or f"; it has {', '.join(self.style_names)}"
                raise SettingsError(f"{type(self).__name__} has no style {style.name!r}{known}")
            if not (math.isfinite(style.weight) and style.weight >= 0):
                raise SettingsError(f"style weight is {style.weight!r}, expected a number of at least 0")
        whole = sum(style.weight for style in styles)
        if styles and whole == 0:
            raise SettingsError("all style weights are 0; give at least one style a share")
        return tuple(style.weight / whole for style in styles)


class LayerInfo(NamedTuple):
    """What a backbone's layer gives: its channels, and how many input pixels one of its pixels spans a side."""

    channels: int
    stride: int


class Backbone(Model):
    """Features of a picture at named layers. Normalises inside; stops computing at the deepest layer asked for."""

    kind = "backbone"
    layers: Mapping[str, LayerInfo]
    """In the order they are computed. A class head is the layer `"logits"`, `[n, classes]`."""
    taps: Mapping[str, tuple[str, ...]]
    """The layers to take for each role: `"style"`, `"content"`, `"dream"`, `"critic"`."""

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return `{name: [n, C, h, w]}` in the order asked, for pictures `[n, 3, H, W]` in 0..1.

        Features have the compute dtype, so sum losses over them in float32. They are at most a pixel off `H / stride`;
        those of a network that does not pad its pictures may be up to four short of it.

        Raises:
            SettingsError: A layer is unknown.
        """
        raise NotImplementedError

    def check_layers(self, layers: Sequence[str]) -> tuple[str, ...]:
        """Return `layers` as a tuple.

        Raises:
            SettingsError: One is unknown; the message names near misses.
        """
        for name in layers:
            if name not in self.layers:
                near = did_you_mean(name, self.layers)
                raise SettingsError(
                    f"layer {name!r} is not in {type(self).__name__}; it has {', '.join(self.layers)}{near}"
                )
        return tuple(layers)

    def role_layers(self, role: str, layers: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return `layers`, checked; or where None, this backbone's taps for `role`, so that backbones swap.

        Raises:
            SettingsError: A layer is unknown, or there are no taps for the role.
        """
        if layers is not None:
            return self.check_layers(layers)
        if role not in self.taps:
            raise SettingsError(
                f"{type(self).__name__} names no layers for the role {role!r}; it has {', '.join(self.taps)}"
            )
        return tuple(self.taps[role])
