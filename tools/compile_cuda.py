"""Compile the CUDA sources for sm_80 and sm_90a, needing nvcc but no GPU, and fail on errors and register spills.

    python tools/compile_cuda.py [--verbose]

It keeps no files; setup.py builds the kernels that are used. Without nvcc it prints a message, and it fails if nvcc is
required: with GANART_CUDA=1, or with GANART_BUILD=1 unless GANART_CUDA=0.
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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

CSRC = Path(__file__).resolve().parents[1] / "csrc"
ARCHITECTURES = ("sm_80", "sm_90a")
TORCH_2_11 = "0x020b000000000000"


def main() -> int:
    """Compile everything; return 1 if anything fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--verbose", action="store_true", help="print registers and shared memory of every kernel")
    verbose = parser.parse_args().verbose
    nvcc = find_nvcc()
    if nvcc is None:
        print("no nvcc on PATH or under CUDA_HOME: no CUDA source was compiled; set GANART_CUDA=0 to allow that")
        return int(os.environ.get("GANART_CUDA", os.environ.get("GANART_BUILD")) == "1")
    includes = [f"-I{folder}" for folder in (CSRC, *torch_includes())]
    command = [nvcc, "-std=c++20", "-DUSE_CUDA", f"-DTORCH_TARGET_VERSION={TORCH_2_11}", *includes, "-c"]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        hosts = sorted((CSRC / "bindings").glob("*.cpp"))
        jobs = [
            partial(compile_kernels, command, source, architecture, Path(folder), verbose)
            for source in sorted((CSRC / "cuda").glob("*.cu"))
            for architecture in ARCHITECTURES
        ]
        jobs += [partial(check_host, command, source) for source in hosts]
        return 0 if all(list(pool.map(lambda job: job(), jobs))) else 1


def find_nvcc() -> str | None:
    """Return the path of nvcc: under CUDA_HOME where that is set, else on PATH."""
    home = os.environ.get("CUDA_HOME")
    return shutil.which("nvcc", path=str(Path(home) / "bin")) if home else shutil.which("nvcc")


def torch_includes() -> list[Path]:
    """Return torch's include folders without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit("torch is not installed; its headers are needed to compile CUDA sources")
    include = Path(spec.origin).parent / "include"
    return [include, include / "torch" / "csrc" / "api" / "include"]


def compile_kernels(command: Sequence[str], source: Path, architecture: str, folder: Path, verbose: bool) -> bool:
    """Compile one .cu for one architecture, print one line about it, and return whether it passed."""
    # Uses -gencode: with -arch=sm_90a, nvcc 13.0 also runs a plain sm_90 pass, which rejects Hopper's own instructions.
    code = f"-gencode=arch={architecture.replace('sm', 'compute')},code={architecture}"
    report = ["--resource-usage", "-Xptxas", "-warn-spills,-Werror"]
    target = folder / f"{source.stem}.{architecture}.o"
    start = time.perf_counter()
    messages = run([*command, "-O3", code, *report, str(source), "-o", str(target)], f"{source.name} {architecture}")
    if messages is None:
        return False
    registers = [int(count) for count in re.findall(r"Used (\d+) registers", messages)]
    figures = f"{len(registers)} kernels, at most {max(registers, default=0)} registers, no spills"
    print(f"{source.name} {architecture}: {figures}, {time.perf_counter() - start:.0f} s")
    if verbose:
        print(messages)
    return True


def check_host(command: Sequence[str], source: Path) -> bool:
    """Check that a C++ source compiles with the code for CUDA, which a CPU build leaves out."""
    passed = run([*command, "-Xcompiler", "-fsyntax-only", str(source)], source.name) is not None
    if passed:
        print(f"{source.name} with USE_CUDA: compiles")
    return passed


def run(command: Sequence[str], name: str) -> str | None:
    """Run a compiler and return its messages; None when it fails, with its errors printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("ptxas info")]
    print("\n".join([f"{name}: failed", *errors]), file=sys.stderr)
    return None


if __name__ == "__main__":
    sys.exit(main())
