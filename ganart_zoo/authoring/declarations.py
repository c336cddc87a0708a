"""The rules on what a plugin declares: specs, licences, settings, weights, capabilities."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganart_zoo.authoring.licences import is_spdx
from ganart_zoo.authoring.rules import Finding
from ganart_zoo.authoring.target import Target
from ganart_zoo.contract.digest import file_sha256

__all__ = ["declaration_findings"]

_MEANINGS: Mapping[str, tuple[set[str], str]] = {
    "steps": ({"integer"}, "an integer"),
    "size": ({"integer", "string"}, "an integer, or text such as 64x48,"),
    "resolution": ({"integer"}, "an integer"),
    "alpha": ({"number", "integer"}, "a number"),
    "strength": ({"number", "integer"}, "a number"),
    "truncation": ({"number", "integer"}, "a number"),
    "guidance": ({"number", "integer"}, "a number"),
    "negative_prompt": ({"string"}, "text"),
    "class_names": ({"array"}, "a list of names"),
}
"""Settings that mean the same in every plugin: the JSON types they may have, and how to say so."""
_NEEDED = {
    "generator": ("unconditional", "labels", "prompt", "reference"),
    "style_transfer": ("image_styles", "named_styles", "no_style"),
}
_WAIT = 10


def declaration_findings(target: Target, answer: Mapping[str, Any], *, online: bool) -> Iterator[Finding]:
    """Yield what is wrong with the declarations that a probe found."""
    for fault in answer["spec_faults"]:
        yield Finding("spec" if fault["stage"] == "spec" else "entry-fails", fault["cause"], fault["about"])
    if answer["fault"] is None and not answer["specs"] and not answer["spec_faults"]:
        yield Finding("spec", "the plugin offers neither a model nor a recipe", target.module)
    declared = answer.get("declared")
    for spec in answer["specs"]:
        if not is_spdx(spec["license"]):
            yield Finding("spec-license", f"license is {spec['license']!r}", spec["name"])
        yield from _weights(spec, declared["weights"] if declared else {}, online)
        yield from _capabilities(spec, declared)
    if declared is None:
        return
    for fault in declared["faults"]:
        yield Finding(fault["stage"], fault["cause"], fault["about"])
    if declared["torch"] and not answer["torch"]:
        yield Finding("settings-import-torch", "importing the settings imports torch", target.name)
    for model, schemas in declared["schemas"].items():
        for part, schema in schemas.items():
            for name, field in schema.get("properties", {}).items():
                where = f"{model} {part}.{name}"
                if not field.get("description"):
                    yield Finding("setting-description", "it has no description", where)
                yield from _meaning(name, field, schema, where)


def _meaning(name: str, field: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[Finding]:
    if name not in _MEANINGS:
        return
    expected, words = _MEANINGS[name]
    types = _types(field, schema)
    if types and not types - {"null"} <= expected:
        yield Finding("setting-meaning", f"it is {' or '.join(sorted(types))}, but {name} is {words} everywhere", where)


def _types(field: Mapping[str, Any], schema: Mapping[str, Any]) -> set[str]:
    if "$ref" in field:
        return _types(schema.get("$defs", {}).get(field["$ref"].rpartition("/")[2], {}), schema)
    found: set[str] = set()
    for key in ("anyOf", "oneOf", "allOf"):
        for each in field.get(key, ()):
            found |= _types(each, schema)
    kind = field.get("type")
    return found | ({kind} if isinstance(kind, str) else set(kind or ()))


def _weights(spec: Mapping[str, Any], located: Mapping[str, str], online: bool) -> Iterator[Finding]:
    for variant in spec["weights"]:
        for file in variant["files"]:
            where = f"{spec['name']} weights {variant['name']!r}"
            if not file["license"]:
                yield Finding("weights-license", f"file {file['name']!r} has no licence", where)
            elif not is_spdx(file["license"]):
                yield Finding("spec-license", f"license of file {file['name']!r} is {file['license']!r}", where)
            if file["package"] is not None:
                yield from _packaged(file, located, where)
            elif file["sha256"] is None and not file["source"]:  # else the user is told where to find it
                yield Finding(
                    "weights-hash", f"file {file['name']!r} has urls but no sha256, so it is never downloaded", where
                )
            if online:
                yield from _unreachable(file, where)


def _packaged(file: Mapping[str, Any], located: Mapping[str, str], where: str) -> Iterator[Finding]:
    if file["package"] not in located:
        yield Finding("weights-missing", f"{file['package']} is not in the package", where)
        return
    path = Path(located[file["package"]])
    size = path.stat().st_size
    if file["size"] is not None and file["size"] != size:
        yield Finding("weights-hash", f"size is {file['size']}, but {path.name} has {size} bytes", where)
    actual = file_sha256(path)
    if file["sha256"] is None:
        yield Finding("weights-hash", f"no sha256 is given; that of {path.name} is {actual}", where)
    elif file["sha256"] != actual:
        yield Finding("weights-hash", f"sha256 is {file['sha256']}, but that of {path.name} is {actual}", where)


def _unreachable(file: Mapping[str, Any], where: str) -> Iterator[Finding]:
    for url in file["urls"]:
        if url.startswith("file://"):
            continue
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "ganart-zoo"})
        try:
            with urllib.request.urlopen(request, timeout=_WAIT) as answer:
                length = answer.headers.get("Content-Length")
        except (OSError, ValueError) as error:
            yield Finding("weights-unreachable", f"{url}: {error}", where)
            continue
        if file["size"] is not None and length is not None and int(length) != file["size"]:
            yield Finding("weights-hash", f"size is {file['size']}, but {url} has {length} bytes", where)


def _capabilities(spec: Mapping[str, Any], declared: Mapping[str, Any] | None) -> Iterator[Finding]:
    can, kind = set(spec["capabilities"]), spec["kind"]
    needed = _NEEDED.get(kind, ())
    if needed and not can & set(needed):
        said = f"a {kind.replace('_', ' ')} declares at least one of {', '.join(needed)}; it declares {_listed(can)}"
        yield Finding("capability", said, spec["name"])
    if declared is None:
        return
    if "trainable" in can and kind not in declared["trained_kinds"]:
        said = f"it declares trainable, but no installed recipe trains a {kind.replace('_', ' ')}"
        yield Finding("capability", said, spec["name"], mend="bring a recipe, or leave trainable out")
    config = declared["schemas"].get(spec["name"], {}).get("config")
    if "labels" in can and config is not None and "class_names" not in config.get("properties", {}):
        yield Finding("capability", "it declares labels, but its config has no class_names", spec["name"])


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
