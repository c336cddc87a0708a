"""Run folders as training leaves them, without training."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from ganart_zoo.contract import Model
from ganart_zoo.registry.runs import describe_parts

__all__ = ["save_run"]


def save_run(folder: Path, **parts: Model) -> Path:
    """Write the networks of a run, by part."""
    folder.mkdir()
    described = describe_parts({name: model.provenance for name, model in parts.items() if model.provenance})
    (folder / "config.json").write_text(json.dumps(described))
    for name, model in parts.items():
        save_file(model.own_state(), folder / f"{name}.safetensors")
    return folder
