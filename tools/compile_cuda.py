"""Compile every csrc/cuda/*.cu for sm_80 and sm_90a, needing nvcc but no GPU, and fail on errors and register spills.

    python tools/compile_cuda.py [--verbose]

It leaves nothing behind: the kernels that run are built by setup.py. Where there is no nvcc it says so and succeeds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

CSRC = Path(__file__).resolve().parents[1] / "csrc"
ARCHITECTURES = ("sm_80", "sm_90a")
TORCH_2_11 = "0x020b000000000000"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--verbose", action="store_true", help="print registers and shared memory of every kernel")
    verbose = parser.parse_args().verbose
    nvcc = find_nvcc()
    if nvcc is None:
        print("no nvcc on PATH or under CUDA_HOME: no CUDA source was compiled")
        return 0
    sources = sorted((CSRC / "cuda").glob("*.cu"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(lambda job: compile_one(nvcc, *job, Path(folder), verbose), product(sources, ARCHITECTURES))
        return 0 if all(list(jobs)) else 1


def find_nvcc() -> str | None:
    """Return the path of nvcc: under CUDA_HOME where that is set, else on PATH."""
    home = os.environ.get("CUDA_HOME")
    return shutil.which("nvcc", path=str(Path(home) / "bin")) if home else shutil.which("nvcc")


def compile_one(nvcc: str, source: Path, architecture: str, folder: Path, verbose: bool) -> bool:
    """Compile one source for one architecture, print one line about it, and return whether it passed."""
    target = folder / f"{source.stem}.{architecture}.o"
    # By -gencode: with -arch=sm_90a nvcc 13.0 also runs a plain sm_90 pass, which rejects Hopper's own instructions.
    code = f"-gencode=arch={architecture.replace('sm', 'compute')},code={architecture}"
    command = [nvcc, "-std=c++20", "-O3", "-DUSE_CUDA", f"-DTORCH_TARGET_VERSION={TORCH_2_11}", code, f"-I{CSRC}"]
    command += [f"-I{folder}" for folder in torch_includes()]
    command += ["--resource-usage", "-Xptxas", "-warn-spills,-Werror", "-c", str(source), "-o", str(target)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    name = f"{source.relative_to(CSRC.parent)} {architecture}"
    if done.returncode != 0:
        report = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("ptxas info"))
        print(f"{name}: failed\n{report or done.stderr}", file=sys.stderr)
        return False
    registers = [int(count) for count in re.findall(r"Used (\d+) registers", done.stderr)]
    most = max(registers, default=0)
    print(f"{name}: {len(registers)} kernels, at most {most} registers, no spills, {seconds:.0f} s")
    if verbose:
        print(done.stderr)
    return True


def torch_includes() -> list[Path]:
    """Return torch's include folders without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit("torch is not installed; its headers are needed to compile CUDA sources")
    include = Path(spec.origin).parent / "include"
    return [include, include / "torch" / "csrc" / "api" / "include"]


if __name__ == "__main__":
    sys.exit(main())
