"""Finds and loads plugins one at a time, so that a broken plugin disables only itself. Torch-free.

A plugin passes four stages: metadata (its entry point), api (the range of ganart-zoo versions it requires, read before
any of its code runs), import, and hooks (their names and arguments). Its models and recipes pass two more stages:
models or recipes (the hook runs) and spec (each declaration is checked alone). A failure becomes a `Fault`.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import Distribution, EntryPoint, distributions
from types import ModuleType
from typing import Any, Literal, TypeVar

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import ganart_zoo
from ganart_zoo.contract import hooks
from ganart_zoo.contract.errors import PluginFaultError, did_you_mean
from ganart_zoo.contract.fault import Fault
from ganart_zoo.contract.recipes import RecipeSpec
from ganart_zoo.contract.spec import ModelSpec
from ganart_zoo.registry.isolation.choice import Isolation

__all__ = ["Candidate", "Fault", "Plugin", "candidates", "load", "models", "one_line", "recipes"]

HEAVY = ("torch", "pydantic", "numpy", "scipy", "PIL", "transformers", "diffusers", "cv2", "matplotlib", "pandas")
"""Packages that take so long to import that no entry module may import them."""

_HOOKS = type("Hooks", (), {name: staticmethod(value) for name, value in vars(hooks).items() if name[:7] == "ganart_"})
"""The hooks alone: pluggy looks at each attribute, for each plugin."""

_Spec = TypeVar("_Spec", ModelSpec, RecipeSpec)
_NOUNS: Mapping[type, Literal["model", "recipe"]] = {ModelSpec: "model", RecipeSpec: "recipe"}


@dataclass(frozen=True)
class Candidate:
    """A plugin whose metadata is known and which has not been imported yet."""

    plugin: str
    """The entry point's name."""
    distribution: str
    """Normalised: lower case, hyphens."""
    version: str
    target: Any
    """An `EntryPoint`, or a module or object given to `Zoo(plugins=[...])`."""
    requires: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _candidate, (self.plugin, self.distribution, self.version, by_name(self.target), self.requires)

    def fault(
        self, stage: str, cause: str | BaseException, model: str | None = None, *, recipe: str | None = None
    ) -> Fault:
        """Return a fault of this plugin. For an exception, it has the message on one line and the traceback."""
        trace = ""
        if isinstance(cause, BaseException):
            # The limit keeps the trace of an infinite recursion readable.
            trace = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__, limit=-40))
            cause = one_line(cause)
        return Fault(self.plugin, self.distribution, stage, " ".join(cause.split()), model, trace, recipe)


@dataclass(frozen=True)
class Plugin:
    """A plugin that was imported and whose hooks are valid."""

    candidate: Candidate
    hooks: pluggy.HookRelay = field(repr=False)
    """Calls the hooks of this plugin only."""
    import_seconds: float
    heavy: tuple[str, ...] = ()
    """Of `HEAVY`, what importing it loaded: why it is slow."""
    isolation: Isolation | None = None
    """How its models run in a process of their own; None: they run in this one."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is loaded from: another process imports it again."""
        return _load_again, (self.candidate, self.isolation)

    @property
    def name(self) -> str:
        """The entry point's name."""
        return self.candidate.plugin

    @property
    def distribution(self) -> str:
        """The normalised name of the distribution, the first half of its models' canonical names."""
        return self.candidate.distribution

    @property
    def version(self) -> str:
        """The distribution's version."""
        return self.candidate.version

    def implements(self, hook: str) -> bool:
        """Return whether the plugin implements this hook."""
        return bool(getattr(self.hooks, hook).get_hookimpls())


def one_line(error: BaseException) -> str:
    """Return `"Type: message"` on one line, even for an exception whose `__str__` raises."""
    try:
        message = " ".join(str(error).split())
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin's exception class may be broken too
        message = "(its message could not be read)"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def candidates(given: Iterable[Any] | None = None) -> Iterator[Candidate | Fault]:
    """Yield the plugins that can be loaded: the modules and objects `given`, or else installed entry points."""
    if given is not None:
        yield from _given(given)
        return
    seen: set[str] = set()
    for distribution in distributions():
        try:
            yield from _installed(distribution, seen)
        except Exception as error:  # a damaged dist-info may raise anything
            folder = str(getattr(distribution, "_path", "?")).rpartition(os.sep)[2]
            name = canonicalize_name(folder.partition("-")[0])
            yield Candidate(folder, name, "0", None).fault("metadata", error)


def _installed(distribution: Distribution, seen: set[str]) -> Iterator[Candidate | Fault]:
    points = [point for point in distribution.entry_points if point.group == hooks.ENTRY_POINT_GROUP]
    if not points:
        return
    metadata = distribution.metadata  # parsed anew at each access
    if "Name" not in metadata:
        raise ValueError("its METADATA has no Name, or is missing; install it again")
    name = canonicalize_name(metadata["Name"])
    if name in seen:  # an editable install and its source tree are one distribution; the first on the path is used
        return
    seen.add(name)
    first, *rest = points
    # an egg-info has its requirements in a file of their own
    requires = tuple(metadata.get_all("Requires-Dist") or distribution.requires or ())
    candidate = Candidate(first.name, name, metadata["Version"] or "0", first, requires)
    if not isinstance(getattr(distribution, "_path", ""), (str, os.PathLike)):  # a path inside a zip file is neither
        yield candidate.fault("metadata", f"it is a zipped egg, whose files cannot be used; pip install {name}")
        return
    yield candidate
    if rest:
        extra = ", ".join(point.name for point in rest)
        cause = f"declares {len(points)} entry points, expected one; the others are ignored: {extra}"
        yield candidate.fault("metadata", cause)


def _given(plugins: Iterable[Any]) -> Iterator[Candidate | Fault]:
    seen: set[str] = set()
    for plugin in plugins:
        name = str(getattr(plugin, "__name__", type(plugin).__name__)).rpartition(".")[2]
        version = str(getattr(plugin, "__version__", "0"))
        candidate = Candidate(name, canonicalize_name(name.strip("_") or name), version, plugin)
        if candidate.distribution in seen:
            yield candidate.fault("metadata", f"another given plugin is also called {name!r}; set its __name__")
            continue
        seen.add(candidate.distribution)
        yield candidate


def load(candidate: Candidate, api_version: str) -> Plugin:
    """Import one plugin and check its hooks.

    Args:
        candidate: From `candidates`.
        api_version: The version of ganart-zoo that its requirement must allow.

    Raises:
        PluginFaultError: It could not be loaded. Only `KeyboardInterrupt` is not converted.
    """
    installed = isinstance(candidate.target, EntryPoint)
    if installed and (refusal := api_refusal(candidate.requires, api_version)):
        raise PluginFaultError(candidate.fault("api", refusal))
    light = [name for name in HEAVY if name not in sys.modules]
    start = time.perf_counter()
    try:
        module = _import(candidate.target) if installed else candidate.target
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call sys.exit while it is imported
        raise PluginFaultError(candidate.fault("import", error)) from error
    seconds = time.perf_counter() - start
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(_HOOKS)
    try:
        if cause := _hooks_refusal(manager, module):
            raise PluginFaultError(candidate.fault("hooks", cause))
        manager.register(module, name=candidate.plugin)
    except (PluginFaultError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginFaultError(candidate.fault("hooks", error)) from error
    return Plugin(candidate, manager.hook, seconds, tuple(name for name in light if name in sys.modules))


def _hooks_refusal(manager: pluggy.PluginManager, module: Any) -> str:
    """Return which hook would silently never be called, or `""`."""
    known = sorted(name for name in vars(hooks) if name.startswith("ganart_"))
    marked = 0
    for name in dir(module):
        if manager.parse_hookimpl_opts(module, name) is not None:
            if name not in known:
                return f"hook {name!r} is unknown, expected one of {', '.join(known)}{did_you_mean(name, known)}"
            marked += 1
        elif name in known:
            return f"{name} is not marked with @hookimpl, so it would never be called"
    return "" if marked else f"{module!r:.80} has no hooks; mark functions such as ganart_models with @hookimpl"


def _import(point: EntryPoint) -> Any:
    module: ModuleType = importlib.import_module(point.module)
    target: Any = module
    for attribute in point.attr.split(".") if point.attr else ():
        target = getattr(target, attribute)
    return target


def api_refusal(requires: Iterable[str], api_version: str) -> str:
    """Return why the plugin's declared range does not allow this version of ganart-zoo, or `""`."""
    required: list[Requirement] = []
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) == "ganart-zoo" and (
            requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ):
            required.append(requirement)
    if not any(requirement.specifier for requirement in required):
        major, minor, *_ = api_version.split(".")
        return f"declares no range for ganart-zoo; it must depend on 'ganart-zoo>={major}.{minor}' with an upper bound"
    for requirement in required:
        if not requirement.specifier.contains(api_version, prereleases=True):
            return f"requires {requirement}, but this is ganart-zoo {api_version}; install another version of it"
    return ""


def models(plugin: Plugin) -> Iterator[ModelSpec | Fault]:
    """Yield the valid models of a plugin, and a fault for each invalid one, also of those before a failure."""
    return _declared(plugin, "models", ModelSpec)


def recipes(plugin: Plugin) -> Iterator[RecipeSpec | Fault]:
    """Yield the valid recipes of a plugin, and a fault for each invalid one, also of those before a failure."""
    return _declared(plugin, "recipes", RecipeSpec)


def _declared(plugin: Plugin, stage: str, spec_type: type[_Spec]) -> Iterator[_Spec | Fault]:
    hook = f"ganart_{stage}"
    if not plugin.implements(hook):
        return
    fault = plugin.candidate.fault
    seen: set[str] = set()
    # Nothing is yielded inside these try blocks, since closing this generator raises at a yield and is not a fault.
    try:
        offered = _offered(plugin, hook, spec_type)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        yield fault(stage, error)
        return
    while True:
        try:
            spec = next(offered)
        except StopIteration:
            return
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            yield fault(stage, error)
            return
        if problems := _problems(spec, spec_type, seen):
            name = {_NOUNS[spec_type]: _name(spec)}
            yield fault("spec", problems, **name)
        else:
            seen.add(spec.name)
            yield spec


def _offered(plugin: Plugin, hook: str, spec_type: type) -> Iterator[Any]:
    results = getattr(plugin.hooks, hook)()
    result = results[0] if results else None  # pluggy drops None
    if isinstance(result, (spec_type, str, bytes, dict)) or not isinstance(result, Iterable):
        what = "None" if result is None else f"a {type(result).__name__}"
        raise TypeError(f"{hook} returned {what}, expected an iterable of {spec_type.__name__}")
    return iter(result)


def _problems(spec: Any, spec_type: type[Any], taken: Collection[str]) -> str | BaseException:
    """Return what is wrong with one declaration, or `""`."""
    try:
        if not isinstance(spec, spec_type):
            return f"{type(spec).__name__} {spec!r:.60} is not a {spec_type.__name__}"
        if problems := spec.problems():
            return "; ".join(problems)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # objects of a plugin may raise when they are inspected
        return error
    return f"the plugin already has a {_NOUNS[spec_type]} named {spec.name!r}" if spec.name in taken else ""


def _name(spec: Any) -> str | None:
    name = getattr(spec, "name", None)
    return name if isinstance(name, str) else None


class ModuleName(str):
    """The name of a module, as opposed to a plugin that is a text."""

    __slots__ = ()


def by_name(plugin: Any) -> Any:
    """Return what finds a plugin again in another process: the name of a module, or the object itself."""
    return ModuleName(plugin.__name__) if isinstance(plugin, ModuleType) else plugin


def from_name(plugin: Any) -> Any:
    """Return the plugin of `by_name`."""
    return importlib.import_module(plugin) if isinstance(plugin, ModuleName) else plugin


def _candidate(plugin: str, distribution: str, version: str, target: Any, requires: tuple[str, ...]) -> Candidate:
    return Candidate(plugin, distribution, version, from_name(target), requires)


def _load_again(candidate: Candidate, isolation: Isolation | None = None) -> Plugin:
    return replace(load(candidate, ganart_zoo.__version__), isolation=isolation)
