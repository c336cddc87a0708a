"""Loads the config and options classes of a model and checks values against them. Imports pydantic when used."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ganart_zoo.contract.errors import PluginFaultError, SettingsError, did_you_mean
from ganart_zoo.contract.recipes import RESERVED_ROLES, RUN_SETTINGS
from ganart_zoo.contract.spec import RESERVED_SETTINGS
from ganart_zoo.registry.names import Entry, RecipeEntry

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

__all__ = ["ModelSettings", "RecipeSettings", "check_values", "load_object"]


def load_object(entry: Entry | RecipeEntry, path: str, stage: str) -> Any:
    """Import `"module:Name"` of a plugin.

    Raises:
        PluginFaultError: It cannot be imported; the fault names `stage`.
    """
    module, _, attribute = path.partition(":")
    try:
        target: Any = importlib.import_module(module)
        for part in attribute.split("."):
            if not hasattr(target, part):
                near = did_you_mean(part, [name for name in vars(target) if not name.startswith("_")])
                raise AttributeError(f"{module} has no {attribute!r}{near}")
            target = getattr(target, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginFaultError(entry.fault(stage, error)) from error
    return target


def check_values(settings_class: type[BaseModel], values: Mapping[str, Any], owner: str) -> Any:
    """Return a checked instance of a settings class.

    Raises:
        SettingsError: A value is not valid; one line, which starts with `owner`, names each such field.
        Exception: What a validator raised.
    """
    from pydantic import ValidationError

    try:
        return settings_class(**values)
    except ValidationError as error:
        problems = "; ".join(_problem(detail, settings_class) for detail in error.errors(include_url=False))
        raise SettingsError(f"{owner}: {problems}") from None


def _problem(detail: ErrorDetails, settings_class: type[BaseModel]) -> str:
    name = ".".join(map(str, detail["loc"]))
    expected = " ".join(detail["msg"].removeprefix("Value error, ").split())
    if detail["type"] == "extra_forbidden":
        return f"{name!r} is unknown{did_you_mean(name, settings_class.model_fields)}"
    if detail["type"] == "missing":
        return f"{name} is missing"
    if not name:
        return expected
    if expected.startswith(f"{name} is "):  # a validator that says it all
        return expected
    expected = expected.removeprefix("Input should be ").removeprefix("expected ")
    return f"{name} is {detail['input']!r:.80}, expected {expected}"


class _Declared:
    """Loads the settings classes that a declaration names, and checks that they meet the contract."""

    def __init__(self, entry: Entry | RecipeEntry) -> None:
        self._owner = entry

    def _load(self, role: str) -> type[BaseModel]:
        from pydantic import BaseModel

        path = getattr(self._owner.spec, role)
        loaded = load_object(self._owner, path, "settings")
        if not (isinstance(loaded, type) and issubclass(loaded, BaseModel)):
            raise self._fault(f"{role} {path!r} is not a pydantic model")
        if loaded.model_config.get("extra") != "forbid":
            raise self._fault(f"{role} {path!r} allows unknown keys; derive it from ganart_zoo.contract.Settings")
        return loaded

    def _validate(self, settings_class: type[BaseModel], values: Mapping[str, Any]) -> Any:
        try:
            return check_values(settings_class, values, self._owner.canonical)
        except SettingsError:
            raise
        except Exception as error:  # a validator may raise anything
            raise PluginFaultError(self._owner.fault("settings", error)) from error

    def _refuse_shared(self, names: Mapping[str, Collection[str]], reserved: Collection[str]) -> None:
        owners: dict[str, str] = dict.fromkeys(reserved, "a reserved word")
        for role, each in names.items():
            for name in each:
                if name in owners:
                    raise self._fault(f"{name!r} of {role} is also {owners[name]}; rename it")
                owners[name] = f"in {role}"

    def _fault(self, cause: str) -> PluginFaultError:
        return PluginFaultError(self._owner.fault("settings", cause))


class ModelSettings(_Declared):
    """The settings of a model, in one namespace: its config, its options, and the models it uses."""

    def __init__(self, entry: Entry) -> None:
        """Import the model's settings classes.

        Raises:
            PluginFaultError: A class is missing, is not a pydantic model, or allows unknown keys; a name is used twice;
                or a weights variant needs a config field that does not exist.
        """
        from ganart_zoo.contract.settings import Settings

        super().__init__(entry)
        self.entry = entry
        spec = entry.spec
        self.config_class: type[BaseModel] = self._load("config") if spec.config else Settings
        self.options_class: type[BaseModel] = self._load("options") if spec.options else Settings
        self._check_names()

    def __repr__(self) -> str:
        return f"<ModelSettings of {self.entry.canonical}: {', '.join((*self.config_names, *self.option_names))}>"

    def config(self, values: Mapping[str, Any]) -> Any:
        """Return a checked instance of the config class.

        Raises:
            SettingsError: A value is invalid; one line names each such setting, its value and what was expected.
            PluginFaultError: A validator of the plugin failed.
        """
        return self._validate(self.config_class, values)

    def options(self, values: Mapping[str, Any]) -> Any:
        """Return a checked instance of the options class. Raises the same errors as `config`."""
        return self._validate(self.options_class, values)

    @property
    def config_names(self) -> tuple[str, ...]:
        """The names of the config's fields."""
        return tuple(self.config_class.model_fields)

    @property
    def option_names(self) -> tuple[str, ...]:
        """The names of the options' fields."""
        return tuple(self.options_class.model_fields)

    def sort(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Split `values` into the arguments of `Zoo.create` (config and uses) and those of a call (options).

        Raises:
            SettingsError: A name is unknown; the message gives similar names.
        """
        for_create = {*self.config_names, *self.entry.spec.uses}
        for name in values:
            if name not in for_create and name not in self.option_names:
                raise self.unknown(name)
        return (
            {name: value for name, value in values.items() if name in for_create},
            {name: value for name, value in values.items() if name not in for_create},
        )

    def unknown(self, name: str) -> SettingsError:
        """Return the error that says that this model has no setting `name`."""
        known = [*self.config_names, *self.option_names, *self.entry.spec.uses]
        hint = did_you_mean(name, known) or (f"; it has {', '.join(known)}" if known else "; it has none")
        return SettingsError(f"{self.entry.canonical} has no setting {name!r}{hint}")

    def _check_names(self) -> None:
        names = {"config": self.config_names, "options": self.option_names, "uses": self.entry.spec.uses}
        self._refuse_shared(names, RESERVED_SETTINGS)
        for variant in self.entry.spec.weights:
            for name in variant.config:
                if name not in self.config_names:
                    near = did_you_mean(name, self.config_names)
                    raise self._fault(
                        f"weights {variant.name!r} need {name!r}, which is not a field of the config{near}"
                    )


class RecipeSettings(_Declared):
    """The config class of a recipe."""

    def __init__(self, entry: RecipeEntry) -> None:
        """Import the recipe's config class.

        Raises:
            PluginFaultError: It is missing, does not derive from `RunSettings`, or allows unknown keys; or a name is
                used twice.
        """
        super().__init__(entry)
        self.entry = entry
        self.config_class: type[BaseModel] = self._load("config")
        base = load_object(entry, RUN_SETTINGS, "settings")
        if not issubclass(self.config_class, base):
            raise self._fault(f"config {entry.spec.config!r} does not derive from ganart_zoo.training.RunSettings")
        names = {"config": self.config_class.model_fields, "networks": entry.spec.networks, "uses": entry.spec.uses}
        self._refuse_shared(names, RESERVED_ROLES)
