"""Where a model came from, so that a picture or a run can say so and be made again. Torch-free."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import ModelError

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
    """The variant, or the path or hub name the user gave; None for untrained. Of a run: its folder."""
    part: str | None = None
    """Which network of a run; None for a model that is not of a run."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Full sha256 of each weights file, by name."""
    dtype: str = "float32"

    def to_settings(self) -> dict[str, Any]:
        """Return keywords for `Zoo.create` that make this model again, also fit as the value of a key of `uses`.

        Raises:
            ModelError: A model it is built on was built by hand.
        """
        uses = self.uses_settings()
        if self.part is not None:  # its config is the run's
            return {"model": Path(str(self.weights)), "part": self.part, **uses}
        return {"model": self.model, "weights": self.weights, **self.config, **uses}

    def uses_settings(self, given: Collection[str] = ()) -> dict[str, Any]:
        """Return the same for the models it is built on, by key, but for those `given`.

        Raises:
            ModelError: One of them was built by hand.
        """
        if by_hand := [key for key, used in self.uses.items() if used is None and key not in given]:
            raise ModelError(f"{', '.join(by_hand)} of {self.model} was built by hand; pass it as a live model")
        return {key: used.to_settings() for key, used in self.uses.items() if used is not None and key not in given}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Provenance:
        """Return what `to_json` described.

        Raises:
            KeyError, TypeError, AttributeError: It is not such a description.
        """
        uses = {key: None if used is None else cls.from_json(used) for key, used in data.get("uses", {}).items()}
        return cls(**{**data, "uses": uses})

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain JSON data."""
        return {
            "model": self.model,
            "version": self.version,
            "config": dict(self.config),
            "uses": {key: None if used is None else used.to_json() for key, used in self.uses.items()},
            "weights": self.weights,
            "part": self.part,
            "files": dict(self.files),
            "dtype": self.dtype,
        }
