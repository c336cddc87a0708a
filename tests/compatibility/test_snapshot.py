"""Adding to what authors rely on passes; changing or removing it fails, with advice."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ganart_zoo
from ganart_zoo.contract.deprecation import deprecated

from .snapshot import snapshot

KEPT = json.loads(Path(__file__).with_name("api-0.1.json").read_text(encoding="utf-8"))
ADVICE = (
    "authors rely on this. Give it back, with a default or as an alias that calls contract.deprecation.deprecated; or, "
    "in a new minor version (which is an API of its own), write a new api-<minor>.json and docs/compatibility.md"
)


def broken(kept: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield what was there and is not, or is different."""
    if isinstance(kept, dict):
        for key, value in kept.items():
            if not isinstance(now, dict) or key not in now:
                yield f"{where}.{key} is gone"
            elif key in ("call",) or where.endswith(".methods") or where == ".hooks":
                yield from _broken_signature(value, now[key], f"{where}.{key}")
            else:
                yield from broken(value, now[key], f"{where}.{key}")
    else:
        yield from (f"{where}: {item!r} is gone" for item in kept if item not in now)


def _broken_signature(kept: list[list[str]], now: list[list[str]], where: str) -> Iterator[str]:
    names = [name for name, _, _ in now]
    for name, kind, need in kept:
        if name not in names:
            yield f"{where} no longer takes {name!r}"
            continue
        _, kind_now, need_now = now[names.index(name)]
        if (kind, need) != (kind_now, need_now) and not (kind == kind_now and need_now == "optional"):
            yield f"{where}: {name!r} was {kind} and {need}, and is {kind_now} and {need_now}"
    known = [name for name, _, _ in kept]
    for name, kind, need in now:
        if name not in known and need == "required" and not kind.startswith("VAR_"):
            yield f"{where} needs a new argument {name!r}; give it a default"
    positional = [name for name, kind, _ in kept if kind == "POSITIONAL_OR_KEYWORD"]
    positional_now = [name for name, kind, _ in now if kind == "POSITIONAL_OR_KEYWORD"][: len(positional)]
    if set(positional) <= set(names) and positional_now != positional:
        yield f"{where} takes {', '.join(positional_now)} in place of {', '.join(positional)}"


def test_api_0_1_is_all_there() -> None:
    assert ganart_zoo.__version__.startswith("0.1."), f"a new minor version: {ADVICE}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        problems = list(broken(KEPT, json.loads(json.dumps(snapshot()))))
    assert not problems, f"{'; '.join(problems)}. {ADVICE}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda api: api["names"]["ganart_zoo.contract"].pop("randn"), "randn is gone"),
        (lambda api: api["words"]["capabilities"].remove("prompt"), "'prompt' is gone"),
        (lambda api: api["settings"]["ganart_zoo.training:RunSettings"].remove("steps"), "'steps' is gone"),
        (lambda api: api["hooks"]["ganart_run_event"].pop(), "no longer takes 'event'"),
        (lambda api: api["hooks"]["ganart_models"].append(["zoo", "POSITIONAL_OR_KEYWORD", "required"]), "needs a new"),
        (lambda api: api["names"]["ganart_zoo.contract"]["Critic"]["methods"].pop("score"), "methods.score is gone"),
        (lambda api: api["names"]["ganart_zoo"]["ModelSpec"]["call"].reverse(), "in place of"),
        (
            lambda api: api["names"]["ganart_zoo"]["ModelSpec"]["call"][5].__setitem__(2, "required"),
            "is .* and required",
        ),
    ],
)
def test_a_change_is_seen(change: Any, said: str) -> None:
    api = json.loads(json.dumps(KEPT))
    change(api)
    problems = list(broken(KEPT, api))
    assert any(re.search(said, problem) for problem in problems), problems


def test_an_addition_passes() -> None:
    api = json.loads(json.dumps(KEPT))
    api["names"]["ganart_zoo"]["ModelSpec"]["call"].append(["colour", "KEYWORD_ONLY", "optional"])
    api["names"]["ganart_zoo.contract"]["Palette"] = {}
    api["words"]["capabilities"].append("sound")
    assert list(broken(KEPT, api)) == []


def test_what_is_deprecated_warns_until_its_release_and_then_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def old() -> None:
        deprecated("zoo.old", "zoo.new", removed="0.2")

    with pytest.warns(DeprecationWarning, match=r"zoo.old will be removed in ganart-zoo 0.2; use zoo.new") as caught:
        old()
    assert caught[0].filename == __file__
    monkeypatch.setattr(ganart_zoo, "__version__", "0.2.0")
    with pytest.raises(RuntimeError, match=r"was to be removed in ganart-zoo 0.2, and this is 0.2.0"):
        old()
