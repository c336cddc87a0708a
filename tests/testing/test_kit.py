"""Each check of the conformance kit catches the mistake it is for: a sound model, changed in one way, fails it."""

from __future__ import annotations

import dataclasses
import functools
import socket
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganart_zoo import ModelSpec, Use, Zoo, hookimpl
from ganart_zoo.contract import (
    Backbone,
    Condition,
    Critic,
    Field,
    Generator,
    LayerInfo,
    Settings,
    StepEvent,
    StyleGenerator,
    StyleTransfer,
    randn,
)
from ganart_zoo.ops import dispatch
from ganart_zoo.ops.workloads import shaped
from ganart_zoo.perceptual import check_previous
from ganart_zoo.testing import (
    Check,
    Subject,
    any_kind,
    backbones,
    behaviour,
    checks_for,
    critics,
    generators,
    kernels,
    steps,
)
from ganart_zoo.testing import style_transfer as transfers
from ganart_zoo.testing.whole import Case


class Plugin:
    """Offers what it is given."""

    def __init__(self, *specs: ModelSpec) -> None:
        self.specs = specs

    @hookimpl
    def ganart_models(self) -> tuple[ModelSpec, ...]:
        return self.specs


class Undescribed(Settings):
    size: int = 3


class Steps(Settings):
    steps: int = Field(3, description="How many.")


class Resolution(Settings):
    resolution: int = Field(8, description="Side.")


class Pass(StyleTransfer):
    """Sound: brightens the content by a learned amount, in steps, shared among styles that only add their share."""

    style_names = ("plain", "bright")

    def __init__(self, config: Settings, backbone: Backbone | None = None) -> None:
        super().__init__(config)
        self.amount = nn.Parameter(torch.tensor([0.9]))
        self.backbone = backbone

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None) -> Tensor:  # type: ignore[no-untyped-def]
        self.shares(styles)
        picture = (content.to(self.compute_dtype) * self.amount).to(self.picture_dtype)
        for step in range(1, (options.steps if isinstance(options, Steps) else 1) + 1):
            event = StepEvent(step, 3, "pass", {}, lambda: picture.detach().clamp(0, 1))
            if on_step is not None and on_step(event) is False:
                break
        return picture


def mutant(change: Callable[[Tensor, Pass], Tensor]) -> type[Pass]:
    """Return a `Pass` whose pictures go through `change`."""

    class Mutant(Pass):
        def stylize(self, content, styles, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
            return change(super().stylize(content, styles, **keywords), self)

    return Mutant


class HasAWrongKernel(Pass):
    """Its package has a native op that computes something else than its reference."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        dispatch._registered["kit_wrong::twice"] = _WrongOp()  # type: ignore[assignment]
        UNDO.append(lambda: dispatch._registered.pop("kit_wrong::twice", None))


HasAWrongKernel.__module__ = "kit_wrong.model"


class _WrongOp:
    workloads: ClassVar[dict[str, Any]] = {"small": [shaped(2, 3), 1.5]}

    def why_not(self, device: str, dtype: torch.dtype) -> str | None:
        return None

    def reference(self, x: Tensor, factor: float) -> Tensor:
        return x * factor

    def __call__(self, x: Tensor, factor: float) -> Tensor:
        return x * factor + 1e-4


class NeverEvaluates(Pass):
    def train(self, mode: bool = True) -> NeverEvaluates:
        return self


class ReusesScratch(Pass):
    def stylize(self, content, styles, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        self.scratch = content
        time.sleep(0.01)
        return super().stylize(self.scratch, styles, **keywords)


class WritesIntoInput(Pass):
    def stylize(self, content, styles, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        return super().stylize(content.mul_(0.5), styles, **keywords)


class HoldsALock(Pass):
    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.lock = threading.Lock()


class HidesAWeight(Pass):
    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.hidden = torch.randn(())

    def stylize(self, content, styles, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        return super().stylize(content + self.hidden, styles, **keywords)


class TrainsItsBackbone(Pass):
    def train(self, mode: bool = True) -> TrainsItsBackbone:
        nn.Module.train(self, mode)
        return self


class CountsFromZero(Pass):
    def stylize(self, content, styles, *, on_step=None, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        if on_step is not None:
            on_step(StepEvent(0, 3, "pass", {}, lambda: content.clamp(0, 1)))
        return super().stylize(content, styles, on_step=on_step, **keywords)


class StopsAtAnythingFalsy(Pass):
    def stylize(self, content, styles, *, on_step=None, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        picture = super().stylize(content, styles, **keywords)
        event = StepEvent(1, 1, "pass", {}, lambda: picture.clamp(0, 1))
        return picture * 0 if on_step is not None and not on_step(event) else picture


class SwallowsErrors(Pass):
    def stylize(self, content, styles, *, on_step=None, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        try:
            return super().stylize(content, styles, on_step=on_step, **keywords)
        except Exception:
            return content


class SumsStyles(Pass):
    def stylize(self, content, styles, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        return super().stylize(content, styles, **keywords) + sum(style.weight for style in styles)


class TakesAnyName(Pass):
    def shares(self, styles):  # type: ignore[no-untyped-def]
        return (1.0,) * len(styles)


class NeedsAStyle(Pass):
    def stylize(self, content, styles, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        return super().stylize(content * styles[0].weight, styles, **keywords)


class Starts(Pass):
    """Sound: starts from a given picture."""

    def stylize(self, content, styles, *, init=None, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        return super().stylize(content if init is None else init, styles, **keywords)


class Keeps(Pass):
    """Sound: keeps what was painted on the frame before, where it is right."""

    def stylize(self, content, styles, *, previous=None, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        check_previous(previous, content)
        picture = super().stylize(content, styles, **keywords)
        return picture if previous is None else torch.lerp(picture, *self.kept(*previous))

    def kept(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return image, mask


class KeepsNothing(Keeps):
    def kept(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return image, 0 * mask


class KeepsTheHidden(Keeps):
    def kept(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return image, torch.ones_like(mask)


class OvercountsSteps(Pass):
    def stylize(self, content, styles, *, on_step=None, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        def counted(event: StepEvent) -> Any:
            return on_step(dataclasses.replace(event, total=9))

        return super().stylize(content, styles, on_step=None if on_step is None else counted, **keywords)


def built_with(action: Callable[[], object]) -> type[Pass]:
    """Return a `Pass` whose constructor does something."""

    class Built(Pass):
        def __init__(self, config: Settings) -> None:
            super().__init__(config)
            action()

    return Built


def restored(action: Callable[[], object], undo: Callable[[], object]) -> Callable[[], object]:
    """Return an action that is undone at the end of the test."""

    def act() -> None:
        UNDO.append(undo)
        action()

    return act


UNDO: list[Callable[[], object]] = []
KEPT: list[Tensor] = []


class Paint(Generator):
    """Sound: latents are the picture, and a label brightens it."""

    latent_shape: tuple[int, ...] = (3, 8, 8)

    def sample_latents(self, n, *, rng=None, options=None) -> Tensor:  # type: ignore[no-untyped-def]
        return randn((n, *self.latent_shape), rng)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:  # type: ignore[no-untyped-def]
        if condition is not None and condition.labels is not None:
            return latents + condition.labels.view(-1, 1, 1, 1)
        return latents


class DrawsTheBatchAtOnce(Paint):
    def sample_latents(self, n, *, rng=None, options=None) -> Tensor:  # type: ignore[no-untyped-def]
        return torch.randn(n, 5, generator=rng) if isinstance(rng, torch.Generator) else randn((n, 5), rng)

    latent_shape = (5,)


class DrawsTwiceFromOneGenerator(Paint):
    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:  # type: ignore[no-untyped-def]
        randn(latents.shape, rng)
        return latents + randn(latents.shape, rng)


class PaintsLarger(Paint):
    latent_shape = (3, 9, 9)


class OtherDefaults(Paint):
    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:  # type: ignore[no-untyped-def]
        return latents * (2 if options is None else options.steps)


class NeedsACondition(Paint):
    def forward(self, latents, condition=None, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        return latents + condition.labels.view(-1, 1, 1, 1)


class CountsLabels(Paint):
    def forward(self, latents, condition=None, **keywords) -> Tensor:  # type: ignore[no-untyped-def]
        return latents + (0 if condition is None else len(condition.labels))


class Styled(StyleGenerator):
    """Sound: a style is a colour."""

    latent_shape = (3,)
    num_ws, w_dim = 2, 3

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.register_buffer("mean_w", torch.zeros(3))

    sample_latents = Paint.sample_latents

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        return latents[:, None].expand(-1, self.num_ws, -1)

    def synthesize(self, ws, *, rng=None) -> Tensor:  # type: ignore[no-untyped-def]
        return ws.mean(dim=1)[:, :, None, None].expand(-1, -1, 8, 8).to(self.picture_dtype)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:  # type: ignore[no-untyped-def]
        return self.synthesize(self.map(latents), rng=rng)


class MeanOfAnotherShape(Styled):
    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.register_buffer("mean_w", torch.zeros(1, 3))


class StoresNoNoise(Styled):
    def synthesize(self, ws, *, rng=None) -> Tensor:  # type: ignore[no-untyped-def]
        return super().synthesize(ws) + randn((len(ws), 3, 8, 8), rng)


class Brightness(Critic):
    """Sound: votes for bright pictures, by how much a text's length asks for."""

    def embed(self, condition: Condition) -> Condition:
        if condition.embedding is not None or condition.prompts is None:
            return condition
        return condition._replace(embedding=torch.tensor([[float(len(text))] for text in condition.prompts]))

    def forward(self, images, condition=None) -> Tensor:  # type: ignore[no-untyped-def]
        wish = self.embed(condition or Condition()).rows(len(images)).embedding
        votes = images.mean(dim=(1, 2, 3))[:, None]
        return votes if wish is None else votes * wish


class Deaf(Brightness):
    def embed(self, condition: Condition) -> Condition:
        return condition._replace(embedding=torch.ones(1, 1))


class FlatVotes(Brightness):
    def forward(self, images, condition=None) -> Tensor:  # type: ignore[no-untyped-def]
        return images.mean(dim=(1, 2, 3))


class MixesBatches(Brightness):
    takes_batches = True

    def forward(self, images, condition=None, *, batches=1) -> Tensor:  # type: ignore[no-untyped-def]
        return super().forward(images, condition) - images.mean()


class NeverEmbeds(Brightness):
    def embed(self, condition: Condition) -> Condition:
        return condition


class Pool(Backbone):
    """Sound: two convolutions."""

    taps: Mapping[str, tuple[str, ...]] = {"style": ("fine",)}
    layers: Mapping[str, LayerInfo] = {"fine": LayerInfo(4, 1), "coarse": LayerInfo(5, 2)}

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.fine = nn.Conv2d(3, 4, 3, padding=1)
        self.coarse = nn.Conv2d(4, 5, 3, stride=2, padding=1)

    def forward(self, images, layers) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
        names = self.check_layers(layers)
        found = {"fine": self.fine(images.to(self.compute_dtype))}
        if "coarse" in names:
            found["coarse"] = self.coarse(found["fine"])
        return {name: found[name] for name in names}


class MisstatesStride(Pool):
    layers: Mapping[str, LayerInfo] = {"fine": LayerInfo(4, 1), "coarse": LayerInfo(5, 4)}


class DeclaresReach(Pool):
    """Sound: the first convolution looks at 1 pixel beyond its own, and the second at one more."""

    layers: Mapping[str, LayerInfo] = {"fine": LayerInfo(4, 1, 1), "coarse": LayerInfo(5, 2, 2)}
    taps: Mapping[str, tuple[str, ...]] = {"style": ("fine", "coarse")}


class MisstatesReach(DeclaresReach):
    layers: Mapping[str, LayerInfo] = {"fine": LayerInfo(4, 1, 1), "coarse": LayerInfo(5, 2, 1)}


class Unpadded(Pool):
    """Sound: loses two pixels a side to each of two convolutions, and then half."""

    layers: Mapping[str, LayerInfo] = {"fine": LayerInfo(4, 1), "coarse": LayerInfo(5, 2)}

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.fine = nn.Conv2d(3, 4, 5)
        self.coarse = nn.Conv2d(4, 5, 3, stride=2)


class UnpaddedMisstatesStride(Unpadded):
    """Would pass for a stride of 2 by the size of the pictures alone, which are small enough."""

    def forward(self, images, layers) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
        found = super().forward(images, layers)
        return {name: features[..., :15, :21] if name == "coarse" else features for name, features in found.items()}


class IgnoresOrder(Pool):
    def forward(self, images, layers) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
        return super().forward(images, [name for name in self.layers if name in layers])


class ComputesAll(Pool):
    def forward(self, images, layers) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
        features = super().forward(images, tuple(self.layers))
        return {name: features[name] for name in layers}


class TapsNothing(Pool):
    taps: Mapping[str, tuple[str, ...]] = {"style": ("finest",)}


STYLE = {"kind": "style_transfer", "capabilities": {"no_style"}}
BORROWING = {**STYLE, "uses": {"backbone": Use("backbone", "pool")}}
CRITIC, BACKBONE = {"kind": "critic"}, {"kind": "backbone"}
IN_STEPS = {**STYLE, "options": f"{__name__}:Steps"}
LABELS = {"kind": "generator", "capabilities": {"labels"}}
FREE = {"kind": "generator", "capabilities": {"unconditional"}}

SOUND: list[tuple[type, dict[str, Any]]] = [
    (Pass, {**IN_STEPS, "capabilities": {"no_style", "named_styles", "image_styles", "differentiable", "trainable"}}),
    (Starts, {**STYLE, "capabilities": {"no_style", "init"}}),
    (Keeps, {**STYLE, "capabilities": {"no_style", "temporal"}}),
    (Paint, {**FREE, "config": f"{__name__}:Resolution", "capabilities": {"unconditional", "labels"}}),
    (Styled, FREE),
    (Brightness, {**CRITIC, "capabilities": {"prompt", "differentiable"}}),
    (Pool, BACKBONE),
    (DeclaresReach, BACKBONE),
    (Unpadded, BACKBONE),
]

CAUGHT: list[tuple[Check, type, dict[str, Any]]] = [
    (any_kind.is_declared_soundly, Pass, {**STYLE, "uses": {"backbone": Use("backbone", default="nobody/knows")}}),
    (any_kind.settings_survive_json, Pass, {**STYLE, "config": f"{__name__}:Undescribed"}),
    (any_kind.comes_ready_to_call, NeverEvaluates, STYLE),
    (any_kind.repeats_itself, mutant(lambda picture, model: picture + torch.rand(())), STYLE),
    (any_kind.keeps_no_state, mutant(lambda picture, model: setattr(model, "last", picture) or picture), STYLE),
    (any_kind.serves_threads_alike, ReusesScratch, STYLE),
    (any_kind.rows_do_not_see_each_other, mutant(lambda picture, model: picture - picture.mean()), STYLE),
    (any_kind.rows_do_not_see_each_other, DrawsTwiceFromOneGenerator, FREE),
    (any_kind.gives_pictures_in_float32_or_float64, mutant(lambda picture, model: picture.float()), STYLE),
    (any_kind.gives_pictures_in_float32_or_float64, mutant(lambda picture, model: picture / 0), STYLE),
    (any_kind.leaves_inputs_and_global_randomness_alone, WritesIntoInput, STYLE),
    (
        any_kind.leaves_inputs_and_global_randomness_alone,
        mutant(lambda x, m: x + 0 * torch.rand(1)),
        STYLE,
    ),
    (any_kind.leaves_inputs_and_global_randomness_alone, mutant(lambda x, m: print("done") or x), STYLE),
    (any_kind.can_be_copied, HoldsALock, STYLE),
    (any_kind.own_state_is_complete_and_strict, HidesAWeight, STYLE),
    (any_kind.gradients_reach_inputs_even_outside_0_to_1, mutant(lambda x, m: x.clamp(0.9, 1)), STYLE),
    (
        any_kind.training_touches_only_own_parts,
        TrainsItsBackbone,
        {**STYLE, "uses": {"backbone": Use("backbone", "pool")}},
    ),
    (generators.latents_are_shaped_and_seeded, DrawsTheBatchAtOnce, FREE),
    (generators.makes_square_pictures_of_its_resolution, PaintsLarger, {**FREE, "config": f"{__name__}:Resolution"}),
    (behaviour.no_options_means_the_defaults, OtherDefaults, {**FREE, "options": f"{__name__}:Steps"}),
    (generators.works_without_condition, NeedsACondition, FREE),
    (generators.one_label_serves_all_rows, CountsLabels, LABELS),
    (generators.styles_map_mix_and_truncate, MeanOfAnotherShape, FREE),
    (generators.stored_noise_repeats_and_rng_noise_follows_its_seed, StoresNoNoise, FREE),
    (critics.votes_in_rows, FlatVotes, CRITIC),
    (critics.judges_batches_apart, MixesBatches, CRITIC),
    (critics.prompts_embed_once, NeverEmbeds, CRITIC),
    (behaviour.builds_quietly, built_with(lambda: torch.manual_seed(5)), STYLE),
    (behaviour.builds_quietly, built_with(lambda: np.random.seed(5)), STYLE),
    (behaviour.builds_quietly, built_with(lambda: print("ready")), STYLE),
    (behaviour.builds_quietly, built_with(lambda: socket.socket().close()), STYLE),
    (behaviour.builds_quietly, built_with(lambda: tempfile.TemporaryFile().close()), STYLE),
    (behaviour.builds_quietly, built_with(lambda: subprocess.run(["true"], check=False)), STYLE),
    (behaviour.builds_quietly, built_with(lambda: warnings.warn("old", UserWarning, stacklevel=2)), STYLE),
    (
        behaviour.builds_quietly,
        built_with(
            restored(lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32))
        ),
        STYLE,
    ),
    (
        behaviour.builds_quietly,
        built_with(
            restored(
                lambda: torch.use_deterministic_algorithms(True), lambda: torch.use_deterministic_algorithms(False)
            )
        ),
        STYLE,
    ),
    (
        behaviour.builds_quietly,
        built_with(
            restored(
                lambda: torch.set_num_threads(5),
                functools.partial(torch.set_num_threads, torch.get_num_threads()),
            )
        ),
        STYLE,
    ),
    (behaviour.works_quietly, mutant(lambda x, m: np.random.rand() * 0 + x), STYLE),
    (behaviour.works_quietly, mutant(lambda x, m: socket.socket().close() or x), STYLE),
    (behaviour.works_quietly, mutant(lambda x, m: warnings.warn("old", stacklevel=2) or x), STYLE),
    (behaviour.keeps_no_growing_cache, mutant(lambda x, m: KEPT.append(x) or x), STYLE),
    (behaviour.heeds_init, Pass, {**STYLE, "capabilities": {"no_style", "init"}}),
    (behaviour.heeds_the_prompt, Deaf, {**CRITIC, "capabilities": {"prompt"}}),
    (any_kind.gradients_reach_inputs_even_outside_0_to_1, mutant(lambda x, m: x.clamp(0, 1)), STYLE),
    (transfers.keeps_the_size, mutant(lambda picture, model: picture[:, :, 1:]), STYLE),
    (transfers.only_shares_of_styles_count, SumsStyles, STYLE),
    (transfers.names_are_known_and_checked, TakesAnyName, STYLE),
    (transfers.works_without_style, NeedsAStyle, STYLE),
    (transfers.keeps_what_was_painted, KeepsNothing, {**STYLE, "capabilities": {"no_style", "temporal"}}),
    (transfers.keeps_what_was_painted, KeepsTheHidden, {**STYLE, "capabilities": {"no_style", "temporal"}}),
    (kernels.kernels_compute_what_their_references_define, HasAWrongKernel, STYLE),
    (backbones.layers_are_as_declared, MisstatesStride, BACKBONE),
    (backbones.layers_are_as_declared, UnpaddedMisstatesStride, BACKBONE),
    (backbones.reach_is_as_declared, MisstatesReach, BACKBONE),
    (backbones.layers_come_as_asked, IgnoresOrder, BACKBONE),
    (backbones.stops_at_the_deepest_layer, ComputesAll, BACKBONE),
    (backbones.taps_are_layers, TapsNothing, BACKBONE),
    (steps.reports_each_step, CountsFromZero, IN_STEPS),
    (steps.reports_each_step, OvercountsSteps, IN_STEPS),
    (steps.only_false_stops, StopsAtAnythingFalsy, IN_STEPS),
    (steps.errors_of_the_listener_reach_the_caller, SwallowsErrors, IN_STEPS),
]


MUTANT: type = object
"""The model under test, where its factory's path finds it."""


def subject(model: type, declared: dict[str, Any]) -> Subject:
    """Return a model class as the subject of checks."""
    pool = ModelSpec(name="pool", kind="backbone", summary="Two.", license="MIT", factory=f"{__name__}:Pool")
    globals()["MUTANT"] = model
    spec = ModelSpec(name="mutant", summary="One.", license="MIT", factory=f"{__name__}:MUTANT", **declared)
    options = {"steps": 3} if "options" in declared else {}
    return Subject(Zoo(plugins=[Plugin(spec, pool)]), "mutant", options=options)


@pytest.mark.parametrize(("check", "model", "declared"), CAUGHT, ids=lambda value: getattr(value, "__name__", ""))
def test_a_mistake_is_caught(check: Check, model: type, declared: dict[str, Any]) -> None:
    torch.manual_seed(0)
    try:
        with pytest.raises((AssertionError, TypeError, AttributeError, IndexError)):
            check(subject(model, declared))
    finally:
        while UNDO:
            UNDO.pop()()


@pytest.mark.parametrize(("model", "declared"), SOUND, ids=lambda value: getattr(value, "__name__", ""))
def test_sound_models_pass(model: type, declared: dict[str, Any]) -> None:
    torch.manual_seed(0)
    sound = subject(model, declared)
    for check in checks_for(sound):
        check(sound)


def test_every_check_is_tried_on_a_sound_model_and_on_a_mistake() -> None:
    used = {check for model, declared in SOUND for check in checks_for(subject(model, declared))}
    assert used == {check for check, _, _ in CAUGHT}


def test_what_a_model_leaves_behind_is_not_blamed_on_the_next() -> None:
    def leaves(subject: None) -> None:
        """It leaves nothing."""
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        raise AssertionError

    with pytest.raises(AssertionError, match=r"^not so: It leaves nothing\.$"):
        Case("any", leaves, None)()
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
