"""Run as a process of its own: restyles a small photo with a limit, and prints forecasts and peaks as JSON lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from ganart_zoo import Zoo, native
from ganart_zoo.imaging import save
from ganart_zoo.running import stylists
from ganart_zoo.running.memory import peak_resident
from ganart_zoo.running.stylists import StyleInput, Stylizer
from ganart_zoo.tasks.dream import Dreamer

LIMIT = 2**36


def measured(stylizer: Stylizer, photo: Path, output: Path) -> dict[str, Any]:
    native.trim_memory()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts at what is held now
    made = stylizer(photo, output)
    assert made.plan is not None
    return {"tile": made.plan.tile, "forecast": made.plan.peak, "peak": peak_resident(), "strips": not len(made.images)}


def main(folder: Path) -> None:
    native.tune_allocator(1 << 20)  # as the command line does where memory is limited
    torch.manual_seed(0)
    photo, style = folder / "photo.png", folder / "style.png"
    save(torch.rand(1, 3, 40, 60).repeat_interleave(8, 2).repeat_interleave(8, 3), photo)
    save(torch.rand(1, 3, 200, 300), style)
    zoo, named, how = Zoo(), [StyleInput(name="mosaic")], {"size": None, "max_memory": LIMIT}
    tiles, steps = {"tile": 160}, {"steps": 4}
    cases = {
        "multistyle tiles": Stylizer(zoo, "multistyle", named, settings=tiles, **how),
        "johnson": Stylizer(zoo, "johnson", weights=None, **how),
        "adain": Stylizer(zoo, "adain", [style], **how),
        "gatys": Stylizer(zoo, "gatys", [style], settings=steps, **how),
        "gatys tiles": Stylizer(zoo, "gatys", [style], settings={**steps, **tiles}, **how),
        "deepdream": Dreamer(zoo, settings={"steps": 2}, **how),
        "deepdream tiles": Dreamer(zoo, settings={"steps": 2, **tiles}, **how),
    }
    for name, stylizer in cases.items():
        print(json.dumps({"case": name, **measured(stylizer, photo, folder / "out.png")}), flush=True)
    stylists._AS_TENSORS = 10**9
    for suffix in ("tif", "jpg"):
        made = measured(cases["multistyle tiles"], photo, folder / f"out.{suffix}")
        print(json.dumps({"case": f"strips {suffix}", **made}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
