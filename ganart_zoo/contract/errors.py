"""The exceptions that ganart-zoo raises deliberately.

All derive from `GanartError`, so an embedder needs to catch only one class. The command line shows each as one line and
exits with code 2. A message names the thing, its value, what was expected, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ganart_zoo.contract.fault import Fault

__all__ = [
    "AmbiguousModelError",
    "GanartError",
    "ImageError",
    "ModelError",
    "OfflineError",
    "PluginFaultError",
    "SettingsError",
    "UnknownModelError",
    "WeightsError",
    "WeightsMissingError",
    "count_of",
    "did_you_mean",
]


class GanartError(Exception):
    """The base class of all deliberate errors. `str(error)` is one line that can be shown to a user."""


class UnknownModelError(GanartError, LookupError):
    """No installed plugin offers a model with that name."""


class AmbiguousModelError(GanartError, LookupError):
    """Several distributions offer a model with that short name; the message lists them."""


class SettingsError(GanartError, ValueError):
    """A config field, option or argument has an unknown name or a value that is out of range."""


class ModelError(GanartError, RuntimeError):
    """A model could not be built, loaded or run."""


class PluginFaultError(ModelError):
    """A plugin broke its contract. `fault` holds the plugin, the stage, the cause and the traceback."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault

    def __reduce__(self) -> tuple[type[PluginFaultError], tuple[Fault]]:  # so that the error can be pickled
        return type(self), (self.fault,)


class WeightsError(GanartError):
    """A weights file is damaged, has the wrong sha256 or format, or could not be fetched."""


class WeightsMissingError(WeightsError, FileNotFoundError):
    """Weights that are needed are not on this machine; the message says how to get them."""

    def __str__(self) -> str:  # FileNotFoundError would format itself as an errno
        return str(self.args[0]) if self.args else ""


class OfflineError(WeightsError):
    """A download was requested while GANART_OFFLINE=1."""


class ImageError(GanartError, ValueError):
    """A picture cannot be read, written or used."""


def count_of(count: int, noun: str) -> str:
    """Return a number with its noun, which takes an s where it is not one: `"1 fault"`, `"3 faults"`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x' or 'y'?"` for names in `known` that resemble `wrong`, or `""` if there are none.

    >>> did_you_mean("gatis", ["gatys", "dcgan"])
    "; did you mean 'gatys'?"
    >>> did_you_mean("zzz", ["gatys"])
    ''
    """
    near = difflib.get_close_matches(wrong, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
