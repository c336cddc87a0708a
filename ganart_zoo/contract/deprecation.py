"""Says that something public will go, and makes sure that it goes when it was said to. Torch-free."""

from __future__ import annotations

import re
import warnings

__all__ = ["deprecated"]


def deprecated(what: str, instead: str, *, removed: str, stacklevel: int = 2) -> None:
    """Warn that `what` will go with a release. Once that release is here, this raises, so that it is not forgotten.

    Args:
        what: What the caller used, such as `"ganart_zoo.training.open_data"`.
        instead: What to use in its place.
        removed: The release that no longer has it, such as `"0.2"`. At least one minor release warns before.
        stacklevel: As for `warnings.warn`: 2 points at the caller of the function that calls this one.

    Raises:
        RuntimeError: This is that release or a later one; the code that warns must be removed.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     deprecated("zoo.old", "zoo.new", removed="99.0")
        >>> print(caught[0].message)
        zoo.old will be removed in ganart-zoo 99.0; use zoo.new
    """
    import ganart_zoo

    if _numbers(ganart_zoo.__version__) >= _numbers(removed):
        raise RuntimeError(f"{what} was to be removed in ganart-zoo {removed}, and this is {ganart_zoo.__version__}")
    warnings.warn(
        f"{what} will be removed in ganart-zoo {removed}; use {instead}", DeprecationWarning, stacklevel=stacklevel + 1
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
