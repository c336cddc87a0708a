"""The provenance of a model, which pictures and runs record so that they can be reproduced. Torch-free."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import ModelError

__all__ = ["Provenance"]


@dataclass(frozen=True)
class Provenance:
    """What `Zoo.create` knows about a model that it built; stored as `model.provenance`."""

    model: str
    """The canonical name."""
    version: str
    """The version of the plugin's distribution."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Every field including defaults, as JSON data."""
    uses: Mapping[str, Provenance | None] = field(default_factory=dict)
    """The models it is built on; None for one that the caller built by hand."""
    weights: str | None = None
    """The variant, the path or hub name that the user gave, or the folder of a run; None for an untrained model."""
    part: str | None = None
    """The network of a run; None for a model that does not come from a run."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The full sha256 of each weights file, by name."""
    dtype: str = "float32"

    def to_settings(self) -> dict[str, Any]:
        """Return keyword arguments for `Zoo.create` that build this model again. They are also a valid value in `uses`.

        Raises:
            ModelError: A model it is built on was built by hand.
        """
        uses = self.uses_settings()
        if self.part is not None:  # the config comes from the run
            return {"model": Path(str(self.weights)), "part": self.part, **uses}
        return {"model": self.model, "weights": self.weights, **self.config, **uses}

    def uses_settings(self, given: Collection[str] = ()) -> dict[str, Any]:
        """Return such keyword arguments for each model it is built on, by key, except for the keys in `given`.

        Raises:
            ModelError: One of these models was built by hand.
        """
        if by_hand := [key for key, used in self.uses.items() if used is None and key not in given]:
            raise ModelError(f"{', '.join(by_hand)} of {self.model} was built by hand; pass it as a live model")
        return {key: used.to_settings() for key, used in self.uses.items() if used is not None and key not in given}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Provenance:
        """Return the provenance that `to_json` described.

        Raises:
            KeyError, TypeError, AttributeError: `data` is not such a description.
        """
        uses = {key: None if used is None else cls.from_json(used) for key, used in data.get("uses", {}).items()}
        return cls(**{**data, "uses": uses})

    def to_json(self) -> dict[str, Any]:
        """Return this provenance as plain JSON data."""
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
