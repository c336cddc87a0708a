"""Lays distributions on a path as pip would leave them, without pip: the modules, METADATA and entry_points.txt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

API = "ganart-zoo>=0.1,<0.2"


def install(
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    *,
    version: str = "1.0",
    requires: Sequence[str] = (API,),
    entry_points: str | None = None,
    metadata: bool = True,
) -> None:
    """Write a distribution into `folder`.

    Args:
        folder: What is, or will be, an entry of sys.path.
        name: The distribution's.
        modules: Relative file name to source.
        version: The distribution's.
        requires: Its Requires-Dist lines.
        entry_points: The whole entry_points.txt; None names the module that is called as the distribution.
        metadata: Whether to write METADATA.
    """
    module = name.replace("-", "_")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    if metadata:
        headers = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        headers += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(headers) + "\n", encoding="utf-8")
    text = f"[ganart_zoo.plugins]\n{module} = {module}\n" if entry_points is None else entry_points
    (info / "entry_points.txt").write_text(text, encoding="utf-8")
    for file, source in modules.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
