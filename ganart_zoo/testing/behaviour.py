"""What a model may not do to the program around it, and what its call must heed: for every kind."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from ganart_zoo.contract import Condition, Critic, Generator, Model, StepEvent, Style, StyleTransfer, generator
from ganart_zoo.ops import FallbackWarning
from ganart_zoo.registry.watching import watch
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["CHECKS", "heeds_init", "heeds_the_prompt", "no_options_means_the_defaults", "torch_state", "watched"]

_WORDS = {
    "network": "used the network:",
    "process": "started a process or a thread:",
    "writes": "wrote files:",
    "prints": "printed",
    "state": "changed",
    "warns": "warned:",
}


def torch_state() -> dict[str, Any]:
    """Return the switches of torch and NumPy that belong to the program, and their random states."""
    found: dict[str, Any] = {
        "torch's random state": bytes(torch.get_rng_state().tolist()),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's anomaly mode": torch.is_anomaly_enabled(),
        "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
        "torch.backends.cudnn.deterministic": torch.backends.cudnn.deterministic,
        "torch's matmul precision": torch.get_float32_matmul_precision(),
    }
    if (numpy := sys.modules.get("numpy")) is not None:
        kind, keys, *rest = numpy.random.get_state()
        found["NumPy's random state"] = (kind, keys.tobytes(), *rest)
    return found


@contextmanager
def watched() -> Iterator[dict[str, list[str]]]:
    """Record what a block does to the program and the machine: see `registry.watching.watch`; also `"warns"`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with watch(torch_state) as seen:
            yield seen
    own = [each for each in caught if not issubclass(each.category, FallbackWarning)]
    if own:
        seen["warns"] = [str(own[0].message).splitlines()[0][:120]]


def builds_quietly(subject: Subject) -> None:
    """Creating a model seeds nothing, changes no switch, prints nothing, and uses no network, process or file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subject.create()  # imports are done
    with _other_switches(), _moved_random_states(), watched() as seen:
        subject.create()
    _assert_quiet(seen, "creating the model")


def works_quietly(subject: Subject) -> None:
    """A call changes no global random state or switch, warns of nothing, and uses no network, process or file."""
    model = subject.create()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subject.call(model)  # what is done once, such as a lazy import, is done
    with _moved_random_states(), watched() as seen:
        subject.call(model)
    # `leaves_inputs_and_global_randomness_alone` is about prints and these states
    seen.pop("prints", None)
    seen["state"] = [
        name for name in seen.get("state", ()) if name not in ("torch's random state", "Python's random state")
    ]
    _assert_quiet({key: values for key, values in seen.items() if values}, "a call")


def keeps_no_growing_cache(subject: Subject) -> None:
    """Calls with other inputs leave no more objects in the module-level containers of the plugin."""
    model = subject.create()
    modules = _modules_of(model)
    sizes = []
    for seed in (0, 100, 200, 300):
        subject.call(model, seed=seed)
        sizes.append(_sizes(modules))
    grown = [name for name in sizes[-1] if sizes[1].get(name, 0) < sizes[2].get(name, 0) < sizes[3].get(name, 0)]
    assert not grown, f"{', '.join(grown)} grows with each call; bound it, or keep nothing between calls"


def no_options_means_the_defaults(subject: Subject) -> None:
    """`options=None` is the same as the options class with its defaults; of a work in steps, the first one."""
    model = subject.create()

    def first(event: StepEvent) -> bool:
        return False

    stepped = "steps" in subject.zoo.settings(subject.name).option_names
    results = []
    for options in (None, subject.zoo.options(subject.name)):
        results.append(_with_options(subject, model, options, first if stepped else None))
    assert torch.equal(*results), "options=None gives another result than the defaults of the options class"


def heeds_init(subject: Subject) -> None:
    """For `init` of style transfers: another picture to start from gives another result."""
    model = cast(StyleTransfer, subject.create())
    content, options = subject.images(1), subject.zoo.options(subject.name, **subject.options)
    one, other = (
        model.stylize(
            content, subject.chosen_styles(), init=subject.images(1, seed=seed), rng=generator(0), options=options
        )
        for seed in (50, 60)
    )
    assert not torch.equal(one, other), "init is ignored: two pictures to start from give one result"


def heeds_the_prompt(subject: Subject) -> None:
    """For `prompt`, with trained weights: another prompt gives another result."""
    model = subject.create()
    trained = model.provenance is not None and bool(model.provenance.files)
    if not trained and next(model.parameters(), None) is not None:
        return  # an untrained network may well ignore it
    results = []
    for prompt in ("a red circle on blue", "a green tree at night"):
        condition = Condition(prompts=(prompt,))
        if isinstance(model, Critic):
            results.append(model.score(subject.images(2), condition))
        elif isinstance(model, Generator):
            latents = model.sample_latents(1, rng=generator(1))
            options = subject.zoo.options(subject.name, **subject.options)
            results.append(model(latents, condition, rng=generator(2), options=options))
    if results:
        assert not torch.equal(*results), "the prompt is ignored: two prompts give one result"


@contextmanager
def _other_switches() -> Iterator[None]:
    """Set switches of torch to other values for a block, so that setting them again as before is seen."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    strict, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark, precision = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    torch.set_default_dtype(torch.float64 if dtype == torch.float32 else torch.float32)
    torch.set_num_threads(threads + 1)
    torch._C._set_deterministic_algorithms(not strict, warn_only=True)  # the public one imports a compiler first
    torch.backends.cudnn.benchmark = not benchmark
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch._C._set_deterministic_algorithms(strict, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        torch.set_float32_matmul_precision(precision)


@contextmanager
def _moved_random_states() -> Iterator[None]:
    """Move the random states on for a block, so that seeding them again as before is seen."""
    kept, kept_python, numpy = torch.get_rng_state(), random.getstate(), sys.modules.get("numpy")
    kept_numpy = None if numpy is None else numpy.random.get_state()
    torch.rand(())
    random.random()
    if numpy is not None:
        numpy.random.rand()
    try:
        yield
    finally:
        torch.set_rng_state(kept)
        random.setstate(kept_python)
        if numpy is not None:
            numpy.random.set_state(kept_numpy)


def _with_options(subject: Subject, model: Model, options: Any, on_step: Callable[[StepEvent], bool] | None) -> Tensor:
    if isinstance(model, Generator):
        latents = model.sample_latents(1, rng=generator(1), options=options)
        pictures: Tensor = model(latents, subject.condition, rng=generator(2), options=options, on_step=on_step)
        return pictures
    stylist = cast(StyleTransfer, model)
    styles: tuple[Style, ...] = tuple(subject.chosen_styles())
    return stylist.stylize(subject.images(1), styles, rng=generator(2), options=options, on_step=on_step)


def _assert_quiet(seen: dict[str, list[str]], what: str) -> None:
    said = [f"{_WORDS[key]} {', '.join(values)}" for key, values in seen.items()]
    assert not said, f"{what} {', and '.join(said)}"


def _modules_of(model: Model) -> dict[str, Any]:
    """Return the modules of the plugin that the model's class belongs to."""
    package = type(model).__module__.partition(".")[0]
    if package in ("ganart_zoo", "torch", "builtins"):
        return {}
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == package}


def _sizes(modules: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, module in modules.items():
        for key, value in list(vars(module).items()):
            if key.startswith("__"):
                continue
            if isinstance(value, (dict, list, set)):
                found[f"{name}.{key}"] = len(value)
            elif hasattr(value, "cache_info") and getattr(value, "__module__", None) == name:
                info = value.cache_info()
                if info.maxsize is None or info.maxsize > 1024:
                    found[f"{name}.{key}"] = info.currsize
    return found


CHECKS: tuple[Check, ...] = (builds_quietly, works_quietly, keeps_no_growing_cache)
