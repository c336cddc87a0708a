"""What a request over HTTP may say, verb by verb. A picture is named by its upload; no path or address is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, Union

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.service.http.settings import ServeSettings
from ganart_zoo.service.http.uploads import ID, Uploads

__all__ = [
    "Asked",
    "Dream",
    "Imagine",
    "Interpolate",
    "JobRequest",
    "Mix",
    "Sample",
    "Style",
    "Stylize",
]

_TEXT = 2000

UploadId: TypeAlias = Annotated[str, StringConstraints(pattern=ID)]
ModelName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=100)]
Variant: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=100)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
Text: TypeAlias = Annotated[str, StringConstraints(max_length=_TEXT)]
Weight: TypeAlias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Style(_Request):
    """A style: a picture or a learned style's name, with its share."""

    image: UploadId | None = Field(None, description="The style picture, an upload.")
    name: Text | None = Field(None, description="The name of a style that the model has learned.")
    weight: Weight = Field(1.0, description="Its share among several styles.")
    region: UploadId | None = Field(None, description="A mask over the content, white where this style goes.")


class Asked(_Request):
    """What all verbs share."""

    model: ModelName | None = Field(None, description="The model; null is the default of the verb.")
    weights: Variant | None = Field(None, description="A variant of the model's weights; null is its default.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Settings and options of the model by name, as its schemas describe them."
    )

    def arguments(self, uploads: Uploads, limits: ServeSettings) -> dict[str, Any]:
        """Return the arguments of the verb's function.

        Raises:
            SettingsError: An upload is not there, or a number exceeds a limit of the server.
        """
        given: dict[str, Any] = {"settings": self.settings}
        if self.model is not None:
            given["model"] = self.model
        if self.weights is not None:
            given["weights"] = self.weights
        return given


class Stylize(Asked):
    """Restyle a photo."""

    content: UploadId = Field(description="The photo, an upload.")
    styles: list[Style] = Field(default_factory=list, max_length=16, description="One style or more.")
    size: int = Field(512, ge=16, le=2**15, description="Long side of the result in pixels; photos are not enlarged.")
    seed: Seed = Field(0, description="The result is the same for the same seed.")

    def arguments(self, uploads: Uploads, limits: ServeSettings) -> dict[str, Any]:
        """Return the arguments of `stylize`; errors as those of `Asked.arguments`."""
        from ganart_zoo.running.stylists import StyleInput

        _check_size(self.size, limits)
        styles = [
            StyleInput(
                image=None if one.image is None else uploads.path(one.image),
                name=one.name,
                weight=one.weight,
                region=None if one.region is None else uploads.path(one.region),
            )
            for one in self.styles
        ]
        own = {"content": uploads.path(self.content), "styles": styles, "size": self.size, "seed": self.seed}
        return {**super().arguments(uploads, limits), **own}


class Dream(Asked):
    """Let a network exaggerate what it sees in a photo."""

    content: UploadId = Field(description="The photo, an upload.")
    size: int = Field(512, ge=16, le=2**15, description="Long side of the result in pixels; photos are not enlarged.")
    seed: Seed = Field(0, description="The result is the same for the same seed.")

    def arguments(self, uploads: Uploads, limits: ServeSettings) -> dict[str, Any]:
        """Return the arguments of `dream`; errors as those of `Asked.arguments`."""
        _check_size(self.size, limits)
        own = {"content": uploads.path(self.content), "size": self.size, "seed": self.seed}
        return {**super().arguments(uploads, limits), **own}


class Imagine(Asked):
    """Paint a prompt: propose pictures, score them, keep the best."""

    prompt: list[Text] = Field(min_length=1, max_length=16, description="What to paint; parts may end in :WEIGHT.")
    count: int = Field(16, ge=1, le=4096, description="Pictures that are proposed.")
    keep: int = Field(4, ge=1, le=64, description="Pictures that are kept, the best first.")
    seed: Seed = Field(0, description="Seed of the first proposal; each following proposal uses the next seed.")
    size: int | None = Field(None, ge=16, le=2**15, description="Side in pixels; empty: as the painter paints them.")
    reference: UploadId | None = Field(None, description="A picture to resemble, an upload.")

    def arguments(self, uploads: Uploads, limits: ServeSettings) -> dict[str, Any]:
        """Return the arguments of `imagine`; errors as those of `Asked.arguments`."""
        _check_size(self.size, limits)
        _check_count(self.count, limits)
        own: dict[str, Any] = {"prompt": self.prompt, "count": self.count, "keep": min(self.keep, self.count)}
        own |= {"seed": self.seed, "size": self.size}
        if self.reference is not None:
            own["reference"] = uploads.path(self.reference)
        return {**super().arguments(uploads, limits), **own}


class Sample(Asked):
    """Paint the pictures of seeds."""

    n: int = Field(4, ge=1, le=4096, description="Pictures.")
    seed: Seed = Field(0, description="Seed of the first picture; each following picture uses the next seed.")
    prompt: Text | None = Field(None, description="What to paint, for a generator that takes a text.")

    def arguments(self, uploads: Uploads, limits: ServeSettings) -> dict[str, Any]:
        """Return the arguments of `sample`; errors as those of `Asked.arguments`."""
        _check_count(self.n, limits)
        return {**super().arguments(uploads, limits), "n": self.n, "seed": self.seed, "prompt": self.prompt}


class Interpolate(Asked):
    """Paint the way from one seed's picture to the next."""

    seeds: list[Seed] = Field(
        default=[1, 2], min_length=2, max_length=16, description="Two seeds or more, with commas."
    )
    prompt: Text | None = Field(None, description="What to paint, for a generator that takes a text.")
    steps: int = Field(8, ge=1, le=240, description="Pictures from one seed to the next.")

    def arguments(self, uploads: Uploads, limits: ServeSettings) -> dict[str, Any]:
        """Return the arguments of `interpolate`; errors as those of `Asked.arguments`."""
        _check_count(self.steps * (len(self.seeds) - 1) + 1, limits)
        own = {"seeds": self.seeds, "prompt": self.prompt, "steps": self.steps}
        return {**super().arguments(uploads, limits), **own}


class Mix(Asked):
    """Paint each pair of seeds: the coarse layers of one with the fine layers of the other."""

    rows: list[Seed] = Field(min_length=1, max_length=16, description="Seeds of the coarse layers.")
    columns: list[Seed] = Field(min_length=1, max_length=16, description="Seeds of the fine layers.")

    def arguments(self, uploads: Uploads, limits: ServeSettings) -> dict[str, Any]:
        """Return the arguments of `mix`; errors as those of `Asked.arguments`."""
        _check_count((len(self.rows) + 1) * (len(self.columns) + 1), limits)
        return {**super().arguments(uploads, limits), "rows": self.rows, "columns": self.columns}


class _Job(_Request):
    priority: int = Field(0, ge=-10, le=10, description="Jobs of higher priority run first.")


class StylizeJob(_Job):
    """A job of `stylize`."""

    verb: Literal["stylize"]
    request: Stylize


class DreamJob(_Job):
    """A job of `dream`."""

    verb: Literal["dream"]
    request: Dream


class ImagineJob(_Job):
    """A job of `imagine`."""

    verb: Literal["imagine"]
    request: Imagine


class SampleJob(_Job):
    """A job of `sample`."""

    verb: Literal["sample"]
    request: Sample


class InterpolateJob(_Job):
    """A job of `interpolate`."""

    verb: Literal["interpolate"]
    request: Interpolate


class MixJob(_Job):
    """A job of `mix`."""

    verb: Literal["mix"]
    request: Mix


JobRequest: TypeAlias = Annotated[
    Union[StylizeJob, DreamJob, ImagineJob, SampleJob, InterpolateJob, MixJob],  # noqa: UP007  # read at run time
    Field(discriminator="verb"),
]

REQUESTS: Mapping[str, type[Asked]] = {
    "stylize": Stylize,
    "dream": Dream,
    "imagine": Imagine,
    "sample": Sample,
    "interpolate": Interpolate,
    "mix": Mix,
}
"""What each verb may be asked."""


def _check_size(size: int | None, limits: ServeSettings) -> None:
    if size is not None and size > limits.size:
        raise SettingsError(f"size is {size}, this server allows at most {limits.size} pixels")


def _check_count(count: int, limits: ServeSettings) -> None:
    if count > limits.count:
        raise SettingsError(f"{count} pictures were asked for, this server allows at most {limits.count}")
