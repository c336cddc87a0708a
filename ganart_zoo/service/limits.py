"""How much one job may take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ganart_zoo.contract.errors import SettingsError, did_you_mean

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """The most that one job may take; None leaves it open."""

    seconds: float | None = None
    """Running time, after which the job is stopped at its next step with its best result so far."""
    pixels: float | None = None
    """Pixels that a picture may have at the size at which it is worked on; a job of more fails before it starts."""
    timeout: float | None = None
    """Running time after which a job that does not stop is ended with its worker process; needs processes."""
    memory: float | None = None
    """Resident bytes of the worker process, Python and torch included, beyond which it is ended; needs processes."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and value > 0 and math.isfinite(value)):
                raise SettingsError(f"limit {one.name} is {value!r:.40}, expected a number above 0, or None")

    @classmethod
    def of(cls, limits: Limits | Mapping[str, Any] | None) -> Limits:
        """Return limits that may come as a mapping.

        Raises:
            SettingsError: A name is unknown, or a value is not valid.
        """
        if isinstance(limits, Limits):
            return limits
        known = [one.name for one in fields(cls)]
        given = dict(limits or {})
        for name in given:
            if name not in known:
                near = did_you_mean(str(name), known) or f"; there are {', '.join(known)}"
                raise SettingsError(f"limit {name!r:.40} is unknown{near}")
        return cls(**given)

    def within(self, other: Limits) -> Limits:
        """Return the smaller of each limit of two."""
        smaller: dict[str, float | None] = {}
        for one in fields(self):
            both = (getattr(self, one.name), getattr(other, one.name))
            smaller[one.name] = min((value for value in both if value is not None), default=None)
        return replace(self, **smaller)
