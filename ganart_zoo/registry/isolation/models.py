"""The models that a caller gets of an isolated distribution: each call goes to the process that has the network."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ganart_zoo.contract import models
from ganart_zoo.contract.condition import Condition, Previous, Style
from ganart_zoo.contract.errors import ModelError, PluginFaultError, SettingsError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.models import CriticOutput, LayerInfo, Model, PictureRows
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.contract.rng import Rng
from ganart_zoo.registry.isolation.process import EndedError, FailedError, IsolatedProcess, Recipe
from ganart_zoo.registry.names import Entry
from ganart_zoo.registry.settings import ModelSettings

if TYPE_CHECKING:
    from ganart_zoo.contract.settings import Settings
    from ganart_zoo.registry.zoo import Zoo

__all__ = ["IsolatedModel", "create_isolated"]

T = TypeVar("T")

_forecasts = count()


class Remote:
    """One model in an isolated process."""

    def __init__(self, process: IsolatedProcess, entry: Entry, recipe: Recipe) -> None:
        self.process, self.entry, self.recipe = process, entry, recipe
        weakref.finalize(self, process.drop, recipe.ident)

    def __deepcopy__(self, memo: dict[int, Any]) -> Remote:
        return Remote(self.process, self.entry, self.process.copied(self.recipe))

    def call(self, method: str, *arguments: Any, on_step: OnStep | None = None, **keywords: Any) -> Any:
        """Call a method of the model.

        Raises:
            GanartError: What the method raised, with its class and its text.
            PluginFaultError: The plugin's code raised something else, or its process ended.
        """
        options = keywords.get("options")
        if options is not None:
            keywords["options"] = self._as_text(options)
        return self.guarded(lambda: self.process.call(self.recipe, method, arguments, keywords, on_step))

    def guarded(self, ask: Callable[[], T]) -> T:
        """Return what `ask` does, with the failures of the process as faults that are reported."""
        try:
            return ask()
        except EndedError as error:
            fault = self.process.fault(str(error), self.entry.spec.name)
        except FailedError as error:
            fault = self.process.fault(error.cause, self.entry.spec.name, error.trace)
        self.process.report(fault)
        raise PluginFaultError(fault)

    def _as_text(self, options: Any) -> str:
        expected = ModelSettings(self.entry).options_class
        if not isinstance(options, expected):
            raise SettingsError(
                f"{self.entry.canonical}: options is a {type(options).__name__}, expected a {expected.__name__}; "
                "make it with Zoo.options"
            )
        return options.model_dump_json()


class IsolatedModel(Model):
    """What all kinds have in common. Its parameters are in the process: there are none here, and nothing trains."""

    def __init__(self, remote: Remote, described: Mapping[str, Any]) -> None:
        provenance = Provenance.from_json(described["provenance"])
        super().__init__(ModelSettings(remote.entry).config(provenance.config))
        self.provenance = provenance
        self.remote = remote
        self.remote_bytes = int(described["bytes"])
        """Bytes of the parameters and buffers in the process."""
        self.remote_parameters = int(described["parameters"])
        """The number of its own parameters in the process."""
        self._device = torch.device(described["device"])
        self._dtype: torch.dtype = getattr(torch, described["dtype"])
        for name in ("latent_shape", "style_names"):
            if name in described:
                setattr(self, name, tuple(described[name]))
        for name in ("num_ws", "w_dim"):
            if name in described:
                setattr(self, name, int(described[name]))
        if "mean_w" in described:
            self.mean_w = described["mean_w"].to(self._device)
        if "layers" in described:
            layers = {name: LayerInfo(*info) for name, info in described["layers"].items()}
            self.__dict__.update(layers=layers, taps=described["taps"])
        self.eval()

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def compute_dtype(self) -> torch.dtype:
        return self._dtype

    def own_state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.remote.call("own_state")
        return state

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        self.remote.call("load_own_state", dict(state))

    def embed(self, condition: Condition) -> Condition:
        if condition.embedding is not None:
            return condition
        found: Condition = self._there("embed", condition)
        return found

    def to(self, *arguments: Any, **keywords: Any) -> IsolatedModel:
        """Return this model, where that changes nothing.

        Raises:
            ModelError: It would be moved or converted.
        """
        device, dtype, *_ = torch._C._nn._parse_to(*arguments, **keywords)
        if device not in (None, self._device) or dtype not in (None, self._dtype):
            raise ModelError(f"{self.remote.entry.canonical} runs in its own process; create it with device and dtype")
        return self

    def _there(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method in the process, and bring its tensors to the device."""
        found = self.remote.call(method, *arguments, **keywords)
        return found if self._device.type == "cpu" else _moved(found, self._device)


class IsolatedGenerator(IsolatedModel, models.Generator):
    """A generator in a process of its own."""

    def sample_latents(self, n: int, *, rng: Rng = None, options: Settings | None = None) -> Tensor:
        latents: Tensor = self._there("sample_latents", n, rng=rng, options=options)
        return latents

    def forward(
        self,
        latents: Tensor,
        condition: Condition | None = None,
        *,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        pictures: Tensor = self._there("forward", latents, condition, rng=rng, options=options, on_step=on_step)
        return pictures


class IsolatedStyleGenerator(IsolatedGenerator, models.StyleGenerator):
    """A style generator in a process of its own."""

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        ws: Tensor = self._there("map", latents, condition)
        return ws

    def truncate(self, ws: Tensor, truncation: float) -> Tensor:
        styles: Tensor = self._there("truncate", ws, truncation)
        return styles

    def synthesize(self, ws: Tensor, *, rng: Rng = None) -> Tensor:
        pictures: Tensor = self._there("synthesize", ws, rng=rng)
        return pictures


class IsolatedCritic(IsolatedModel, models.Critic):
    """A critic in a process of its own."""

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor | CriticOutput:
        votes: Tensor | CriticOutput = self._there("forward", images, condition)
        return votes

    def score(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        scores: Tensor = self._there("score", images, condition)
        return scores


class IsolatedStyleTransfer(IsolatedModel, models.StyleTransfer):
    """A style transfer in a process of its own."""

    def stylize(
        self,
        content: Tensor,
        styles: Sequence[Style],
        *,
        init: Tensor | None = None,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
        previous: Previous | None = None,
    ) -> Tensor:
        given = tuple(styles)
        more = {} if previous is None else {"previous": previous}
        pictures: Tensor = self._there(
            "stylize", content, given, init=init, rng=rng, options=options, on_step=on_step, **more
        )
        return pictures

    def memory(
        self, styles: Sequence[Style], *, options: Settings | None = None
    ) -> Callable[[int, int, int | None], int] | None:
        ident, given = next(_forecasts), tuple(styles)

        def forecast(height: int, width: int, tile: int | None) -> int:
            found: int = self.remote.call("forecast", ident, given, (height, width, tile), options=options)
            return found

        return None if self.remote.call("forecast", ident, given, None, options=options) is None else forecast

    def strips(
        self,
        source: PictureRows,
        styles: Sequence[Style],
        *,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Tensor] | None:
        return None  # pictures cross whole


class IsolatedBackbone(IsolatedModel, models.Backbone):
    """A backbone in a process of its own."""

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        features: dict[str, Tensor] = self._there("forward", images, tuple(layers))
        return features


_KINDS: Mapping[str, type[IsolatedModel]] = {
    "generator": IsolatedGenerator,
    "critic": IsolatedCritic,
    "style_transfer": IsolatedStyleTransfer,
    "backbone": IsolatedBackbone,
}


def create_isolated(
    zoo: Zoo,
    entry: Entry,
    model: str | Path,
    settings: Mapping[str, Any],
    rng: torch.Generator,
    **how: Any,
) -> Model:
    """Return a model of an isolated distribution. Its weights are read and its settings are checked in the process.

    Args:
        zoo: That makes it.
        entry: Its declaration.
        model: Its name, or the folder of a run.
        settings: Its config and the models that it uses, which are made in the same process.
        rng: For the first weights of an untrained model.
        **how: `part`, `weights`, `device`, `dtype` and `fetch` for `Zoo.create`.

    Raises:
        GanartError: What `Zoo.create` raises.
        PluginFaultError: The process did not start, or ended.
    """
    for name, value in settings.items():
        if isinstance(value, Model):
            raise SettingsError(
                f"{entry.canonical}: {name} is a live model, which cannot enter a process of its own; give its name"
            )
    process = zoo.isolates.process(zoo, entry.plugin.distribution)
    recipe = process.recipe({"model": model, **how, **settings}, rng)
    remote = Remote(process, entry, recipe)
    described, state = remote.guarded(lambda: process.make(recipe))
    rng.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    kind = IsolatedStyleGenerator if described["styled"] else _KINDS[entry.spec.kind]
    return kind(remote, described)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _moved(each, device) for name, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(each, device) for each in value))
    return value
