"""The base classes of the four kinds of model, from which a plugin derives.

They are classes rather than protocols so that a release can add methods with defaults. Pictures are always sRGB, NCHW,
0 black to 1 white, and float32 (float64 for float64 models) whatever the compute dtype. Differentiable paths never
clamp and accept values outside that range. A call leaves no state on the model, so threads may share one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ganart_zoo.contract.condition import Condition, Style
from ganart_zoo.contract.errors import ModelError, SettingsError, did_you_mean
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.contract.rng import Rng
from ganart_zoo.contract.tensors import load_tensors, unwrap_names, wrapped_whole

if TYPE_CHECKING:
    from ganart_zoo.contract.settings import Settings  # imports pydantic

__all__ = [
    "Backbone",
    "Critic",
    "CriticOutput",
    "Generator",
    "LayerInfo",
    "Model",
    "PictureRows",
    "StyleGenerator",
    "StyleTransfer",
]


class Model(nn.Module):
    """The base of all kinds: own and borrowed parts, and loading of weights.

    A `Model` inside a `Model` is **borrowed**: it was passed in through `uses`. It stays in eval mode and frozen under
    `train()` and `requires_grad_()`, and `own_state()` leaves out its tensors. The parts a model owns are plain
    `nn.Module`s.
    """

    kind: ClassVar[str]
    provenance: Provenance | None = None
    """Set by `Zoo.create`; None for a model built by hand."""

    if TYPE_CHECKING:  # else every attribute that a kind adds, such as `stylize`, is a Tensor to type checkers

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, config: Settings | None = None) -> None:
        """Store `config`, so that a model without parts needs no constructor."""
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """The device of its tensors; the CPU for a model without tensors."""
        return next((tensor.device for tensor in self._floats()), torch.device("cpu"))

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of its first floating-point tensor, which it computes in; float32 for a model without one."""
        return next((tensor.dtype for tensor in self._floats()), torch.float32)

    @property
    def picture_dtype(self) -> torch.dtype:
        """The dtype of the pictures and votes it returns: float64 if it computes in float64, else float32."""
        return torch.float64 if self.compute_dtype == torch.float64 else torch.float32

    def _floats(self) -> Iterator[Tensor]:
        return (tensor for tensor in chain(self.parameters(), self.buffers()) if tensor.is_floating_point())

    def borrowed(self) -> dict[str, Model]:
        """Return the models that this one is built on, by their path inside it."""
        found: dict[str, Model] = {}
        # One borrowed model may have two paths, and a state dict lists its tensors under both.
        for path, module in self.named_modules(remove_duplicate=False):
            if module is not self and isinstance(module, Model) and not path.startswith(tuple(f"{p}." for p in found)):
                found[path] = module
        return found

    def own_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that training may change, which are all but those of borrowed models."""
        borrowed = {id(parameter) for model in self.borrowed().values() for parameter in model.parameters()}
        return (parameter for parameter in self.parameters() if id(parameter) not in borrowed)

    def own_state(self) -> dict[str, Tensor]:
        """Return the state dict without the borrowed models. This is what a run saves."""
        prefixes = tuple(f"{path}." for path in self.borrowed())
        return {key: value for key, value in self.state_dict().items() if not key.startswith(prefixes)}

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a state that `own_state()` returned, strictly. Prefixes of wrappers are removed, see `unwrap_names`.

        Raises:
            ModelError: A tensor is missing, unexpected or has another shape. The model is then unchanged.
        """
        own = self.own_state()
        state = unwrap_names(state, own)
        problems = [f"missing {key!r}" for key in own if key not in state]
        problems += [f"unexpected {key!r}" for key in state if key not in own]
        problems += [
            f"{key!r} is {list(state[key].shape)}, expected {list(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ]
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            named = f"weights do not fit {type(self).__name__}"
            if prefixes := wrapped_whole(state, own):
                raise ModelError(
                    f"{named}: the file holds several networks, and what this one expects is under "
                    f"{' and '.join(map(repr, prefixes))}; save the one you need to a file of its own"
                )
            raise ModelError(f"{named}: {', '.join(problems[:3])}{more}")
        self.load_state_dict(state, strict=False)

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load published weights. The default reads one file whose tensors have the names of `own_state()`.

        Override this method if the published names differ, and read the files with `contract.load_tensors`.

        Args:
            files: The files of the variant by `WeightsFile.name`. A single file given by the user is named `"model"`.
            device: The device that the model will be moved to afterwards; an override may load directly to it.
            dtype: The compute dtype that the model will be converted to afterwards.

        Raises:
            ModelError: The tensors do not fit.
            WeightsError: A file is damaged.
        """
        if len(files) != 1:
            raise ModelError(
                f"{type(self).__name__} takes one weights file, but {len(files)} were given: {', '.join(sorted(files))}"
            )
        (path,) = files.values()
        self.load_own_state(load_tensors(path))

    def embed(self, condition: Condition) -> Condition:
        """Return `condition` with its `embedding` computed, if the model has one. The default returns it unchanged."""
        return condition

    def train(self, mode: bool = True) -> Model:
        """Set training mode on the parts the model owns; borrowed models stay in eval mode."""
        super().train(mode)
        for model in self.borrowed().values():
            nn.Module.train(model, False)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Model:
        """Set `requires_grad` of the parameters the model owns; borrowed models stay frozen."""
        for parameter in self.own_parameters():
            parameter.requires_grad_(requires_grad)
        for model in self.borrowed().values():
            nn.Module.requires_grad_(model, False)
        return self


class Generator(Model):
    """Turns latents into pictures."""

    kind = "generator"
    latent_shape: tuple[int, ...]
    """The shape of one latent, without the batch axis."""

    def sample_latents(self, n: int, *, rng: Rng = None, options: Settings | None = None) -> Tensor:
        """Return latents `[n, *latent_shape]`, drawn with `contract.randn` so that a seed means the same everywhere."""
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
            condition: Its parts have 1 row or n rows.
            rng: For noise inside the network. None uses stored noise, or torch's global generator in train mode.
            options: An instance of the model's options class, or None for the defaults.
            on_step: Called after each step of an iterative generator.
        """
        raise NotImplementedError


class StyleGenerator(Generator):
    """A generator with an intermediate style space: latents map to one w for each layer, and these can be mixed."""

    num_ws: int
    """The number of layers that take a style."""
    w_dim: int
    mean_w: Tensor
    """`[w_dim]`: the mean of w, towards which truncation moves styles."""

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the styles `[n, num_ws, w_dim]` of latents `[n, *latent_shape]`, not truncated."""
        raise NotImplementedError

    def truncate(self, ws: Tensor, truncation: float) -> Tensor:
        """Return `mean_w + truncation * (ws - mean_w)`: 1 leaves `ws` unchanged, and 0 gives the mean."""
        return self.mean_w.lerp(ws, truncation)

    def synthesize(self, ws: Tensor, *, rng: Rng = None) -> Tensor:
        """Return the pictures `[n, 3, H, W]` of styles `[n, num_ws, w_dim]`; `rng=None` uses the stored noise."""
        raise NotImplementedError


class CriticOutput(NamedTuple):
    """The votes of a critic together with losses of its own; a critic may return it in place of the votes."""

    votes: Tensor
    """`[n, k]`, of the model's `picture_dtype`; higher is better."""
    losses: Mapping[str, Tensor]
    """Scalars that are added to the critic's training loss, such as a decoder's reconstruction loss."""


class Critic(Model):
    """Votes on pictures. A higher vote means more real, or closer to the condition."""

    kind = "critic"
    takes_batches: bool = False
    """Whether `forward` has one more argument, `batches: int = 1`: how many batches of equal length follow one another
    in the rows. In training too, each gets the votes that it would get alone, and there are no losses of the critic's
    own. Training judges real and generated pictures in one call of such a critic.
    """

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor | CriticOutput:
        """Return votes `[n, k]` of `picture_dtype`; k is 1 for a plain critic and more for patch and projected critics.

        Training losses are applied to each vote and then averaged. Training calls only this method.
        """
        raise NotImplementedError

    def score(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the mean vote of each picture, `[n]`; higher is better."""
        output = self(images, condition)
        votes: Tensor = output.votes if isinstance(output, CriticOutput) else output
        if not isinstance(votes, Tensor) or votes.ndim != 2 or len(votes) != len(images):
            what = f"votes {list(votes.shape)}" if isinstance(votes, Tensor) else f"a {type(votes).__name__}"
            raise TypeError(f"forward returned {what} for {len(images)} pictures, expected votes [{len(images)}, k]")
        return votes.mean(dim=1)


class PictureRows(Protocol):
    """A picture that is read row by row, because it is too large to be a tensor."""

    height: int
    width: int

    def __call__(self, top: int, bottom: int) -> Tensor:
        """Return the rows from `top` to before `bottom`, `[1, 3, rows, W]` in 0..1."""

    def reduced(self, pixels: int) -> Tensor:
        """Return the whole picture with about this many pixels at most, `[1, 3, h, w]`."""


class StyleTransfer(Model):
    """Restyles a photo, or dreams it if no style is given."""

    kind = "style_transfer"
    style_names: tuple[str, ...] = ()
    """The names of the learned styles of a model with the capability `named_styles`."""

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

        A model with the capability `temporal` has one more argument, `previous: Previous | None = None`. Where its mask
        is 1 the result should stay near its image, and where it is 0 the image does not matter. None is a first frame.

        Args:
            content: `[n, 3, H, W]` in 0..1.
            styles: The styles, blended by weight. For a dream: none, or one guide picture.
            init: `[n, 3, H, W]`: the picture to start from. None leaves the choice to the model.
            rng: For noise. None uses torch's global generator.
            options: An instance of the model's options class, or None for the defaults.
            on_step: Called after each step. If it returns False, the best picture so far is returned.
        """
        raise NotImplementedError

    def one_pass(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Return pictures `[n, 3, H, W]` that one pass of the network makes, not clamped: what ONNX can hold.

        It computes with tensors alone, of any number of rows and of any size from 64 x 64 on, and every option has its
        default. Where code looks at shapes, `torch.compiler.is_exporting()` tells it that they stand for others.

        Args:
            content: `[n, 3, H, W]` in 0..1.
            style: `[n, styles]`, the share of each style, for a model with `named_styles`; `[n, 3, h, w]`, a style
                picture a row, for one with `image_styles`; None for one that needs neither.

        Raises:
            ModelError: The model does not work in one pass.
        """
        raise ModelError(f"{type(self).__name__} does not work in one pass")

    def memory(
        self, styles: Sequence[Style], *, options: Settings | None = None
    ) -> Callable[[int, int, int | None], int] | None:
        """Return a forecast of the memory that `stylize` takes, or None where the model cannot tell.

        The forecast takes the height and width of a content and the option `tile`, and returns the bytes that a call
        adds at its peak to what the process holds with the content. Making it may take seconds; calling it does not.
        A model that has the option `tile` works in tiles, and its picture depends on them by rounding alone.

        Args:
            styles: As for `stylize`.
            options: As for `stylize`; their `tile` does not matter.
        """
        return None

    def strips(
        self,
        source: PictureRows,
        styles: Sequence[Style],
        *,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Tensor] | None:
        """Return the restyled picture in strips `[1, 3, h, W]` from top to bottom, or None where that is not possible.

        For pictures that are too large to be a tensor; see `strip_memory`. The strips together are what `stylize`
        returns with the same options, and only some of them are in memory at one time.

        Args:
            source: The content.
            styles: As for `stylize`.
            options: As for `stylize`; with their `tile`.
            on_step: Called after each strip.
        """
        return None

    def strip_memory(
        self, styles: Sequence[Style], *, options: Settings | None = None
    ) -> Callable[[int, int, int | None], int] | None:
        """Return a forecast of the memory that `strips` takes, or None for a model without strips.

        As for `memory`, but for what the process holds with the decoded source.

        Args:
            styles: As for `stylize`.
            options: As for `stylize`; their `tile` does not matter.
        """
        return None

    def shares(self, styles: Sequence[Style]) -> tuple[float, ...]:
        """Return the share of each style: its weight divided by the sum of the weights.

        Raises:
            SettingsError: A style has both a picture and a name, or neither; a name is not in `style_names` (the
                message gives similar names); a weight is negative or not finite; or all weights are 0.
        """
        for style in styles:
            if (style.image is None) == (style.name is None):
                raise SettingsError("a style is either a picture or a name, and one of these has both or neither")
            if style.name is not None and style.name not in self.style_names:
                known = did_you_mean(style.name, self.style_names) or f"; it has {', '.join(self.style_names)}"
                raise SettingsError(f"{type(self).__name__} has no style {style.name!r}{known}")
            if not (math.isfinite(style.weight) and style.weight >= 0):
                raise SettingsError(f"style weight is {style.weight!r}, expected a number of at least 0")
        whole = sum(style.weight for style in styles)
        if styles and whole == 0:
            raise SettingsError("all style weights are 0; give at least one style a positive weight")
        return tuple(style.weight / whole for style in styles)


class LayerInfo(NamedTuple):
    """The output of a backbone's layer: its channels, and its stride and reach in input pixels."""

    channels: int
    stride: int
    reach: int | None = None
    """How many pixels beyond its own `stride` x `stride` a cell depends on, on any side, at most. None: not declared;
    it is measured where a picture is processed in tiles. A class head depends on the whole picture and has None."""


class Backbone(Model):
    """Features of a picture at named layers. It normalises the picture itself, and computes only the layers needed."""

    kind = "backbone"
    layers: Mapping[str, LayerInfo]
    """The layers in the order in which they are computed. A class head is the layer `"logits"`, `[n, classes]`."""
    taps: Mapping[str, tuple[str, ...]]
    """The layers to use for each role: `"style"`, `"content"`, `"dream"`, `"critic"`."""

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return `{name: [n, C, h, w]}` in the order requested, for pictures `[n, 3, H, W]` in 0..1.

        Features have the compute dtype, so compute sums over them in float32. Their sides differ from `H / stride` by
        at most one pixel, or by up to four in a network that does not pad its input.

        Raises:
            SettingsError: A layer is unknown.
        """
        raise NotImplementedError

    def check_layers(self, layers: Sequence[str]) -> tuple[str, ...]:
        """Return `layers` as a tuple.

        Raises:
            SettingsError: A layer is unknown; the message gives similar names.
        """
        for name in layers:
            if name not in self.layers:
                near = did_you_mean(name, self.layers)
                raise SettingsError(
                    f"layer {name!r} is not in {type(self).__name__}; it has {', '.join(self.layers)}{near}"
                )
        return tuple(layers)

    def role_layers(self, role: str, layers: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return `layers` after checking them; if None, return this backbone's taps for `role`.

        Raises:
            SettingsError: A layer is unknown, or there are no taps for the role.
        """
        if layers is not None:
            return self.check_layers(layers)
        if role not in self.taps:
            raise SettingsError(
                f"{type(self).__name__} names no layers for the role {role!r}; it has {', '.join(self.taps) or 'none'}"
            )
        return tuple(self.taps[role])
