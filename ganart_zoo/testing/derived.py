"""Small inputs for any model or recipe, derived from its declaration, so that the kit needs no test code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from ganart_zoo.contract import (
    Condition,
    GanartError,
    ImageError,
    Model,
    ModelError,
    ModelSpec,
    PluginFaultError,
    SettingsError,
    Style,
    StyleTransfer,
    Weights,
    WeightsMissingError,
    generator,
)
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.testing.subject import Subject

__all__ = ["NotHereError", "subject_for"]

_RESOLUTIONS = (16, 32, 64)
_SIZES = ((37, 50), (32, 32), (64, 64), (224, 224))
_STEPS = 2


class NotHereError(Exception):
    """A model cannot be checked on this machine: its weights are not here, and it cannot be made without them."""


def subject_for(zoo: Zoo, entry: Entry) -> Subject:
    """Return a subject with small settings, options, conditions and pictures that the model accepts.

    Args:
        zoo: That offers the model.
        entry: The model.

    Raises:
        NotHereError: Weights are missing, and the model cannot be made untrained.
        GanartError: The model cannot be created or called with any of the inputs.
    """
    spec = entry.spec
    subject = Subject(zoo, entry.canonical, options=_options(zoo, entry))
    chosen = _weights_here(zoo, spec)
    common: dict[str, Any] = {"weights": None if chosen is None else chosen.name, **_uses(zoo, spec)}
    created: Model | None = None
    failure: Exception | None = None
    fixed = {} if chosen is None else dict(chosen.config)
    for settings in _settings(zoo, entry, fixed):
        # what the weights fix is stated, so that the kit can make the same network untrained
        subject = replace(subject, settings={**common, **fixed, **settings})
        try:
            created = subject.create()
            break
        except WeightsMissingError as error:
            raise NotHereError(str(error)) from error
        except (SettingsError, ModelError) as error:  # weights may fit one resolution alone
            failure = failure or error
    if created is None:
        if spec.folder and chosen is None:
            raise NotHereError(f"its weights are not on this machine, and untrained: {failure}")
        assert failure is not None
        raise failure
    subject = replace(subject, condition=_condition(spec, created), styles=_styles(spec, created))
    if spec.folder and chosen is None:
        try:
            subject.call(created)
        except PluginFaultError:
            raise
        except GanartError as error:  # its network comes with its weights
            raise NotHereError(f"its weights are not on this machine, and untrained: {error}") from error
    return _sized(subject, created)


def _weights_here(zoo: Zoo, spec: ModelSpec) -> Weights | None:
    """Return the first variant all of whose files are on this machine, the default one first."""
    variants = sorted(spec.weights, key=lambda variant: variant.name != "default")
    here = (v for v in variants if all(zoo.store.locate(file) is not None for file in v.files))
    return next(here, None)


def _uses(zoo: Zoo, spec: ModelSpec) -> dict[str, Any]:
    """Return the models that it is built on, untrained where their weights are not on this machine."""
    found: dict[str, Any] = {}
    for key, use in spec.uses.items():
        if use.default is None:
            candidates = [entry for entry in zoo.list(kind=use.kind) if not entry.spec.uses and not entry.spec.folder]
            if not candidates:
                raise NotHereError(f"no installed {use.kind} fits {key!r}")
            default = min(candidates, key=lambda entry: not entry.spec.weights).canonical
        else:
            default = use.default
        used = zoo.spec(default)
        found[key] = default if _weights_here(zoo, used) else {"model": default, "weights": None}
    return found


def _settings(zoo: Zoo, entry: Entry, fixed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield settings to try: a small resolution where there is one, and classes where the model cannot do without."""
    fields = zoo.settings(entry.canonical).config_class.model_fields
    base: dict[str, Any] = {}
    can = entry.spec.capabilities
    if "labels" in can and not can & {"unconditional", "prompt"} and "class_names" in fields:
        base["class_names"] = ("one", "two", "three")
    base = {key: value for key, value in base.items() if key not in fixed}
    if "resolution" in fields and "resolution" not in fixed:
        for resolution in _RESOLUTIONS:
            yield {**base, "resolution": resolution}
    yield base


def _options(zoo: Zoo, entry: Entry) -> dict[str, Any]:
    """Return options for a short call."""
    settings = zoo.settings(entry.canonical)
    if "steps" not in settings.option_names:
        return {}
    for steps in (_STEPS, 4, 8):
        try:
            zoo.options(entry.canonical, steps=steps)
        except SettingsError:
            continue
        return {"steps": steps}
    return {}


def _condition(spec: ModelSpec, model: Model) -> Condition | None:
    can = spec.capabilities
    if getattr(model.config, "class_names", ()) and "labels" in can:
        return Condition(labels=torch.tensor([0]))
    if "unconditional" in can:
        return None
    if "prompt" in can:
        return Condition(prompts=("a red circle on blue",))
    if "reference" in can:
        return Condition(images=torch.rand(1, 3, 48, 48, generator=generator(7)))
    return None


def _styles(spec: ModelSpec, model: Model) -> tuple[Style, ...]:
    named = "named_styles" in spec.capabilities and "image_styles" not in spec.capabilities
    if named and isinstance(model, StyleTransfer) and model.style_names:
        return (Style(name=model.style_names[0]),)
    return ()


def _sized(subject: Subject, model: Model) -> Subject:
    """Return the subject with the first size of pictures that the model accepts."""
    if subject.spec.kind == "generator":
        return subject
    side = getattr(model.config, "resolution", None)
    sizes = ((side, side), *_SIZES) if isinstance(side, int) and subject.spec.kind == "critic" else _SIZES
    failure: Exception | None = None
    for size in sizes:
        try:
            replace(subject, size=size).call(model)
        except (ImageError, SettingsError) as error:
            failure = failure or error
            continue
        except Exception:
            return replace(subject, size=size)  # the call itself is at fault, which the kit will say
        return replace(subject, size=size)
    assert failure is not None
    raise failure
