"""Weights from the Hugging Face Hub: safetensors files and the config of one pinned commit.

It needs only a listing and plain downloads (see `download`), and not the `huggingface_hub` package. Private and gated
repositories are not supported: a user with access downloads one and passes the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ganart_zoo.contract.errors import SettingsError, WeightsError
from ganart_zoo.registry.download import Progress, obtain, read_json
from ganart_zoo.registry.layouts import layout_names
from ganart_zoo.registry.weights import HUB_PREFIX

__all__ = ["HubReference", "fetch_snapshot", "recorded_snapshot"]

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Only files at the top level, so that no path leaves the folder.
_WANTED = re.compile(r"[A-Za-z0-9][\w.-]*\.safetensors|config\.json", re.ASCII)
_RECORD = "hashes.json"


@dataclass(frozen=True)
class HubReference:
    """The parts of `hub:org/name@<commit>`."""

    repository: str
    commit: str

    @classmethod
    def parse(cls, text: str) -> HubReference:
        """Parse a reference.

        Raises:
            SettingsError: `text` has another form, or names a branch or tag, whose content can change.
        """
        repository, _, commit = text.removeprefix(HUB_PREFIX).partition("@")
        if not _REPOSITORY.fullmatch(repository):
            raise SettingsError(f"weights {text!r}: expected {HUB_PREFIX}org/name@<commit>")
        if not _COMMIT.fullmatch(commit):
            problem = f"the content of {commit!r} can change" if commit else "no commit is given"
            raise SettingsError(
                f"weights {text!r}: {problem}; pin a commit with all 40 hex digits, {HUB_PREFIX}org/name@<commit>"
            )
        return cls(repository, commit)

    def __str__(self) -> str:
        return f"{HUB_PREFIX}{self.repository}@{self.commit}"

    def folder(self, root: Path, patterns: Sequence[str] = ()) -> Path:
        """Return the folder of the snapshot under `root`."""
        # models that use different files of one commit store them separately, so each record is complete for its model
        layout = f"-{hashlib.sha256(repr(tuple(patterns)).encode()).hexdigest()[:8]}" if patterns else ""
        return root / self.repository.replace("/", "--") / f"{self.commit}{layout}"


def recorded_snapshot(reference: HubReference, root: Path, patterns: Sequence[str] = ()) -> Mapping[str, str] | None:
    """Return `{file name: sha256}` of a snapshot fetched earlier, or None if it is not complete on this machine."""
    folder = reference.folder(root, patterns)
    try:
        hashes: dict[str, str] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return hashes if all((folder / name).is_file() for name in hashes) else None


def fetch_snapshot(
    reference: HubReference,
    root: Path,
    *,
    parts: Path,
    patterns: Sequence[str] = (),
    progress: Progress | None = None,
) -> Mapping[str, str]:
    """Fetch a snapshot's `*.safetensors` and `config.json`, and return and record `{file name: sha256}`.

    The endpoint is `HF_ENDPOINT`, or else the public hub. Large files must match the sha256 that it states for the
    commit.

    Raises:
        WeightsError: The repository has no safetensors files at its top level, or the transfer failed.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    folder = reference.folder(root, patterns)
    hashes: dict[str, str] = {}
    for name, file in _listing(reference, endpoint, patterns).items():
        lfs = file.get("lfs") or {}
        hashes[name] = obtain(
            [f"{endpoint}/{reference.repository}/resolve/{reference.commit}/{quote(name)}"],
            folder / name,
            part=parts / f"{reference.repository.replace('/', '--')}@{reference.commit}@{name.replace('/', '--')}.part",
            sha256=lfs.get("sha256"),
            size=lfs.get("size", file.get("size")),
            progress=progress,
        )
    record = folder / f"{_RECORD}.part"
    record.write_text(json.dumps(hashes, indent=1), encoding="utf-8")
    record.replace(folder / _RECORD)
    return hashes


def _listing(reference: HubReference, endpoint: str, patterns: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return what the hub states about the files that are fetched, by name."""
    url = f"{endpoint}/api/models/{reference.repository}/revision/{reference.commit}?blobs=true"
    answer = read_json(url)
    try:
        commit, siblings = answer["sha"], {file["rfilename"]: file for file in answer["siblings"]}
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{url}: the answer lists no files") from error
    if commit != reference.commit:
        raise WeightsError(f"{url}: the answer is about commit {commit}")
    chosen = layout_names(siblings, patterns) if patterns else [name for name in siblings if _WANTED.fullmatch(name)]
    wanted = {name: siblings[name] for name in chosen}
    if not any(name.endswith(".safetensors") for name in wanted):
        raise WeightsError(
            f"{reference} has no {_weights(patterns)}, and nothing else is taken from the hub; "
            "download what you need yourself and pass weights=PATH"
        )
    return wanted


def _weights(patterns: Sequence[str]) -> str:
    return " or ".join(p for p in patterns if p.endswith(".safetensors")) or "*.safetensors at its top level"
