"""`ganart weights`: lists, downloads and verifies the weights of models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork
from ganart_zoo.cli.options import json_option, quiet_option
from ganart_zoo.cli.show import BROKEN, emit_json, note, table
from ganart_zoo.contract.errors import SettingsError, WeightsMissingError, did_you_mean
from ganart_zoo.contract.spec import Weights, WeightsFile
from ganart_zoo.registry import Entry, Zoo

__all__ = ["command", "described_weights", "size_text", "state_of"]


@click.group("weights")
def command() -> None:
    """List, fetch and verify the weights of models.

    They are kept under their sha256 in GANART_HOME, or in the user's cache folder. Only `fetch` downloads.
    """


@command.command("list")
@click.argument("model", required=False)
@json_option
@pass_zoo
def list_weights(zoo: Zoo, model: str | None, as_json: bool) -> None:
    """List the weights of MODEL, or of all models, and whether they are on this machine."""
    entries = _entries(zoo, model)
    if as_json:
        emit_json({entry.canonical: described_weights(zoo, entry) for entry in entries})
        return
    rows = [
        (entry.canonical, variant.name, size_text(file), state_of(zoo, file), file.license)
        for entry, variant, file in _files(entries)
    ]
    if rows:
        table(("model", "variant", "size", "state", "licence"), rows)
    else:
        note("there are no published weights" + (f" for {model}" if model else ""))


@command.command()
@click.argument("model")
@click.option("--weights", "which", default="default", show_default=True, help="A variant, or hub:org/name@<commit>.")
@quiet_option
@pass_zoo
def fetch(zoo: Zoo, model: str, which: str, quiet: bool) -> None:
    """Download the weights of MODEL and of the models it uses by default, unless they are here and undamaged."""
    with LongWork(quiet) as work:
        asked = zoo.entry(model)
        paths: list[Path] = []
        for entry in _with_used(zoo, asked, set()):
            work.show(f"fetching {entry.canonical}")
            wanted = which if entry is asked else "default"
            found = zoo.store.resolve(wanted, entry.spec, owner=entry.canonical, fetch=True, progress=work.bytes)
            for variant in entry.spec.weights:
                if variant.name == found.variant:
                    for file in variant.files:  # a file that is here already is hashed, and replaced if damaged
                        zoo.store.fetch(file, progress=work.bytes)
            paths += found.files.values()
    if not quiet:
        for path in paths:
            click.echo(path)


@command.command()
@click.argument("model", required=False)
@json_option
@pass_zoo
def verify(zoo: Zoo, model: str | None, as_json: bool) -> None:
    """Hash the files on this machine again, those of MODEL or all. Exit code 1 if one is damaged."""
    found = [
        {"model": entry.canonical, "variant": variant.name, "file": file.name, "verdict": verdict, "path": str(where)}
        for entry, variant, file in _files(_entries(zoo, model))
        if (where := zoo.store.locate(file)) is not None and (verdict := zoo.store.verify(file)) != "missing"
    ]
    if as_json:
        emit_json(found)
    elif found:
        columns = ("model", "variant", "verdict", "path")
        table(columns, [[one[column] for column in columns] for one in found])
    else:
        note("no weights are on this machine")
    if damaged := sum(one["verdict"] == "damaged" for one in found):
        note(f"{damaged} damaged; ganart weights fetch MODEL replaces them")
        click.get_current_context().exit(BROKEN)


@command.command("path")
@click.argument("model")
@click.option("--weights", "which", default="default", show_default=True, help="A variant.")
@pass_zoo
def path_of(zoo: Zoo, model: str, which: str) -> None:
    """Print the paths of the weights of MODEL, one per line."""
    entry = zoo.entry(model)
    resolved = zoo.store.resolve(which, entry.spec, owner=entry.canonical, fetch=False)
    if not resolved.files:
        raise WeightsMissingError(f"{entry.canonical} has no published weights")
    for file in resolved.files.values():
        click.echo(file)


@command.command()
@click.argument("model")
@click.option("--weights", "which", help="Only this variant; without it, all of them.")
@pass_zoo
def remove(zoo: Zoo, model: str, which: str | None) -> None:
    """Delete the downloaded weights of MODEL, unless another model shares them. Files of packages are left alone."""
    entry = zoo.entry(model)
    names = [variant.name for variant in entry.spec.weights]
    if which is not None and which not in names:
        raise SettingsError(f"{entry.canonical} has no weights {which!r}{did_you_mean(which, names)}")
    shared = {
        file.sha256: other.canonical
        for other, variant, file in _files(zoo.list())
        if other is not entry or (which is not None and variant.name != which)
    }
    freed = 0
    for variant in entry.spec.weights:
        for file in variant.files:
            if which not in (None, variant.name) or file.sha256 is None or file.package is not None:
                continue
            if file.sha256 in shared:
                note(f"{variant.name}: kept, because {shared[file.sha256]} needs it")
                continue
            freed += zoo.store.remove(file.sha256)
    note(f"freed {freed / 1e6:.1f} MB" if freed else "nothing of it was downloaded")


@command.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@json_option
@pass_zoo
def prune(zoo: Zoo, dry_run: bool, as_json: bool) -> None:
    """Delete downloaded weights that no installed model declares, such as those of uninstalled plugins.

    Plugins that are disabled or broken are not known to need theirs, so nothing is deleted while there are any.
    """
    if (zoo.disabled or zoo.faults) and not dry_run:
        names = ", ".join(dict.fromkeys((*zoo.disabled, *(fault.distribution for fault in zoo.faults))))
        raise SettingsError(
            f"what {names} needs is not known, so nothing is deleted; enable or mend it, or uninstall it"
        )
    needed = {file.sha256 for _, _, file in _files(zoo.list())}
    orphans = {sha256: paths for sha256, paths in zoo.store.stored().items() if sha256 not in needed}
    found = [
        {"sha256": sha256, "path": str(path), "size": path.stat().st_size}
        for sha256, paths in orphans.items()
        for path in paths
    ]
    if as_json:
        emit_json(found)
    elif found:
        table(("size", "path"), [(f"{int(str(one['size'])) / 1e6:.1f} MB", str(one["path"])) for one in found])
    freed = sum(zoo.store.remove(sha256) for sha256 in orphans) if not dry_run else 0
    note(f"freed {freed / 1e6:.1f} MB" if freed else "nothing was deleted" if dry_run else "there is nothing to delete")


def described_weights(zoo: Zoo, entry: Entry) -> list[dict[str, Any]]:
    """Return the weights of a model as plain JSON data, with their state on this machine."""
    return [
        {
            "name": variant.name,
            "summary": variant.summary,
            "config": dict(variant.config),
            "files": [
                {**asdict(file), "state": state_of(zoo, file), "path": _text(zoo.store.locate(file))}
                for file in variant.files
            ],
        }
        for variant in entry.spec.weights
    ]


def state_of(zoo: Zoo, file: WeightsFile) -> str:
    """Return the state of a file: `"here"`, `"missing"`, or `"your own"`: not downloaded, as its hash is unknown."""
    if zoo.store.locate(file) is not None:
        return "here"
    return "your own" if file.package is None and file.sha256 is None else "missing"


def size_text(file: WeightsFile) -> str:
    """Return the size of a file as text."""
    return "" if file.size is None else f"{file.size / 1e6:.1f} MB"


def _entries(zoo: Zoo, model: str | None) -> list[Entry]:
    return list(zoo.list()) if model is None else [zoo.entry(model)]


def _files(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Weights, WeightsFile]]:
    return ((entry, variant, file) for entry in entries for variant in entry.spec.weights for file in variant.files)


def _with_used(zoo: Zoo, entry: Entry, seen: set[str]) -> Iterator[Entry]:
    """Yield a model and those it uses by default, each once."""
    if entry.canonical in seen:
        return
    seen.add(entry.canonical)
    yield entry
    for use in entry.spec.uses.values():
        if use.default is not None:
            yield from _with_used(zoo, zoo.entry(use.default), seen)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
