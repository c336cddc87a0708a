"""Classes as a user gives them, by number or name."""

from __future__ import annotations

from collections.abc import Sequence

from ganart_zoo.contract.errors import SettingsError, did_you_mean

__all__ = ["class_label"]


def class_label(owner: str, names: Sequence[str], given: int | str) -> int:
    """Return the label of a class of the model `owner`; a name goes before a number. Without names, any number is one.

    Raises:
        SettingsError: There is no such class; the message names near misses.
    """
    if given in names:
        return list(names).index(str(given))
    label = int(given) if str(given).isdigit() else -1
    if label >= 0 and (not names or label < len(names)):
        return label
    listed = f"{', '.join(names[:20])}{' ...' if len(names) > 20 else ''}"
    known = did_you_mean(str(given), names) or (f"; it has {listed}" if names else "")
    raise SettingsError(f"{owner} has no class {given!r}{known}")
