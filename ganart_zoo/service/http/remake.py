"""Turns the record in a picture into the request that makes it again here."""

from __future__ import annotations

from typing import Any

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.record import Record, read_record
from ganart_zoo.service.http.uploads import Upload, Uploads

__all__ = ["remake_of"]


def remake_of(upload: Upload, uploads: Uploads, kinds: Any) -> dict[str, Any] | None:
    """Return `{"verb", "request", "missing"}` for an upload that has a record, and None for any other picture.

    `missing` says in words why the request cannot be made here, or is None. Uploads are known by the hash of their
    bytes, as inputs are in records, so a picture can be made again wherever its inputs have been sent.

    Args:
        upload: The picture.
        uploads: Where its inputs would be.
        kinds: The models that may be used, by name.
    """
    try:
        record = read_record(upload.path)
    except ImageError:
        return None
    request = _request(record)
    if request is None:
        return None
    inputs = [one for one in record.inputs if not uploads.holds(one.sha256)]
    missing = None
    if record.model.model not in kinds:
        missing = f"This server does not offer the model {record.model.model}."
    elif inputs:
        missing = f"Send the picture it was made from first: {', '.join(one.name for one in inputs)}."
    return {"verb": record.task, "request": request, "missing": missing}


def _request(record: Record) -> dict[str, Any] | None:
    told, inputs = record.request, {one.role: one.sha256 for one in record.inputs}
    variant = record.model.weights
    request: dict[str, Any] = {
        "model": record.model.model,
        "settings": {name: value for name, value in record.options.items() if value is not None},
    }
    if variant and "/" not in variant and ":" not in variant:
        request["weights"] = variant
    if record.task == "stylize":
        styles = [
            {"image": inputs.get(f"style {number}"), "name": style["name"], "weight": style["weight"]}
            for number, style in enumerate(told.get("styles", ()), start=1)
        ]
        return {**request, "content": inputs.get("content"), "styles": styles, **_size(record), "seed": record.seed}
    if record.task == "dream":
        return {**request, "content": inputs.get("content"), **_size(record), "seed": record.seed}
    if record.task == "imagine":
        count = told.get("proposals", 16)
        own = {"prompt": told.get("prompt"), "count": count, "keep": told.get("keep", 1), **_size(record)}
        return {**request, **own, "seed": record.seed}
    if record.task == "sample":
        return {**request, "n": told.get("n", 1), "prompt": told.get("prompt"), "seed": record.seed}
    return None


def _size(record: Record) -> dict[str, Any]:
    size = record.request.get("size")
    return {} if size is None else {"size": size}
