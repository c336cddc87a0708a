"""Builds the native parts ahead of time: the op library `_ops` (LibTorch stable ABI) and the plain module `_native`.

GANART_BUILD=1 fails when they cannot be built, 0 leaves them out, auto (the default) installs without them. The facts
of the build, or the reason for none, stay beside the package and `ganart doctor --ops` shows them. GANART_LEVELS=few
builds the two lowest instruction sets alone, in half the time; GANART_SANITIZE=1 builds with ASan and UBSan.
GANART_OPS_LIBRARY names an op library that was built from these very sources, as the facts beside it say, to take in
place of building it: one serves every version of Python. All else is in pyproject.toml.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
MODE = os.environ.get("GANART_BUILD") or "auto"
LEVELS = os.environ.get("GANART_LEVELS") or "all"
SANITIZERS = ["-fsanitize=address,undefined"] if os.environ.get("GANART_SANITIZE") == "1" else []
# Kernels are inlined into few, long functions: at -O2, with local variables watched too and every pointer asked whether
# it is null, g++ would take many minutes a file in place of one.
SANITIZED = ["-fno-sanitize=null,object-size,vptr", "--param=asan-stack=0", "-fno-sanitize-recover=undefined"]
TORCH_TARGET = "0x020b000000000000"  # the oldest torch whose stable ABI the op library may use: 2.11
FACTS = "ganart_zoo/_build.json"
TAKEN = os.environ.get("GANART_OPS_LIBRARY") or ""

CXX_FLAGS = [
    # Kernels are written in vectors: -O3 makes them no quicker, and takes twice as long.
    *(["-O1", "-g1"] if SANITIZERS else ["-O2", "-g0"]),
    "-std=c++20",
    "-fvisibility=hidden",
    # Trapping maths and errno block vectorisation; contraction makes a*b + c one FMA. None of these is fast-math.
    "-fno-trapping-math",
    "-fno-math-errno",
    "-ffp-contract=fast",
    "-Wall",
    "-Wextra",
    "-Wno-psabi",  # vectors cross no library's boundary
    "-Wno-unused-parameter",  # in torch's headers
    *SANITIZERS,
    *([*SANITIZED, "-fno-omit-frame-pointer"] if SANITIZERS else []),
]


FEW: list[tuple[str, str | None]] = [("FEW_LEVELS", None)] if LEVELS == "few" else []


class BuildError(Exception):
    """The native parts cannot be built here; the message is the one-line reason."""


def files(*patterns: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern))


def digest() -> str:
    """Return a hash of all that the op library is made from: sources, flags and options."""
    found = hashlib.sha256(json.dumps([CXX_FLAGS, TORCH_TARGET, LEVELS]).encode())
    for name in files("csrc/**/*.*"):
        found.update(f"{name}\0".encode() + Path(ROOT, name).read_bytes())
    return found.hexdigest()


def taken() -> dict[str, str]:
    """Return the facts of the op library that GANART_OPS_LIBRARY names; BuildError where it is of other sources."""
    library = Path(TAKEN)
    beside = library.with_name(Path(FACTS).name)
    if not library.is_file() or not beside.is_file():
        raise BuildError(f"GANART_OPS_LIBRARY={TAKEN}: no library with {beside.name} beside it")
    facts: dict[str, str] = json.loads(beside.read_text())
    if facts.get("sources") != digest():
        raise BuildError(f"GANART_OPS_LIBRARY={TAKEN} was built from other sources; build it anew")
    return facts


def check_compiler() -> str:
    """Compile and link a few lines, since torch's message for a failure says nothing; return the compiler's version."""
    compiler = os.environ.get("CXX", "c++").split()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cpp")
        source.write_text("#include <vector>\nstd::vector<int> probe() { return {1}; }\n")
        command = [*compiler, "-std=c++20", "-fPIC", "-shared", str(source), "-o", str(source.with_suffix(".so"))]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise BuildError(f"no C++ compiler: {compiler[0]!r} cannot be run ({error.strerror})") from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise BuildError(f"the C++ compiler {compiler[0]!r} fails: {lines[0]}")
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout
    return version.splitlines()[0] if version else compiler[0]


def cuda_obstacle(torch: Any, cpp_extension: Any) -> str:
    """Return why no CUDA kernels are built, or an empty string."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a CPU build"
    if cpp_extension.CUDA_HOME is None:
        return "no CUDA toolkit was found; set CUDA_HOME"
    return "" if files("csrc/cuda/*.cu") else "no CUDA sources"


def plan() -> tuple[list[Extension], type[build_ext], dict[str, Any]]:
    """Return the extensions, the command that builds them and facts to keep; BuildError where that is impossible."""
    if MODE == "0":
        raise BuildError("installed with GANART_BUILD=0")
    try:
        import pybind11

        if TAKEN:
            return [introspection(pybind11.get_include())], build_ext, taken()
        import torch
        from torch.utils import cpp_extension
    except BuildError:
        raise
    except Exception as error:  # a broken torch raises more than ImportError
        raise BuildError(f"the build needs torch and pybind11: {error}") from error

    no_cuda = cuda_obstacle(torch, cpp_extension)
    make, sources = cpp_extension.CppExtension, files("csrc/*/*.cpp")
    sources = [source for source in sources if not (FEW and "isa/avx512" in source)]
    macros: list[tuple[str, str | None]] = [("TORCH_TARGET_VERSION", TORCH_TARGET), *FEW]
    if not no_cuda:
        make, sources = cpp_extension.CUDAExtension, sources + files("csrc/cuda/*.cu")
        macros.append(("USE_CUDA", None))
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", "8.0;9.0a+PTX")  # no GPU need be present where it is built
    ops = make(
        "ganart_zoo._ops",
        sources,
        include_dirs=[str(ROOT / "csrc")],
        define_macros=macros,
        extra_compile_args={"cxx": CXX_FLAGS, "nvcc": ["-O3", "-std=c++20", "-lineinfo"]},
        extra_link_args=SANITIZERS,
        depends=files("csrc/**/*.h", "csrc/**/*.cuh"),
        py_limited_api=True,  # it holds no Python: torch loads it
    )
    facts = {
        "sources": digest(),
        "torch": torch.__version__,
        "cuda": no_cuda or torch.version.cuda,
        "platform": f"{platform.system()} {platform.machine()}",
    }
    return [ops, introspection(pybind11.get_include())], cpp_extension.BuildExtension, facts


def introspection(pybind11: str) -> Extension:
    """Return the module `_native`, which needs no torch."""
    return Extension(
        "ganart_zoo._native",
        ["csrc/introspection.cpp"],
        include_dirs=[str(ROOT / "csrc"), pybind11],
        define_macros=FEW,
        # torch's build command chooses by the compiler, setuptools' takes a list
        extra_compile_args=CXX_FLAGS if TAKEN else {"cxx": CXX_FLAGS},
        extra_link_args=SANITIZERS,
        depends=files("csrc/common/*.h"),
        language="c++",
    )


def guarded(base: type[build_ext], facts: dict[str, Any], impossible: str = "") -> type[build_ext]:
    """Return a build command that, except with GANART_BUILD=1, turns any failure into a reason to remember."""

    class GuardedBuild(base):  # type: ignore[misc, valid-type]
        def run(self) -> None:
            folder = ROOT if self.inplace else Path(self.build_lib)  # super().run() clears self.inplace
            try:
                if impossible:
                    raise BuildError(impossible)
                facts["compiler"] = check_compiler()
                super().run()
                if TAKEN:
                    shutil.copy2(TAKEN, folder / "ganart_zoo" / Path(TAKEN).name)
            except (Exception, SystemExit) as error:
                if MODE == "1":
                    raise
                reason = str(error) if isinstance(error, BuildError) else f"the build failed: {error}"
                facts["reason"] = " ".join(reason.split())
                print(f"ganart-zoo: installing without native kernels: {facts['reason']}", file=sys.stderr)
                self.drop_stale(folder)
                self.extensions = []  # nothing to copy or to list as installed
            (folder / FACTS).parent.mkdir(parents=True, exist_ok=True)
            (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")

        def drop_stale(self, folder: Path) -> None:
            """Delete libraries of an earlier build: a failed build must not leave old kernels in use."""
            for extension in self.extensions:
                for library in folder.glob(f"{extension.name.replace('.', '/')}.*so"):
                    library.unlink()

    return GuardedBuild


if MODE not in {"auto", "0", "1"}:
    raise SystemExit(f"GANART_BUILD={MODE!r}: expected auto, 0 or 1")
if LEVELS not in {"all", "few"}:
    raise SystemExit(f"GANART_LEVELS={LEVELS!r}: expected all or few")
try:
    extensions, command, facts = plan()
except BuildError as error:
    if MODE == "1":
        raise SystemExit(f"GANART_BUILD=1: {error}") from error
    # Placeholders let build_ext run, so that the reason is kept, and keep the wheel platform-specific.
    extensions = [Extension(f"ganart_zoo.{name}", []) for name in ("_ops", "_native")]
    command, facts = guarded(build_ext, {}, str(error)), {}
else:
    command = guarded(command, facts)
setup(ext_modules=extensions, cmdclass={"build_ext": command})
