"""Measures time and peak memory of `ganart stylize` against the size of a photo: the table of docs/large-pictures.md.

    python tools/measure_large.py --limit 1GiB 4 24 96 -- -m multistyle --style mosaic

The numbers are megapixels. What follows `--` goes to `ganart stylize`. Each run is a process of its own on one thread;
its time is that of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

_CHILD = """
import json, re, sys, time
from ganart_zoo.cli import main
code = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(json.dumps({"code": code, "peak": int(peak) * 1024, "seconds": time.process_time()}))
"""


def photo(path: Path, megapixels: float) -> None:
    """Save a colourful photo of about this many megapixels, three by two."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    small = Image.effect_noise((96, 64), 90)
    parts = [small, small.transpose(Image.Transpose.FLIP_LEFT_RIGHT), small.rotate(180)]
    Image.merge("RGB", parts).resize((height * 3 // 2, height), Image.Resampling.BICUBIC).save(path, quality=90)


def measured(path: Path, limit: str, more: list[str]) -> tuple[float, float, float]:
    """Return the seconds, and the peak and its forecast in MiB."""
    command = ["stylize", str(path), "--size", "full", "--max-memory", limit, "--max-pixels", str(2**30)]
    command += ["-o", str(path.with_name("out.png")), "--force", "--json", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *command], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    *report, last = done.stdout.strip().splitlines()
    facts = json.loads(last)
    if facts["code"]:
        raise SystemExit(f"{path.name}: ganart ended with code {facts['code']}")
    forecast = json.loads("\n".join(report))["results"][0]["memory"]["peak"]
    return float(facts["seconds"]), facts["peak"] / 2**20, forecast / 2**20


def main() -> None:
    """Measure the sizes that were asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("megapixels", nargs="+", type=float)
    parser.add_argument("--limit", default="1GiB")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments, more = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    print("| megapixels | CPU seconds | peak | forecast |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.megapixels:
            path = Path(folder, "photo.jpg")
            photo(path, size)
            seconds, peak, forecast = measured(path, arguments.limit, more)
            print(f"| {size:g} | {seconds:.0f} | {peak:.0f} MiB | {forecast:.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
