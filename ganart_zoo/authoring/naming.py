"""The names of a new package: its distribution, module, model and class, all from the one word its author gives."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from ganart_zoo.contract.errors import SettingsError

__all__ = ["Names", "names_of"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST = 40
# fmt: off
_TAKEN = frozenset((
    "accelerate", "build", "click", "docs", "filelock", "ganart", "ganart_zoo", "jinja2", "numpy", "packaging", "pil",
    "pillow", "pip", "platformdirs", "pluggy", "pydantic", "pytest", "rich", "safetensors", "setuptools", "src", "test",
    "tests", "torch", "torchvision", "wheel",
))
# fmt: on
"""Modules that every plugin's environment has, and names that packages use for other things."""


@dataclass(frozen=True)
class Names:
    """What a package and its parts are called."""

    folder: str
    """As the author wrote it."""
    distribution: str
    """Normalised: lower case, hyphens."""
    module: str
    model: str
    """The module's name without the prefix `ganart_`."""
    cls: str


def names_of(name: str) -> Names:
    """Return the names that follow from the name of a package.

    Capitals, dots and underscores are normalised as package indexes do.

    Raises:
        SettingsError: The name cannot be that of a distribution and of a module.

    Example:
        >>> names_of("Ganart.Blur_2")
        Names(folder='Ganart.Blur_2', distribution='ganart-blur-2', module='ganart_blur_2', model='blur_2', cls='Blur2')
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"the name {name!r} cannot be that of a package; use letters, digits and . _ -, such as my-blur"
        )
    if len(name) > _LONGEST:
        raise SettingsError(f"the name has {len(name)} characters, expected at most {_LONGEST}")
    distribution = canonicalize_name(name)
    module = distribution.replace("-", "_")
    if not module.isidentifier():
        raise SettingsError(
            f"the name {name!r} gives the module {module!r}, which cannot be imported; begin with a letter"
        )
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in _TAKEN:
        raise SettingsError(
            f"the name {name!r} gives the module {module!r}, which would hide another; try 'ganart-{distribution}'"
        )
    model = module.removeprefix("ganart_")
    if not model.isidentifier() or keyword.iskeyword(model):
        raise SettingsError(f"the name {name!r} gives the model {model!r}, which is no name; add a word to it")
    cls = "".join(word[:1].upper() + word[1:] for word in model.split("_"))
    return Names(name, str(distribution), module, model, cls)
