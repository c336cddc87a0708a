"""What every model must do, whatever its kind."""

from __future__ import annotations

import contextlib
import copy
import io
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ganart_zoo.contract import Backbone, Model, ModelError, generator
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["CHECKS"]

_THREADS = 4


def is_declared_soundly(subject: Subject) -> None:
    """The declaration has no problems, and what it points at exists."""
    canonical = subject.zoo.entry(subject.name).canonical
    faults = [fault for fault in subject.zoo.check() if fault.model == subject.spec.name]
    assert not faults, f"{canonical}: {faults[0]}"
    provenance = subject.create().provenance
    assert provenance is not None
    assert provenance.model == canonical, f"provenance names {provenance.model}, expected {canonical}"


def settings_survive_json(subject: Subject) -> None:
    """Config and options have a JSON Schema that describes each field, and survive a round trip through JSON."""
    settings = subject.zoo.settings(subject.name)
    provenance = subject.create().provenance
    assert provenance is not None
    again = settings.config(provenance.config)
    assert again.model_dump(mode="json") == provenance.config, f"{again!r} is not what {provenance.config} described"
    for values in (again, settings.options(subject.options)):
        assert type(values).model_validate_json(values.model_dump_json()) == values, (
            f"{values!r} changes in a round trip through JSON"
        )
        for name, schema in type(values).model_json_schema().get("properties", {}).items():
            assert schema.get("description"), f"{name} has no description; give its Field one"


def comes_ready_to_call(subject: Subject) -> None:
    """A created model is in eval mode and frozen."""
    model = subject.create()
    training = [name for name, module in model.named_modules() if module.training]
    assert not training, f"in training mode: {training}"
    thawed = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert not thawed, f"not frozen: {thawed}"


def repeats_itself(subject: Subject) -> None:
    """The same seeds give the same values, bit for bit."""
    model = subject.create()
    _assert_equal(subject.call(model), subject.call(model), "a repeated call")


def keeps_no_state(subject: Subject) -> None:
    """A call changes no tensor, flag or attribute of the model."""
    model = subject.create()
    before = _snapshot(model)
    subject.call(model)
    changed = [key for key, value in _snapshot(model).items() if before.get(key) != value]
    assert not changed, f"a call changed {', '.join(changed)}"


def serves_threads_alike(subject: Subject) -> None:
    """Threads that share the model get the same values as a single thread."""
    model = subject.create()
    alone = [subject.call(model, seed=10 * index) for index in range(_THREADS)]
    with ThreadPoolExecutor(_THREADS) as pool:
        together = list(pool.map(lambda index: subject.call(model, seed=10 * index), range(_THREADS)))
    for one, other in zip(alone, together, strict=True):
        _assert_close(one, other, subject.tolerance, "a call beside other threads")


def rows_do_not_see_each_other(subject: Subject) -> None:
    """A row has the same values in a batch of any size, with one generator per row and with one for all rows."""
    model = subject.create()
    for rng in (None, 7):
        few, many = (subject.call(model, n, rng=None if rng is None else generator(rng)) for n in (2, 3))
        _assert_close([rows[:2] for rows in many], few, subject.tolerance, "a row of a larger batch")


def gives_pictures_in_float32_or_float64(subject: Subject) -> None:
    """Pictures and votes are float32, or float64 if the compute dtype is; features have the compute dtype."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        model = subject.create(dtype=dtype)
        for tensor in subject.call(model):
            expected = dtype if isinstance(model, Backbone) else model.picture_dtype
            assert tensor.dtype == expected, f"{dtype} model gave {tensor.dtype}, expected {expected}"
            assert tensor.isfinite().all(), f"{dtype} model gave values that are not finite"


def leaves_inputs_and_global_randomness_alone(subject: Subject) -> None:
    """A call with its own rng changes neither its inputs nor the global random states, and prints nothing."""
    model = subject.create()
    inputs = _inputs(subject, model)
    copied, before = inputs.clone(), _random_states()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        subject.call(model, images=inputs)
    assert torch.equal(inputs, copied), "a call changed its input in place"
    assert _random_states() == before, "a call used global randomness although it was given an rng"
    assert not printed.getvalue(), f"a call printed {printed.getvalue()[:80]!r}"


def can_be_copied(subject: Subject) -> None:
    """A deep copy gives the same values; weight averages and workers rely on deep copies."""
    model = subject.create()
    _assert_equal(subject.call(model), subject.call(copy.deepcopy(model)), "a deep copy")


def own_state_is_complete_and_strict(subject: Subject) -> None:
    """Loading `own_state()` makes a fresh model equal, and a state with a missing or an extra tensor is refused."""
    model = subject.create()
    state = {key: value.clone() for key, value in model.own_state().items()}
    borrowed = [key for path in model.borrowed() for key in state if key.startswith(f"{path}.")]
    assert not borrowed, f"own_state holds tensors of borrowed models: {borrowed}"
    uses = {key: getattr(model, key) for key in subject.spec.uses if isinstance(getattr(model, key, None), Model)}
    # first weights from another seed, so that a weight that own_state() lacks differs
    fresh = subject.create(weights=None, rng=generator(977), **uses)
    fresh.load_own_state(state)
    if len(uses) == len(subject.spec.uses):  # else the borrowed models differ
        _assert_equal(subject.call(model), subject.call(fresh), "own_state loaded into a fresh model")
    wrong = [{**state, "no.such.tensor": torch.zeros(1)}]
    wrong += [{key: value for key, value in state.items() if key != next(iter(state))}] if state else []
    for other in wrong:
        try:
            fresh.load_own_state(other)
        except ModelError:
            continue
        raise AssertionError("load_own_state accepted a state with a missing or an extra tensor")


def gradients_reach_inputs_even_outside_0_to_1(subject: Subject) -> None:
    """For `differentiable` models: gradients are finite and not zero, for values outside 0..1 too (nothing clamps)."""
    model = subject.create()
    for scale, shift in ((1.0, 0.0), (3.0, -1.0)):
        inputs = (_inputs(subject, model) * scale + shift).requires_grad_()
        results = subject.call(model, images=inputs)
        total = sum((tensor.float().square().mean() for tensor in results), torch.zeros(()))
        (gradient,) = torch.autograd.grad(total, inputs)
        assert gradient.isfinite().all(), "the gradient is not finite"
        for row, values in enumerate(gradient):
            assert values.abs().max() > 0, f"no gradient reaches row {row} of inputs * {scale} + {shift}"
        _assert_not_clamped(inputs, gradient, results)


def _assert_not_clamped(inputs: Tensor, gradient: Tensor, results: list[Tensor]) -> None:
    """Refuse a model that clamps pictures: nothing flows where they leave 0..1, or results stick at 0 and 1."""
    outside = (inputs < 0) | (inputs > 1)
    if inputs.ndim != 4 or inputs.shape[1] != 3:  # latents, at which a trained network may well saturate
        return
    if outside.any() and not outside.all():
        flowing = gradient != 0
        within, beyond = (float(flowing[part].float().mean()) for part in (~outside, outside))
        assert not (within > 0.5 and beyond < 0.01), "its input is clamped: no gradient where a picture leaves 0..1"
    for tensor in results:
        if tensor.ndim == 4 and outside.any():
            ends = float(((tensor == 0) | (tensor == 1)).float().mean())
            held = bool(tensor.min() >= 0) and bool(tensor.max() <= 1)
            assert not (held and ends > 0.3), f"its result is clamped: {ends:.0%} of the values are exactly 0 or 1"


def training_touches_only_own_parts(subject: Subject) -> None:
    """For `trainable` models: `train()` and `requires_grad_()` reach all own parts and no borrowed model."""
    model = subject.create()
    model.train()
    model.requires_grad_()
    own = list(model.own_parameters())
    assert own, "there is nothing to train"
    assert all(parameter.requires_grad for parameter in own), "an own parameter stayed frozen"
    for path, other in model.borrowed().items():
        assert not any(module.training for module in other.modules()), f"borrowed {path} went into training mode"
        assert not any(parameter.requires_grad for parameter in other.parameters()), f"borrowed {path} was unfrozen"
    for tensor in subject.call(model):
        assert tensor.requires_grad, "the result of a model in training does not depend on its parameters"


def _inputs(subject: Subject, model: Model) -> Tensor:
    """Return the input tensor of the subject's call: latents or pictures."""
    sample = getattr(model, "sample_latents", None)
    if sample is None:
        return subject.images(2, dtype=model.picture_dtype)
    latents: Tensor = sample(2, rng=generator(0), options=subject.zoo.options(subject.name, **subject.options))
    return latents


def _snapshot(model: Model) -> dict[str, Any]:
    """Return everything that a call could change, by name, in a form that can be compared."""
    snapshot: dict[str, Any] = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                snapshot[f"{path}.{name}"] = (id(value), len(value) if hasattr(value, "__len__") else None)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        snapshot[name] = (id(tensor), tensor._version, tensor.requires_grad, tensor.grad is None)
    return snapshot


def _random_states() -> tuple[object, ...]:
    return bytes(torch.get_rng_state().tolist()), random.getstate()


def _assert_equal(one: list[Tensor], other: list[Tensor], what: str) -> None:
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left, right), f"{what} differs by up to {(left - right).abs().max():.3g}"


def _assert_close(one: list[Tensor], other: list[Tensor], tolerance: float, what: str) -> None:
    for left, right in zip(one, other, strict=True):
        difference = float((left - right).abs().max())
        bound = tolerance * max(1.0, float(right.abs().max()))
        assert difference <= bound, f"{what} differs by up to {difference:.3g}, more than {bound:.3g}"


CHECKS: tuple[Check, ...] = (
    is_declared_soundly,
    settings_survive_json,
    comes_ready_to_call,
    repeats_itself,
    keeps_no_state,
    serves_threads_alike,
    rows_do_not_see_each_other,
    gives_pictures_in_float32_or_float64,
    leaves_inputs_and_global_randomness_alone,
    can_be_copied,
    own_state_is_complete_and_strict,
)
