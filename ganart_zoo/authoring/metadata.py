"""The rules on a distribution's metadata and on the files it holds; reads them, and imports nothing."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

import ganart_zoo
from ganart_zoo.authoring.licences import is_spdx
from ganart_zoo.authoring.rules import Finding
from ganart_zoo.authoring.target import Target
from ganart_zoo.registry.discovery import api_refusal

__all__ = ["file_findings", "metadata_findings"]

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib", ".dill")
_LIBRARIES = (".so", ".dylib", ".dll", ".pyd")
_OTHERS_LIBRARIES = ("libtorch", "libc10", "libcudart", "libcublas", "libcudnn", "libgomp", "libstdc++")
_LARGEST = 100_000_000
"""Bytes: what PyPI takes without asking."""


def metadata_findings(target: Target) -> Iterator[Finding]:
    """Yield what is wrong with the metadata."""
    if not target.points:
        yield Finding("entry-point", f"{target.name} has no entry point in the group ganart_zoo.plugins")
    elif len(target.points) > 1:
        names = ", ".join(name for name, _ in target.points)
        yield Finding("entry-point", f"{target.name} has {len(target.points)} entry points: {names}")
    if refusal := api_refusal(target.requires, ganart_zoo.__version__):
        yield Finding("api-range", f"{target.name} {refusal}", mend=f"depend on 'ganart-zoo{_usual_range()}'")
    else:
        for requirement in _requirements(target):
            if canonicalize_name(requirement.name) == "ganart-zoo" and not _bounded(requirement.specifier):
                yield Finding(
                    "api-range",
                    f"{str(requirement)!r} has no upper bound, and the next minor version may have another API",
                    mend=f"depend on 'ganart-zoo{_usual_range()}'",
                )
    if not target.license_expression:
        yield Finding("metadata-license", "the metadata have no License-Expression")
    elif not is_spdx(target.license_expression):
        yield Finding("metadata-license", f"License-Expression is {target.license_expression!r}")
    if not target.license_files and not any("licenses/" in inside for inside in target.files):
        yield Finding("license-file", "no licence file is listed")
    if not target.requires_python:
        yield Finding("python-range", "requires-python is not set")
    yield from _clashes(target)


def _usual_range() -> str:
    major, minor, *_ = ganart_zoo.__version__.split(".")
    return f">={major}.{minor},<{major}.{int(minor) + 1}"


def _requirements(target: Target) -> Iterator[Requirement]:
    """Yield the requirements that hold without extras."""
    for text in target.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _bounded(specifier: SpecifierSet) -> bool:
    return any(each.operator in ("<", "<=", "==", "~=", "===") for each in specifier)


def _clashes(target: Target) -> Iterator[Finding]:
    core: dict[str, SpecifierSet] = {}
    for text in importlib.metadata.requires("ganart-zoo") or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            core[str(canonicalize_name(requirement.name))] = requirement.specifier
    for text in target.requires:
        try:
            Requirement(text)
        except InvalidRequirement as error:
            yield Finding("dependency-clash", f"{text!r} is no requirement: {str(error).splitlines()[0]}")
    for requirement in _requirements(target):
        name = str(canonicalize_name(requirement.name))
        if name not in core:
            continue
        if any(each.operator in ("==", "===") and not each.version.endswith(".*") for each in requirement.specifier):
            yield Finding("dependency-clash", f"{str(requirement)!r} pins a package that all plugins share")
            continue
        tried = [*_tried(name), *(each.version for each in core[name] if each.operator in (">=", "~=", "=="))]
        versions = [version for version in tried if core[name].contains(version, prereleases=True)]
        if versions and not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
            yield Finding(
                "dependency-clash",
                f"{str(requirement)!r} excludes {name} {' and '.join(versions)}, but ganart-zoo needs {core[name]}",
            )


def _tried(name: str) -> Iterator[str]:
    try:
        version = importlib.metadata.version(name)
        Version(version)
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return
    yield version


def file_findings(target: Target) -> Iterator[Finding]:
    """Yield what is wrong with the files of the package."""
    own = target.package
    editable = any(inside.startswith("__editable__") for inside in target.files)
    pure = bool(target.tags) and all(tag.endswith("-none-any") for tag in target.tags)
    strays: set[str] = set()
    total = 0
    for inside, path in target.files.items():
        parts = PurePosixPath(inside).parts
        name, top = parts[-1], parts[0]
        total += path.stat().st_size
        if len(parts) == 1 and name.endswith(".pth"):
            continue  # of an editable install
        if name.endswith(_PICKLES):
            yield Finding("file-pickle", f"{name} is a pickle by its suffix", inside)
        if any(name.endswith(suffix) or f"{suffix}." in name for suffix in _LIBRARIES):
            if name.startswith(_OTHERS_LIBRARIES):
                yield Finding("file-library", f"{name} belongs to another package", inside)
            elif pure and not editable:
                yield Finding("file-library", f"{name} is native, but the wheel is tagged {target.tags[0]}", inside)
        if top.endswith((".dist-info", ".egg-info", ".data")) or top.startswith("__"):
            continue
        if own and top.removesuffix(".py") != own:
            strays.add(top)
    for top in sorted(strays):
        yield Finding("file-stray", f"it installs {top!r} beside {own!r}")
    size, what = (total, "the files have") if target.wheel_size is None else (target.wheel_size, "the wheel has")
    if size > _LARGEST:
        yield Finding("file-size", f"{what} {size / 1e6:.0f} MB, expected at most {_LARGEST / 1e6:.0f} MB")
