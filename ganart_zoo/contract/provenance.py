"""Where a model came from, so that a picture or a run can say so and be made again. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Provenance"]


@dataclass(frozen=True)
class Provenance:
    """What `Zoo.create` knows of a model it built; kept as `model.provenance`."""

    model: str
    """Canonical name."""
    version: str
    """Of the plugin's distribution."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Every field, JSON-ready, defaults included."""
    uses: Mapping[str, Provenance | None] = field(default_factory=dict)
    """The models it is built on; None for one that the caller built by hand."""
    weights: str | None = None
    """The variant, or the path or hub name the user gave; None for untrained."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Full sha256 of each weights file, by name."""
    dtype: str = "float32"

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain JSON data."""
        return {
            "model": self.model,
            "version": self.version,
            "config": dict(self.config),
            "uses": {key: None if used is None else used.to_json() for key, used in self.uses.items()},
            "weights": self.weights,
            "files": dict(self.files),
            "dtype": self.dtype,
        }
