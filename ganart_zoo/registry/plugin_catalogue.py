"""Catalogues of plugins: a JSON file that lists what can be installed. Reading one installs nothing. Torch-free.

    {"ganart_catalogue": 1,
     "plugins": [{"distribution": "ganart-oil", "version": "1.2.0", "summary": "Oil paint.", "license": "MIT",
                  "requires": "ganart-zoo>=0.1,<0.2", "url": "https://...", "sha256": "...",
                  "models": [{"name": "oil", "kind": "style_transfer", "summary": "..."}]}]}

`url` and `sha256` are those of a wheel; both may be left out where the distribution is on a package index. A catalogue
is trusted as far as the place it was read from, or as the key that it is signed with: `catalogue.json.minisig` beside
it is a signature of minisign. Its hashes say that a wheel is the one its author listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import GanartError, OfflineError
from ganart_zoo.registry.signatures import SUFFIX, verify

__all__ = ["CatalogueEntry", "CatalogueModel", "read_catalogue"]

_FORMAT = 1
_LARGEST = 20_000_000
_WAIT = 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CatalogueModel:
    """A model or recipe that a listed plugin offers."""

    name: str
    kind: str
    summary: str = ""


@dataclass(frozen=True)
class CatalogueEntry:
    """A listed plugin."""

    distribution: str
    version: str
    summary: str = ""
    license: str = ""
    requires: str = ""
    url: str = ""
    sha256: str = ""
    models: tuple[CatalogueModel, ...] = ()

    @property
    def install(self) -> str:
        """The command that installs it, with its hash where the catalogue has one."""
        if self.url:
            return f"pip install '{self.url}{f'#sha256={self.sha256}' if self.sha256 else ''}'"
        return f"pip install {self.distribution}=={self.version}"

    def matches(self, words: tuple[str, ...]) -> bool:
        """Return whether each word is in a name, kind or summary."""
        parts = [self.distribution, self.summary, *(f"{m.name} {m.kind} {m.summary}" for m in self.models)]
        text = " ".join(parts).lower()
        return all(word.lower() in text for word in words)


def read_catalogue(place: str, *, offline: bool = False, key: str | None = None) -> tuple[CatalogueEntry, ...]:
    """Read a catalogue from a file or an https URL.

    Args:
        place: The file or URL.
        offline: Whether to refuse URLs.
        key: The public key of minisign that the catalogue must be signed with; None to ask for no signature.

    Raises:
        OfflineError: It is a URL, and `offline` is set.
        GanartError: It cannot be read, is not a catalogue of a known format, or is not signed with the key.
    """
    if re.match(r"https?://", place):
        if offline:
            raise OfflineError(f"GANART_OFFLINE is set, so {place} is not read; give a file")
        if not place.startswith("https://") and not re.match(r"http://(127\.0\.0\.1|localhost)[:/]", place):
            raise GanartError(f"{place} is not https, so anybody on the way could change it; use https or a file")
    content = _content(place)
    if key is not None:
        signature = _content(f"{place}{SUFFIX}", " beside the catalogue, which --key asks for")
        verify(content, signature.decode("utf-8", "replace"), key, place)
    try:
        data = json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise GanartError(f"{place} is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("ganart_catalogue") != _FORMAT:
        raise GanartError(f'{place} is not a catalogue of format {_FORMAT}; it needs "ganart_catalogue": {_FORMAT}')
    return tuple(_entries(data.get("plugins", []), place))


def _content(place: str, what: str = "") -> bytes:
    if re.match(r"https?://", place):
        return _downloaded(place)
    try:
        return Path(place).read_bytes()
    except OSError as error:
        raise GanartError(f"{place}{what} cannot be read: {error.strerror or error}") from error


def _downloaded(url: str) -> bytes:
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(url, headers={"User-Agent": "ganart-zoo"}), timeout=_WAIT) as answer:
            content: bytes = answer.read(_LARGEST + 1)
            if len(content) > _LARGEST:
                raise GanartError(f"{url} has more than {_LARGEST // 1_000_000} MB, which no catalogue has")
            return content
    except (OSError, ValueError) as error:
        raise GanartError(f"{url} cannot be read: {error}") from error


def _entries(items: Any, place: str) -> Iterator[CatalogueEntry]:
    if not isinstance(items, list):
        raise GanartError(f"{place}: plugins is {type(items).__name__}, expected a list")
    for number, item in enumerate(items, 1):
        where = f"{place}: plugin {number}"
        if not isinstance(item, Mapping):
            raise GanartError(f"{where} is {item!r:.60}, expected an object")
        fields = ("distribution", "version", "summary", "license", "requires", "url", "sha256")
        values = {name: item.get(name, "") for name in fields}
        for name, value in values.items():
            if not isinstance(value, str) or (name in ("distribution", "version") and not value):
                raise GanartError(f"{where}: {name} is {value!r:.60}, expected text")
        if values["sha256"] and not _SHA256.fullmatch(values["sha256"]):
            raise GanartError(f"{where}: sha256 is {values['sha256']!r:.80}, expected 64 lower-case hex digits")
        if values["url"] and not values["url"].startswith("https://"):
            raise GanartError(f"{where}: url is {values['url']!r:.80}, expected https://")
        try:
            models = tuple(
                CatalogueModel(str(m["name"]), str(m["kind"]), str(m.get("summary", "")))
                for m in item.get("models", ())
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise GanartError(f"{where}: models must be a list of objects with name and kind") from error
        yield CatalogueEntry(**values, models=models)
