"""Which plugins a user has disabled: a small file in the user's configuration folder. Torch-free."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from ganart_zoo.contract.errors import GanartError

__all__ = ["disabled_file", "disabled_plugins", "set_disabled"]


def disabled_file() -> Path:
    """Return the path of the file: in `GANART_HOME` if that is set, else in the user's configuration folder."""
    if home := os.environ.get("GANART_HOME"):
        return Path(home).expanduser().absolute() / "plugins.json"
    import platformdirs

    return platformdirs.user_config_path("ganart-zoo", appauthor=False) / "plugins.json"


def disabled_plugins(*, file: bool = True) -> tuple[str, ...]:
    """Return the normalised names in the comma-separated `GANART_DISABLE_PLUGINS`, and those that the file lists.

    Args:
        file: Whether to read the file. One that cannot be read disables nothing.
    """
    named = os.environ.get("GANART_DISABLE_PLUGINS", "").split(",")
    names = (*named, *(_listed() if file else ()))
    return tuple(dict.fromkeys(str(canonicalize_name(name.strip())) for name in names if name.strip()))


def set_disabled(names: Iterable[str], disabled: bool) -> tuple[str, ...]:
    """Add names to the file or remove them from it, and return all that it lists then.

    Raises:
        GanartError: The file cannot be written.
    """
    changed = {str(canonicalize_name(name)) for name in names}
    kept = set(_listed())
    listed = sorted(kept | changed if disabled else kept - changed)
    path = disabled_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_text(json.dumps({"disabled": listed}, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise GanartError(f"{path} cannot be written: {error.strerror or error}") from error
    return tuple(listed)


def _listed() -> tuple[str, ...]:
    try:
        data = json.loads(disabled_file().read_text(encoding="utf-8"))
        return tuple(str(canonicalize_name(name)) for name in data["disabled"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()
