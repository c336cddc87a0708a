"""Each broken plugin becomes a `Fault` that names it, the stage and the cause; everything beside it works."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.contract import AmbiguousModelError, PluginFaultError, UnknownModelError, generator, randn
from ganart_zoo.registry import Fault

from . import healthy
from .cases import CASES, Case, offering
from .distributions import install

AT_START = [case for case in CASES if case.found == "start"]
LATER = [case for case in CASES if case.found != "start"]


def provoke(case: Case, *, strict: bool = False) -> Zoo:
    """Return a zoo that has met the case's fault; a strict one raises it."""
    zoo = Zoo(strict=strict)
    if case.found == "check":
        zoo.check()
    elif case.found == "create":
        with nullcontext() if strict else suppress(PluginFaultError):
            zoo.create(f"{case.distribution}/{case.model}")
    return zoo


def fault_of(zoo: Zoo, case: Case) -> Fault:
    """Return the first fault that is about the case."""
    found = [fault for fault in zoo.faults if fault.distribution == case.distribution and fault.stage == case.stage]
    assert found, f"no fault of {case.distribution} at {case.stage}; there are {[str(fault) for fault in zoo.faults]}"
    return found[0]


def assert_healthy(zoo: Zoo) -> None:
    assert not [str(fault) for fault in zoo.faults if fault.distribution == healthy.DISTRIBUTION]
    pictures = zoo.create("grey")(randn((2, 1), generator(1)))
    assert torch.equal(pictures, torch.full((2, 3, 4, 4), 0.5))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_names_plugin_stage_and_cause(case: Case, site: Path) -> None:
    case.install(site)
    zoo = provoke(case)
    fault = fault_of(zoo, case)
    assert re.search(case.cause, fault.cause)
    assert fault.model == case.model
    assert case.module in fault.plugin or f"\n{fault.plugin} = " in (case.entry_points or "")
    line = str(fault)
    assert len(line.splitlines()) == 1
    for part in (fault.plugin, case.distribution, case.stage, fault.cause):
        assert part in line
    assert tuple(entry.spec.name for entry in zoo.list(plugin=case.distribution)) == tuple(sorted(case.survivors))
    assert_healthy(zoo)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_strict_raises_instead(case: Case, site: Path) -> None:
    case.install(site)
    with pytest.raises(PluginFaultError) as caught:
        provoke(case, strict=True)
    assert caught.value.fault.distribution == case.distribution
    assert caught.value.fault.stage == case.stage


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_denied_plugin_is_not_even_imported(case: Case, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case.install(site)
    monkeypatch.setenv("GANART_DISABLE_PLUGINS", f"nobody, {case.distribution}")
    zoo = Zoo()
    zoo.check()
    assert zoo.faults == ()
    assert zoo.disabled == (case.distribution,)
    assert case.module not in sys.modules
    assert_healthy(zoo)


@pytest.mark.parametrize("case", LATER, ids=lambda case: case.name)
def test_creating_a_broken_model_is_a_fault_and_no_stray_error(case: Case, site: Path) -> None:
    case.install(site)
    zoo = Zoo()
    assert zoo.faults == ()
    with pytest.raises(PluginFaultError) as caught:
        zoo.create(f"{case.distribution}/{case.model}")
    assert (caught.value.fault.stage, caught.value.fault.model) == (case.stage, case.model)
    assert zoo.faults == (caught.value.fault,)


def test_all_at_once(site: Path) -> None:
    for case in CASES:
        case.install(site)
    zoo = Zoo()
    at_start = {fault.distribution for fault in zoo.faults}
    assert at_start == {case.distribution for case in AT_START}
    zoo.check()
    assert {fault.distribution for fault in zoo.faults} - at_start == {
        case.distribution for case in LATER if case.found == "check"
    }
    assert_healthy(zoo)


def test_the_traceback_is_kept_and_short(site: Path) -> None:
    for case in CASES:
        if case.name in ("raises-at-import", "hook-recurses"):
            case.install(site)
    for fault in Zoo().faults:
        assert fault.traceback.startswith("Traceback")
        assert f"{fault.plugin}.py" in fault.traceback
        assert len(fault.traceback.splitlines()) < 200


def test_two_distributions_with_one_model_name(site: Path) -> None:
    for name in ("studio-a", "studio-b"):
        source = offering("return [spec('twin')]")
        install(site, name, {f"{name.replace('-', '_')}.py": source})
    zoo = Zoo()
    assert zoo.faults == ()
    for name in ("studio-a/twin", "studio-b/twin"):
        model = zoo.create(name)
        assert model.provenance is not None
        assert model.provenance.model == name
        assert zoo.display_name(zoo.entry(name)) == name
    with pytest.raises(AmbiguousModelError, match=r"use one of studio-a/twin, studio-b/twin$"):
        zoo.create("twin")


def test_an_unknown_name_points_at_what_is_broken(site: Path) -> None:
    next(case for case in CASES if case.name == "raises-at-import").install(site)
    with pytest.raises(UnknownModelError, match=r"to see what is wrong with broken-raises-at-import$"):
        Zoo().create("brokn")


def test_a_cycle_of_defaults_that_the_caller_breaks_is_allowed(site: Path) -> None:
    """Only defaults can make a circle: what the caller names is finite."""
    next(case for case in CASES if case.name == "uses-in-a-cycle").install(site)
    zoo = Zoo()
    with pytest.raises(PluginFaultError, match="factory"):  # it got past its uses: healthy's Grey takes no such keyword
        zoo.create("broken-uses-in-a-cycle/a", other="healthy/grey")


def test_keyboard_interrupt_is_the_users(site: Path) -> None:
    install(site, "interrupted", {"interrupted.py": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        Zoo()
