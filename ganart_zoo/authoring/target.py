"""Finds what `ganart check` looks at: an installed distribution, a source tree, or a wheel. Nothing is imported."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from ganart_zoo.contract.errors import GanartError, did_you_mean
from ganart_zoo.contract.hooks import ENTRY_POINT_GROUP

__all__ = ["Target", "open_target"]


@dataclass(frozen=True)
class Target:
    """A distribution to be checked."""

    name: str
    """Normalised."""
    version: str
    requires: tuple[str, ...]
    points: tuple[tuple[str, str], ...]
    """Entry points of the plugins' group: name and value."""
    license_expression: str
    license_files: tuple[str, ...]
    requires_python: str
    files: Mapping[str, Path]
    """The files of the package by their path in a wheel; of a source tree, those of its own package."""
    path: tuple[str, ...]
    """What must go before sys.path, so that it is found as if it were installed; empty for an installed one."""
    tags: tuple[str, ...] = ()
    """Of the wheel; empty for a source tree."""
    wheel_size: int | None = None

    @property
    def module(self) -> str:
        """The module of the first entry point, or an empty string."""
        return self.points[0][1].partition(":")[0].strip() if self.points else ""

    @property
    def package(self) -> str:
        """The top-level package of the entry module."""
        return self.module.partition(".")[0]


@contextmanager
def open_target(given: str) -> Iterator[Target]:
    """Find a distribution, a source tree or a wheel.

    Raises:
        GanartError: There is no such thing, or it cannot be read.
    """
    path = Path(given)
    with tempfile.TemporaryDirectory(prefix="ganart-check-") as folder:
        if path.suffix == ".whl":
            yield _wheel(path, Path(folder))
        elif path.is_file() or path.name.endswith((".tar.gz", ".zip", ".egg")):
            raise GanartError(f"{given} is not a wheel; give a .whl file, a folder with pyproject.toml, or a name")
        elif (path / "pyproject.toml").is_file():
            yield _tree(path.resolve(), Path(folder))
        elif path.is_dir():
            raise GanartError(f"{given} has no pyproject.toml; give the folder of a package, a wheel, or a name")
        else:
            yield _installed(given)


def _installed(name: str) -> Target:
    try:
        found = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        known = sorted(
            {point.dist.name for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP) if point.dist}
        )
        near = did_you_mean(name, known)
        raise GanartError(f"{name!r} is no installed distribution, folder or wheel{near}") from None
    points = [(point.name, point.value) for point in found.entry_points if point.group == ENTRY_POINT_GROUP]
    files = {str(file): Path(str(found.locate_file(file))) for file in found.files or () if ".." not in file.parts}
    files = {inside: path for inside, path in files.items() if path.is_file()}
    package = points[0][1].partition(":")[0].partition(".")[0].strip() if points else ""
    if package and not any(inside.startswith((f"{package}/", f"{package}.py")) for inside in files):
        files |= _files_of(package)  # an editable install has its files elsewhere
    return _described(found.metadata, points, found.requires, files)


def _files_of(package: str) -> dict[str, Path]:
    """Return the files of a top-level package or module that can be imported; finding it does not run it."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None:
        return {}
    roots = [Path(root) for root in spec.submodule_search_locations or ()]
    found = {f"{package}.py": Path(spec.origin)} if spec.origin and not roots else {}
    for root in roots:
        found |= _listed(root, root.parent)
    return found


def _listed(root: Path, base: Path) -> dict[str, Path]:
    return {
        path.relative_to(base).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _tree(root: Path, folder: Path) -> Target:
    data = _toml(root / "pyproject.toml")
    project = data.get("project")
    if not isinstance(project, dict) or not isinstance(project.get("name"), str):
        raise GanartError(
            f"{root / 'pyproject.toml'} has no [project] with a name; install it, and check it by its name"
        )
    declared = project.get("entry-points", {}).get(ENTRY_POINT_GROUP, {})
    points = [(str(name), str(value)) for name, value in declared.items()]
    package = points[0][1].partition(":")[0].partition(".")[0].strip() if points else ""
    where = data.get("tool", {}).get("setuptools", {}).get("packages", {})
    wanted = where.get("find", {}).get("where", []) if isinstance(where, dict) else []
    bases = [root / each for each in (*wanted, "src", ".")]
    base = next((each for each in bases if (each / package).is_dir() or (each / f"{package}.py").is_file()), root)
    files = _listed(base / package, base) if package and (base / package).is_dir() else {}
    if package and (base / f"{package}.py").is_file():
        files[f"{package}.py"] = base / f"{package}.py"
    metadata = Message()
    metadata["Metadata-Version"] = "2.4"
    metadata["Name"] = project["name"]
    metadata["Version"] = str(project.get("version", "0"))
    licence = project.get("license", "")
    if isinstance(licence, str):
        metadata["License-Expression"] = licence
    metadata["Requires-Python"] = str(project.get("requires-python", ""))
    patterns = project.get("license-files", ["LICEN[CS]E*", "COPYING*", "NOTICE*", "AUTHORS*"])
    for pattern in patterns if isinstance(patterns, list) else ():
        for path in sorted(root.glob(pattern)):
            metadata["License-File"] = path.name
    requires = [str(each) for each in project.get("dependencies", ())]
    for requirement in requires:
        metadata["Requires-Dist"] = requirement
    info = folder / f"{canonicalize_name(project['name']).replace('-', '_')}-{metadata['Version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(metadata.as_string(), encoding="utf-8")
    lines = [f"[{ENTRY_POINT_GROUP}]", *(f"{name} = {value}" for name, value in points)]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _described(metadata, points, requires, files, path=(str(folder), str(base)))


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pragma: no cover
        try:
            import tomli as tomllib
        except ImportError as error:
            raise GanartError(f"{path} cannot be read before Python 3.11 without tomli: pip install tomli") from error
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GanartError(f"{path} cannot be read: {error}") from error


def _wheel(path: Path, folder: Path) -> Target:
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        (info,) = folder.glob("*.dist-info")
        metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
        tags = Parser().parsestr((info / "WHEEL").read_text(encoding="utf-8")).get_all("Tag", [])
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise GanartError(f"{path} is not a sound wheel: {error}") from error
    found = importlib.metadata.PathDistribution(info)
    points = [(point.name, point.value) for point in found.entry_points if point.group == ENTRY_POINT_GROUP]
    files = _listed(folder, folder)
    return _described(
        metadata, points, found.requires, files, path=(str(folder),), tags=tuple(tags), wheel_size=path.stat().st_size
    )


def _described(metadata: Any, points: Any, requires: Any, files: Mapping[str, Path], **rest: Any) -> Target:
    if not metadata.get("Name"):
        raise GanartError("its METADATA has no Name, or is missing; install it again")
    if "tags" not in rest:
        wheel = next((file for inside, file in files.items() if inside.endswith(".dist-info/WHEEL")), None)
        if wheel is not None:
            rest["tags"] = tuple(Parser().parsestr(wheel.read_text(encoding="utf-8")).get_all("Tag", []))
    return Target(
        name=str(canonicalize_name(metadata["Name"])),
        version=str(metadata.get("Version") or "0"),
        requires=tuple(requires or ()),
        points=tuple(points),
        license_expression=str(metadata.get("License-Expression") or ""),
        license_files=tuple(metadata.get_all("License-File") or ()),
        requires_python=str(metadata.get("Requires-Python") or ""),
        files=files,
        path=rest.pop("path", ()),
        **rest,
    )
