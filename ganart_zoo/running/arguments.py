"""Numbers as users and JSON give them."""

from __future__ import annotations

from typing import Any

from ganart_zoo.contract.errors import SettingsError

__all__ = ["whole"]


def whole(name: str, value: Any) -> int:
    """Return a whole number that may come as an int, as text, or as a float without a fraction.

    Raises:
        SettingsError: It is not a whole number; the message has its name.

    >>> whole("size", "64"), whole("size", 64.0)
    (64, 64)
    """
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = int(value)
        except (ValueError, OverflowError):
            number = None
        if number is not None and (isinstance(value, str) or number == value):
            return number
    raise SettingsError(f"{name} is {value!r:.80}, expected a whole number")
