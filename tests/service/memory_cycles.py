"""Creates, calls and releases models in cycles, and prints the resident bytes after each; run by test_memory."""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import replace

import torch

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, Style
from ganart_zoo.native import trim_memory
from ganart_zoo.running import memory
from ganart_zoo.testing import Subject

# Small enough to be built in a moment; every model of this repository that needs no download is here.
SMALL = {
    "ganart-dcgan/dcgan": {"resolution": 16, "width": 8},
    "ganart-dcgan/dcgan_critic": {"resolution": 16, "width": 8},
    "ganart-fastgan/fastgan": {"resolution": 32, "width": 8},
    "ganart-stylegan2/stylegan2": {"resolution": 16, "channel_base": 1024},
    "ganart-stylegan2/stylegan2_critic": {"resolution": 16, "channel_base": 1024},
}
OPTIONS = {"steps": 1}


def resident() -> int:
    """Return the bytes of memory that this process takes."""
    gc.collect()
    trim_memory()
    return memory.resident()


def subjects(zoo: Zoo) -> list[Subject]:
    """Return a subject of every model that can be built here."""
    found = []
    for entry in zoo.list():
        weights = entry.spec.weights
        present = all(zoo.store.locate(file) is not None for one in weights[:1] for file in one.files)
        settings = {} if weights and present else {**SMALL.get(entry.canonical, {}), "weights": None}
        known = zoo.settings(entry.canonical).option_names
        options = {name: value for name, value in OPTIONS.items() if name in known}
        can = entry.spec.capabilities
        condition = Condition(prompts=("red apple",)) if "prompt" in can and "unconditional" not in can else None
        if (condition is None and "labels" in can and "unconditional" not in can) or entry.spec.name == "dcgan":
            condition = Condition(labels=torch.zeros(1, dtype=torch.long))
        if condition is None and "reference" in can and "unconditional" not in can:
            condition = Condition(images=torch.rand(1, 3, 64, 64))
        # the shipped weights have names of their own
        name = "starry_night" if present else "style00"
        styles = (Style(name=name),) if entry.spec.name == "multistyle" else ()
        found.append(Subject(zoo, entry.canonical, settings, options, condition, styles, size=(96, 96)))
    return found


def main(cycles: int) -> None:
    """Print `{"called": [...], "left_out": {...}, "resident": [...]}`."""
    torch.set_num_threads(1)
    zoo = Zoo()
    zoo.models.reserve(1 << 30)
    left_out: dict[str, str] = {}
    called: list[str] = []
    sizes: list[int] = []
    for cycle in range(cycles):
        for subject in subjects(zoo):
            if subject.name in left_out:
                continue
            try:
                model = zoo.shared(subject.name, **subject.settings)
                if subject.spec.kind == "critic" and (side := getattr(model.config, "resolution", None)):
                    subject = replace(subject, size=(side, side))
                with torch.no_grad():
                    subject.call(model, 1)
                if not cycle:
                    called.append(subject.name)
            except Exception as error:
                left_out[subject.name] = f"{type(error).__name__}: {str(error)[:120]}"
            finally:
                model = None
        zoo.release()
        sizes.append(resident())
        print(f"cycle {cycle + 1} of {cycles}: {sizes[-1] / 2**20:.1f} MiB", file=sys.stderr, flush=True)
    print(json.dumps({"called": called, "left_out": left_out, "resident": sizes}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
