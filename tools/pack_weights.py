"""Packs the weights of a run of latent_flow into the small file that the plugin ships.

    python tools/pack_weights.py build/runs/scenes scenes.safetensors [--six-bits transformer text] [--upscaler RUN]

Prints what the declaration in `ganart_latent_flow/__init__.py` needs: sha256, size and config. The file holds whole
numbers of 8 bits, or of 6 for the parts named, with one scale for each row; see `ganart_latent_flow.compact`.
`--upscaler` takes the upscaler from another run, and a file of weights that is packed already does for a run too: the
numbers of its other parts then stay as they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganart_latent_flow.compact import pack
from safetensors.torch import save_file
from torch import Tensor

from ganart_zoo.contract import load_tensors
from ganart_zoo.contract.digest import file_sha256

_GENERATOR = "generator.safetensors"
_UPSCALER = "upscaler."


def tensors_of(run: Path) -> dict[str, Tensor]:
    """Return the tensors of a run's generator, or of a file."""
    return dict(load_tensors(run / _GENERATOR if run.is_dir() else run))


def packed(tensors: Mapping[str, Tensor], six_bits: Sequence[str]) -> dict[str, Tensor]:
    """Pack tensors, or leave them as they are where they are packed already."""
    done = any(name.endswith(".scale") for name in tensors)
    return dict(tensors) if done else pack(tensors, six_bits=six_bits)


def with_upscaler(tensors: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return packed tensors with the upscaler of others."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(_UPSCALER)}
    return kept | {name: tensor for name, tensor in other.items() if name.startswith(_UPSCALER)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Pack one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="The run's folder, or a file of weights.")
    parser.add_argument("file", type=Path, help="What to write.")
    parser.add_argument("--six-bits", nargs="*", default=[], metavar="PART", help="Parts that get 6 bits, not 8.")
    parser.add_argument("--upscaler", type=Path, metavar="RUN", help="Whose upscaler to take.")
    asked = parser.parse_args(arguments)
    tensors = packed(tensors_of(asked.run), asked.six_bits)
    if asked.upscaler is not None:
        tensors = with_upscaler(tensors, packed(tensors_of(asked.upscaler), ()))
    save_file(tensors, asked.file, metadata={"format": "pt"})
    print(json.dumps({"sha256": file_sha256(asked.file), "size": asked.file.stat().st_size}))


if __name__ == "__main__":
    main()
