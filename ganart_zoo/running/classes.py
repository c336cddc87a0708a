"""Classes as a user names them: by number or by name."""

from __future__ import annotations

from collections.abc import Sequence

from ganart_zoo.contract.errors import SettingsError, did_you_mean

__all__ = ["class_label"]


def class_label(owner: str, names: Sequence[str], wanted: int | str) -> int:
    """Return the label of a class of the model `owner`.

    A name is tried before a number. Where the classes have no names, any number is valid.

    Raises:
        SettingsError: There is no such class; the message names near misses.
    """
    if wanted in names:
        return list(names).index(str(wanted))
    label = int(wanted) if str(wanted).isdigit() else -1
    if label >= 0 and (not names or label < len(names)):
        return label
    listed = f"{', '.join(names[:20])}{' ...' if len(names) > 20 else ''}"
    known = did_you_mean(str(wanted), names) or (f"; it has {listed}" if names else "")
    raise SettingsError(f"{owner} has no class {wanted!r}{known}")
