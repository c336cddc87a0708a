"""The kit on every model and recipe of a distribution, with inputs derived from their declarations.

python -m ganart_zoo.testing.whole REQUEST.json ANSWER.json     # for ganart check --full, in a process of its own
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganart_zoo.contract import GanartError, PluginFaultError, generator
from ganart_zoo.registry import Entry, RecipeEntry, Zoo
from ganart_zoo.registry.discovery import one_line
from ganart_zoo.testing.conformance import checks_for
from ganart_zoo.testing.derived import NotHereError, subject_for
from ganart_zoo.testing.subject import Subject

__all__ = ["Case", "Found", "cases", "examine", "main"]

_PICTURES = 8
_SIDES = (16, 32, 64, 128)
"""Pixels of the pictures for recipes, in the order in which they are tried."""


@dataclass(frozen=True)
class Found:
    """One thing that the kit found."""

    rule: str
    """`kit`, `kit-create`, `kit-call`; or `note` for what could not be checked here."""
    where: str
    seen: str


@dataclass(frozen=True)
class Case:
    """One check of one model or recipe, ready to run."""

    model: str
    check: Callable[[Any], None]
    subject: Any

    def __call__(self) -> None:
        """Run the check.

        Raises:
            AssertionError: The contract is broken.
        """
        _hold(self.check, self.subject)


def examine(zoo: Zoo, distribution: str) -> Iterator[Found]:
    """Yield what is wrong with the models and recipes of a distribution. One cause is named once.

    Args:
        zoo: That has loaded the plugin.
        distribution: Its normalised name.
    """
    for entry in zoo.list(plugin=distribution):
        yield from _model(zoo, entry)
    for recipe in zoo.recipes(plugin=distribution):
        yield from _recipe(zoo, recipe)


def cases(zoo: Zoo, distribution: str, *, models: Collection[str] | None = None) -> list[Case]:
    """Return the checks of all models and recipes that can be checked here.

    A model that cannot be created or called has one case, which fails with the reason.

    Args:
        zoo: That has loaded the plugin.
        distribution: Its normalised name.
        models: The names of models and recipes; None for all.
    """
    found: list[Case] = []
    for entry in zoo.list(plugin=distribution):
        if models is not None and entry.spec.name not in models:
            continue
        try:
            subject = subject_for(zoo, entry)
        except NotHereError:
            continue
        except Exception as error:
            found.append(Case(entry.canonical, can_be_created, error))
            continue
        found += [Case(entry.canonical, check, subject) for check in _applying(subject)]
    for recipe in zoo.recipes(plugin=distribution):
        if models is not None and recipe.spec.name not in models:
            continue
        from ganart_zoo.testing.recipes import recipe_checks

        try:
            made = _recipe_subject(zoo, recipe, Path(tempfile.mkdtemp(prefix="ganart-kit-")))
        except Exception as error:
            found.append(Case(f"recipe {recipe.canonical}", can_be_created, error))
            continue
        if made is not None:
            found += [Case(f"recipe {recipe.canonical}", check, made) for check in recipe_checks(made)]
    return found


def can_be_created(error: Exception) -> None:
    """The model can be created and called with small inputs."""
    raise AssertionError(_said(error))


def _model(zoo: Zoo, entry: Entry) -> Iterator[Found]:
    name = entry.spec.name
    try:
        subject = subject_for(zoo, entry)
    except NotHereError as error:
        yield Found("note", name, f"not checked: {error}")
        return
    except Exception as error:
        yield Found("kit-create", name, _said(error))
        return
    try:
        subject.call(subject.create())
    except Exception as error:
        yield Found("kit-call", name, _said(error))
        return
    yield from _run(name, subject, _applying(subject))


def _applying(subject: Subject) -> list[Callable[[Subject], None]]:
    """Return the checks for the subject's condition: a network has classes or it has none."""
    other = "one_label_serves_all_rows"
    if subject.condition is not None and subject.condition.labels is not None:
        other = "works_without_condition"
    return [check for check in checks_for(subject) if check.__name__ != other]


def _run(name: str, subject: Any, checks: Any) -> Iterator[Found]:
    failed: dict[str, list[str]] = {}
    for check in checks:
        torch.manual_seed(0)
        try:
            _hold(check, subject)
        except AssertionError as error:
            failed.setdefault(" ".join(str(error).split()), []).append(check.__name__)
        except Exception as error:
            failed.setdefault(_said(error), []).append(check.__name__)
    for said, names in failed.items():
        more = f" and {len(names) - 2} other checks" if len(names) > 3 else ""
        shown = names[:2] if more else names
        yield Found("kit", f"{name} {', '.join(shown)}{more}", said)


def _hold(check: Callable[[Any], None], subject: Any) -> None:
    """Run a check. What the model leaves behind is put back, so that no other model is blamed for it.

    Raises:
        AssertionError: The contract is broken.
    """
    grad, dtype, device = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device()
    try:
        check(subject)
    except AssertionError as error:
        if str(error):
            raise
        raise AssertionError(f"not so: {(check.__doc__ or check.__name__).splitlines()[0]}") from error
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(device)


def _said(error: BaseException) -> str:
    if isinstance(error, PluginFaultError):
        return f"{error.fault.stage}: {error.fault.cause}"
    return " ".join(str(error).split()) if isinstance(error, GanartError) else one_line(error)


def _recipe(zoo: Zoo, entry: RecipeEntry) -> Iterator[Found]:
    name = f"recipe {entry.spec.name}"
    if importlib.util.find_spec("accelerate") is None:
        yield Found("note", name, "not checked: recipes need pip install 'ganart-zoo[train]'")
        return
    from ganart_zoo.testing.recipes import recipe_checks

    with tempfile.TemporaryDirectory(prefix="ganart-kit-") as folder:
        try:
            subject = _recipe_subject(zoo, entry, Path(folder))
        except Exception as error:
            needs = any(word in str(error) for word in ("label", "style", "class"))
            if needs and isinstance(error, GanartError) and not isinstance(error, PluginFaultError):
                yield Found("note", name, f"not checked: it needs other data than pictures with captions: {error}")
            else:
                yield Found("kit-call", name, _said(error))
            return
        if subject is None:
            yield Found("note", name, "not checked: a role has no default model, and none that fits is installed")
            return
        yield from _run(name, subject, recipe_checks(subject))


def _recipe_subject(zoo: Zoo, entry: RecipeEntry, folder: Path) -> Any:
    """Return a subject that trains on the first drawn pictures that fit, or None if no network fits a role.

    Raises:
        Exception: What training raised with all of them; the first of its errors.
    """
    from ganart_zoo.imaging import save
    from ganart_zoo.testing.recipes import RecipeSubject

    networks = {}
    for role, use in entry.spec.roles.items():
        name = use.default
        if name is None:
            fitting = [e for e in zoo.list(kind=use.kind, capability="trainable") if not e.spec.uses]
            own = [e for e in fitting if e.plugin.distribution == entry.plugin.distribution]
            if not fitting:
                return None
            name = (own or fitting)[0].canonical
        networks[role] = {"model": name, "weights": None}
    plain, captioned = folder / "pictures", folder / "captioned"
    for data in (plain, captioned):
        data.mkdir(parents=True)
        for number in range(_PICTURES):
            save(torch.rand(1, 3, 48, 48, generator=generator(number)), data / f"{number:05}.png")
    lines = [{"file_name": f"{number:05}.png", "text": f"{number} red things"} for number in range(_PICTURES)]
    (captioned / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    failure: GanartError | None = None
    for number, (side, data) in enumerate((side, data) for data in (plain, captioned) for side in _SIDES):
        subject = RecipeSubject(zoo, entry.canonical, data, networks=networks, size=side)
        try:
            subject.train(folder / f"tried-{number}", steps=1)
        except PluginFaultError:
            raise
        except GanartError as error:
            failure = failure or error
            continue
        return subject
    assert failure is not None
    raise failure


def main(request_path: str, answer_path: str) -> None:
    """Examine one distribution for `ganart_zoo.authoring.full`."""
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    found = [[one.rule, one.where, one.seen] for one in examine(Zoo(), request["name"])]
    part = Path(f"{answer_path}.part")
    part.write_text(json.dumps(found), encoding="utf-8")
    part.replace(answer_path)
    sys.stdout.flush()
    os._exit(0)  # threads of a plugin have no say


if __name__ == "__main__":
    main(*sys.argv[1:])
