"""What all declarations share: values normalised without raising, and fields judged in words. Torch-free."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["as_items", "as_mapping", "line_problems", "name_problems", "path_problems", "repeated", "text_problems"]

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_OBJECT_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def as_items(value: Any) -> tuple[Any, ...]:
    """Return `value` as a tuple: a bare string or non-iterable becomes one item, for `problems()` to judge."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return (value,)
    return tuple(value)


def as_mapping(value: Any) -> Any:
    """Return a copy of a mapping; anything else unchanged, for `problems()` to judge."""
    return dict(value) if isinstance(value, Mapping) else value


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once, sorted. The time it takes grows linearly with their number."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def name_problems(name: object) -> list[str]:
    """Return a line where `name` is not fit to be the name of a model or a recipe."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return []
    return [f"name is {name!r}, expected lower-case letters and digits joined by - _ or ."]


def line_problems(owner: object, *names: str) -> list[str]:
    """Return a line for each named field of `owner` that is not one line of text."""
    values = {name: getattr(owner, name) for name in names}
    return [
        f"{name} is {value!r}, expected one line of text"
        for name, value in values.items()
        if not isinstance(value, str) or not value.strip() or "\n" in value
    ]


def path_problems(owner: object, *, required: Sequence[str], optional: Sequence[str]) -> list[str]:
    """Return a line for each named field of `owner` that is not `"package.module:Name"`, or None where optional."""
    values = {name: getattr(owner, name) for name in (*required, *optional)}
    return [
        f"{name} is {value!r}, expected 'package.module:Name'"
        for name, value in values.items()
        if not (value is None and name in optional) and not (isinstance(value, str) and _OBJECT_PATH.fullmatch(value))
    ]


def text_problems(owner: object, where: str, *names: str) -> list[str]:
    """Return a line for each named field of `owner` that is not text."""
    return [
        f"{where}: {name} is {getattr(owner, name)!r}, expected text"
        for name in names
        if not isinstance(getattr(owner, name), str)
    ]
