"""The floors of the house: a module imports only from floors below its own, and a plugin only what is public to it.

Imports are read from the source, so those for type checkers alone and those inside functions count too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# Lowest first. Rooms on one floor do not import each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("contract",),
    ("native",),
    ("tuning",),
    ("ops",),
    ("imaging",),
    ("perceptual", "metrics", "data"),
    ("registry",),
    ("training",),
    ("running",),
    ("tasks",),
    ("testing", "authoring", "service"),
    ("bench", "adapters"),  # models are timed at the kit's sizes; adapters are made from jobs
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# The rooms whose modules the public face loads when a name is first touched.
FACE = {
    **dict.fromkeys(
        ("GanartError", "ModelSpec", "RecipeSpec", "Use", "Weights", "WeightsFile", "hookimpl"), "contract"
    ),
    "Zoo": "registry",
}

PUBLIC_TO_PLUGINS = {"contract", "ops", "imaging", "perceptual", "metrics", "data", "training"}

# The lowest room that may import each third-party package; rooms on higher floors may too.
THIRD_PARTY = {
    "torch": "contract",
    "pluggy": "contract",
    "pydantic": "contract",
    "pydantic_core": "contract",
    "typing_extensions": "contract",  # a dependency of pydantic and torch
    "safetensors": "contract",
    "numpy": "imaging",
    "PIL": "imaging",
    "av": "imaging",
    "cv2": "imaging",
    "imagecodecs": "imaging",
    "pillow_heif": "imaging",
    "tifffile": "imaging",
    "braceexpand": "data",
    "webdataset": "data",
    "cryptography": "registry",
    "filelock": "registry",
    "packaging": "registry",
    "platformdirs": "registry",
    "accelerate": "training",
    "tensorboard": "training",
    "tomli": "training",
    "cma": "running",
    "onnxruntime": "running",
    "onnxscript": "running",
    "jinja2": "authoring",
    "pytest": "testing",  # which its own plugin is loaded by
    "fastapi": "service",
    "prometheus_client": "service",
    "ray": "service",
    "starlette": "service",
    "uvicorn": "service",
    "matplotlib": "bench",
    "rich": "bench",
    "comfy": "adapters",
    "comfy_api": "adapters",
    "gradio": "adapters",
    "mcp": "adapters",
    "mcp_types": "adapters",
    "click": "cli",
}
# A hook's argument is a click group, which only type checkers need to know.
TYPES_ONLY = {("ganart_zoo/contract/hooks.py", "click")}

# Imports that are wrong today, with the helper who is moving them: {(file, imported room): owner}.
PENDING: dict[tuple[str, str], str] = {}


class Import(NamedTuple):
    """One imported module or name, as its full dotted path."""

    target: str
    line: int
    types_only: bool


def imports(source: str, package: str) -> Iterator[Import]:
    """Yield what a module of `package` imports, wherever in the module the import stands."""
    tree = ast.parse(source)
    types_only = {
        id(inside)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inside in ast.walk(statement)
    }
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            targets = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            targets = [str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)]
        yield from (Import(target, node.lineno, id(node) in types_only) for target in targets)


def room_of(target: str) -> str | None:
    """Return the room of `ganart_zoo` that an import reaches; None for another package or the bare public face."""
    package, _, rest = target.partition(".")
    if package != "ganart_zoo" or not rest:
        return None
    first = rest.split(".")[0]
    return FACE.get(first, None if first == "__version__" else first)


def core_problems(source: str, path: str) -> Iterator[str]:
    """Yield what is wrong with the imports of one module of `ganart_zoo`, at `path` below the root."""
    parts = Path(path).parts
    room = parts[1].removesuffix(".py")
    if room == "__init__":
        return  # the face: it only forwards names, of the rooms in FACE
    if room not in FLOOR_OF:
        yield f"{path}: {room!r} is on no floor; give it one in FLOORS"
        return
    for target, line, types_only in imports(source, ".".join(parts[:-1])):
        package = target.split(".")[0]
        reached = room_of(target)
        if reached is not None:
            if reached != room and FLOOR_OF.get(reached, len(FLOORS)) >= FLOOR_OF[room]:
                yield f"{path}:{line}: {room} imports {target}, which is not on a floor below it"
        elif package.startswith("ganart_") and package != "ganart_zoo":
            yield f"{path}:{line}: the core imports the plugin {package}"
        elif package not in sys.stdlib_module_names and package != "ganart_zoo":
            if types_only and (path, package) in TYPES_ONLY:
                continue
            if package not in THIRD_PARTY:
                yield f"{path}:{line}: {package} has no lowest room; add it to THIRD_PARTY"
            elif FLOOR_OF[THIRD_PARTY[package]] > FLOOR_OF[room]:
                yield f"{path}:{line}: {room} imports {package}, which belongs to {THIRD_PARTY[package]} and above"


def plugin_problems(source: str, path: str) -> Iterator[str]:
    """Yield what is wrong with the imports of one module at `plugins/<dist>/src/<package>/...`."""
    parts = Path(path).parts
    own = parts[3]
    for target, line, _ in imports(source, ".".join(parts[3:-1])):
        package = target.split(".")[0]
        reached = room_of(target)
        if reached is not None and reached not in PUBLIC_TO_PLUGINS:
            yield f"{path}:{line}: {target} is not public to plugins"
        elif package.startswith("ganart_") and package not in (own, "ganart_zoo"):
            yield f"{path}:{line}: imports the plugin {package}; declare what it needs in uses"


def core_files() -> list[str]:
    """Return every module of the core, relative to the root."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "ganart_zoo").rglob("*.py"))


def plugin_files() -> list[str]:
    """Return every module below the plugins' `src`, relative to the root."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("plugins/*/src/*/**/*.py"))


def is_pending(problem: str) -> bool:
    """Say whether a problem is in the table of moves under way."""
    return any(problem.startswith(f"{path}:") and f"ganart_zoo.{room}" in problem for path, room in PENDING)


def test_rooms_import_only_from_floors_below() -> None:
    problems = [problem for path in core_files() for problem in core_problems((ROOT / path).read_text("utf-8"), path)]
    assert [problem for problem in problems if not is_pending(problem)] == []


def test_pending_moves_are_still_pending() -> None:
    problems = [problem for path in core_files() for problem in core_problems((ROOT / path).read_text("utf-8"), path)]
    landed = [
        key
        for key in PENDING
        if not any(problem.startswith(f"{key[0]}:") and f"ganart_zoo.{key[1]}" in problem for problem in problems)
    ]
    assert landed == [], "these moves have landed; take them out of PENDING"


def test_plugins_import_only_what_is_public_to_them() -> None:
    assert plugin_files()
    assert [p for path in plugin_files() for p in plugin_problems((ROOT / path).read_text("utf-8"), path)] == []


def test_the_face_names_the_rooms_it_loads() -> None:
    import ganart_zoo

    assert ganart_zoo._LAZY == FACE


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from ganart_zoo.registry import Zoo", "imports ganart_zoo.registry.Zoo"),
        ("from ganart_zoo import Zoo", "imports ganart_zoo.Zoo"),
        ("import ganart_zoo.tasks.stylize as verb", "imports ganart_zoo.tasks.stylize"),
        ("def late():\n    from ganart_zoo import tasks", "imports ganart_zoo.tasks"),
        ("if TYPE_CHECKING:\n    from ganart_zoo.registry.zoo import Zoo", "imports ganart_zoo.registry.zoo.Zoo"),
        ("if typing.TYPE_CHECKING:\n    import click", "imports click"),
        ("from ..registry import Zoo", "imports ganart_zoo.registry.Zoo"),
        ("from .. import registry", "imports ganart_zoo.registry"),
        ("importlib.import_module('ganart_zoo.cli')", "imports ganart_zoo.cli"),
        ("from ganart_zoo.metrics import features", "imports ganart_zoo.metrics.features"),
        ("from ganart_zoo import no_such_room", "imports ganart_zoo.no_such_room"),
        ("import ganart_gatys", "the core imports the plugin ganart_gatys"),
        ("import rich.table", "imports rich, which belongs to bench and above"),
        ("import some_new_package", "some_new_package has no lowest room"),
    ],
)
def test_an_import_of_the_same_or_a_higher_floor_is_seen(source: str, expected: str) -> None:
    (problem,) = core_problems(source, "ganart_zoo/data/planted.py")
    assert expected in problem


@pytest.mark.parametrize(
    "source",
    [
        "from ganart_zoo.imaging import load",
        "from ganart_zoo import ModelSpec, __version__, contract",
        "import ganart_zoo",
        "from ganart_zoo.data.folder import FolderData",
        "from . import folder",
        "from .folder import FolderData",
        "import json, torch, webdataset",
    ],
)
def test_imports_from_below_and_from_the_same_room_pass(source: str) -> None:
    assert list(core_problems(source, "ganart_zoo/data/planted.py")) == []


def test_a_new_room_needs_a_floor() -> None:
    (problem,) = core_problems("import json", "ganart_zoo/attic/planted.py")
    assert "is on no floor" in problem


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from ganart_zoo import Zoo", "ganart_zoo.Zoo is not public"),
        ("from ganart_zoo.tasks.stylize import stylize", "ganart_zoo.tasks.stylize.stylize is not public"),
        ("if TYPE_CHECKING:\n    from ganart_zoo.registry import Entry", "ganart_zoo.registry.Entry is not public"),
        ("import ganart_backbones.vgg", "imports the plugin ganart_backbones"),
    ],
)
def test_what_a_plugin_may_not_import_is_seen(source: str, expected: str) -> None:
    (problem,) = plugin_problems(source, "plugins/ganart-gatys/src/ganart_gatys/planted.py")
    assert expected in problem


def test_what_a_plugin_may_import_passes() -> None:
    source = "import torch, ganart_gatys\nfrom ganart_zoo import ModelSpec, ops\nfrom ganart_zoo.training import losses"
    assert list(plugin_problems(source, "plugins/ganart-gatys/src/ganart_gatys/planted.py")) == []
