"""Runs in a process of its own: imports a plugin's entry module under an audit hook, and judges what it declares.

    python -m ganart_zoo.authoring.probe REQUEST.json ANSWER.json

Nothing here imports torch or pydantic before the entry module has been imported and watched.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["main"]


def _entry(request: Mapping[str, Any]) -> dict[str, Any]:
    """Import the entry module and call its hooks; return what was seen and what is declared."""
    from importlib.metadata import EntryPoint

    from ganart_zoo.contract.errors import PluginFaultError
    from ganart_zoo.contract.fault import Fault
    from ganart_zoo.contract.hooks import ENTRY_POINT_GROUP
    from ganart_zoo.registry import discovery
    from ganart_zoo.registry.watching import watch

    (name, value), *_ = request["points"]
    candidate = discovery.Candidate(
        name,
        request["name"],
        request["version"],
        EntryPoint(name, value, ENTRY_POINT_GROUP),
        tuple(request["requires"]),
    )
    before, start = set(sys.modules), time.process_time()
    answer: dict[str, Any] = {"fault": None, "specs": [], "spec_faults": []}
    with watch() as seen:
        try:
            plugin = discovery.load(candidate, request["api"])
        except PluginFaultError as error:
            answer["fault"] = {"stage": error.fault.stage, "cause": error.fault.cause}
            plugin = None
        answer["seconds"] = time.process_time() - start
        found: list[Any] = []
        if plugin is not None:
            for offered in (discovery.models(plugin), discovery.recipes(plugin)):
                found += list(offered)
    answer["seen"] = seen
    loaded = {module.partition(".")[0] for module in set(sys.modules) - before}
    answer["heavy"] = [name for name in discovery.HEAVY if name in loaded]
    for item in found:
        if isinstance(item, Fault):
            answer["spec_faults"].append(
                {"stage": item.stage, "about": item.model or item.recipe or "", "cause": item.cause}
            )
        else:
            answer["specs"].append(_described(item))
    return answer


def _described(spec: Any) -> dict[str, Any]:
    from dataclasses import asdict

    data: dict[str, Any] = {
        "name": spec.name,
        "kind": getattr(spec, "kind", "recipe"),
        "license": spec.license,
        "capabilities": sorted(map(str, getattr(spec, "capabilities", ()))),
        "roles": {role: use.kind for role, use in spec.roles.items()} if hasattr(spec, "roles") else {},
        "weights": [
            {"name": variant.name, "files": [asdict(file) for file in variant.files]}
            for variant in getattr(spec, "weights", ())
        ],
    }
    return data


def _declared(request: Mapping[str, Any]) -> dict[str, Any]:
    """Judge settings, factories, defaults and packaged weights, as `ganart doctor` does."""
    from ganart_zoo.contract.errors import GanartError
    from ganart_zoo.registry import Zoo

    zoo = Zoo()
    zoo.check()
    name = request["name"]
    faults = [
        {"stage": fault.stage, "about": fault.model or fault.recipe or "", "cause": fault.cause}
        for fault in zoo.faults
        if fault.distribution == name and fault.stage in ("settings", "factory", "uses")
    ]
    schemas: dict[str, Any] = {}
    weights: dict[str, str] = {}
    for entry in zoo.list(plugin=name):
        try:
            settings = zoo.settings(entry.canonical)
            schemas[entry.spec.name] = {
                "config": settings.config_class.model_json_schema(),
                "options": settings.options_class.model_json_schema(),
            }
        except (GanartError, ValueError, TypeError):
            continue  # a fault above
        finally:
            for variant in entry.spec.weights:
                for file in variant.files:
                    if file.package is not None and (path := zoo.store.locate(file)) is not None:
                        weights[file.package] = str(path)
    for recipe in zoo.recipes(plugin=name):
        try:
            config = zoo.recipe_settings(recipe.canonical).config_class.model_json_schema()
        except (GanartError, ValueError, TypeError):
            continue
        schemas[f"{recipe.spec.name} (recipe)"] = {"config": config}
    trained = sorted({use.kind for recipe in zoo.recipes() for use in recipe.spec.roles.values()})
    return {
        "faults": faults,
        "schemas": schemas,
        "weights": weights,
        "trained_kinds": trained,
        "torch": "torch" in sys.modules,
    }


def main(request_path: str, answer_path: str) -> None:
    """Answer one request of `ganart_zoo.authoring.static`."""
    import json

    from ganart_zoo.contract import hooks, recipes, spec  # noqa: F401  what an entry module imports is not its cost

    sys.dont_write_bytecode = True
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    sys.path[:0] = request["path"]
    owner = os.getpid()
    if hasattr(os, "register_at_fork"):  # a child of the plugin must not go on in our place
        os.register_at_fork(after_in_child=lambda: os._exit(0))
    answer = _entry(request)
    answer["torch"] = "torch" in sys.modules
    if answer["fault"] is None:
        answer["declared"] = _declared(request)
    if os.getpid() == owner:
        part = Path(f"{answer_path}.part")
        part.write_text(json.dumps(answer, default=str), encoding="utf-8")
        part.replace(answer_path)
        os._exit(0)  # threads and exit handlers of a plugin have no say


if __name__ == "__main__":
    main(*sys.argv[1:])
