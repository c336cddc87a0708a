"""Every exception that ganart-zoo raises on purpose.

All derive from `GanartError`, so an embedder catches one name; the command line turns each into one line and exit code
2. A message names the thing, the value found, what was expected, and the next step.
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
    "did_you_mean",
]


class GanartError(Exception):
    """Base of all deliberate errors; `str(error)` is one line fit to show a user."""


class UnknownModelError(GanartError, LookupError):
    """No installed plugin offers a model of that name."""


class AmbiguousModelError(GanartError, LookupError):
    """A short name is offered by several distributions; the message lists every owner."""


class SettingsError(GanartError, ValueError):
    """A config, option or argument has an unknown name or a value out of range."""


class ModelError(GanartError, RuntimeError):
    """A model could not be built, loaded or run as asked."""


class PluginFaultError(ModelError):
    """A plugin broke its contract. `fault` says which plugin, at what stage, and why, and keeps the traceback."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault

    def __reduce__(self) -> tuple[type[PluginFaultError], tuple[Fault]]:  # so that it crosses processes whole
        return type(self), (self.fault,)


class WeightsError(GanartError):
    """A weights file is damaged, mismatched or of the wrong format, or could not be fetched."""


class WeightsMissingError(WeightsError, FileNotFoundError):
    """Weights are needed and not on this machine; the message says how to get them."""

    def __str__(self) -> str:  # FileNotFoundError would format itself as an errno
        return str(self.args[0]) if self.args else ""


class OfflineError(WeightsError):
    """A download was asked for while GANART_OFFLINE=1."""


class ImageError(GanartError, ValueError):
    """A picture cannot be read, written or used as asked."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x' or 'y'?"` for near misses of `wrong` among `known`, or an empty string.

    >>> did_you_mean("gatis", ["gatys", "dcgan"])
    "; did you mean 'gatys'?"
    >>> did_you_mean("zzz", ["gatys"])
    ''
    """
    near = difflib.get_close_matches(wrong, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
