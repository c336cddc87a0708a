"""Finds the compiled parts of ganart-zoo, and reports what they are or why they are missing. Torch-free.

`setup.py` builds two files: the op library (`ops_library`), which torch loads, and `_native` (`introspection`), a plain
extension module that reports the processor's instruction sets and measures the machine's roofs. Both are searched for
beside this file first and then in the installed distribution, so that `python` started in a source tree finds them.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import logging
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from ganart_zoo.contract.errors import GanartError

__all__ = [
    "NativeBuildError",
    "cuda_build",
    "introspection",
    "ops_library",
    "trim_memory",
    "tune_allocator",
    "tune_threads",
    "why_not_built",
]

OPS_LIBRARY = "_ops"
INTROSPECTION = "_native"
BUILD_FACTS = "_build.json"

WAITING_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""The variables by which a user decides how threads wait."""

_log = logging.getLogger("ganart_zoo")

M_TRIM_THRESHOLD = -1  # glibc's malloc.h
M_ARENA_MAX = -8
M_MMAP_THRESHOLD = -3


class NativeBuildError(GanartError, ImportError):
    """The compiled parts are missing; the message says why and how to build them."""


def ops_library() -> Path | None:
    """Return the path of the compiled op library, or None if it was not built."""
    return _built_file(OPS_LIBRARY)


def introspection() -> ModuleType:
    """Return the compiled module `_native`: instruction sets, build facts and roof probes.

    Raises:
        NativeBuildError: The module was not built; the message says why.
    """
    loaded = _load_introspection()
    if loaded is None:
        raise NativeBuildError(f"the compiled module {INTROSPECTION} is missing: {why_not_built()}")
    return loaded


def why_not_built() -> str:
    """Return one line that says why `ops_library` is None and how to build it."""
    return f"{_build_facts().get('reason') or 'never built here'}; build with GANART_BUILD=1 pip install ."


def cuda_build() -> str:
    """Return the version of CUDA that the kernels were built for, or one line that says why there are none."""
    return _build_facts().get("cuda") or "never built here"


def tune_allocator(keep_bytes: int = 1 << 30) -> bool:
    """Make glibc keep freed memory for reuse rather than return it, so that new large tensors cause no page faults.

    It sets `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD` for the whole process, and resident memory then stays at its peak.
    It also sets `M_ARENA_MAX` to 1, so that threads share what is kept: one that allocated from an arena of its own
    could leave gigabytes there that no other thread reuses.
    A program should therefore call it once at its start, and a library never. Allocating a large tensor then takes a
    fraction of the time.

    Args:
        keep_bytes: Blocks of up to this many bytes come from the reusable heap, and up to this much free memory is
            kept at its top. At most 2**31 - 1, because glibc stores both as a C `int`.

    Returns:
        Whether the allocator accepted both settings; False for allocators other than glibc's.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    mallopt(M_ARENA_MAX, 1)
    return bool(mallopt(M_MMAP_THRESHOLD, keep_bytes)) and bool(mallopt(M_TRIM_THRESHOLD, keep_bytes))


def trim_memory() -> bool:
    """Give memory that was freed back to the system; where glibc keeps it, resident memory stays at its peak.

    Returns:
        Whether anything was given back; False for allocators other than glibc's.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except AttributeError:  # musl
        return False


def tune_threads(spins: int = 4000) -> bool:
    """Make threads that wait for work sleep after a short while. Call it before anything imports torch.

    Between two operations, the threads of GNU OpenMP, which torch's packages for Linux contain, wait in a loop for
    milliseconds. On a machine with other work to do, that loop takes the processor from the thread being waited for,
    and a program can take ten times as long. After a bounded number of turns of the loop, a thread sleeps instead.

    It sets the variable `GOMP_SPINCOUNT` of this process, which OpenMP reads once, when torch is imported. Other
    implementations of OpenMP ignore it. A user's own `OMP_WAIT_POLICY` or `GOMP_SPINCOUNT` is kept. Results do not
    depend on it.

    Args:
        spins: Turns of the loop before a thread sleeps. `benchmarks/test_busy_machine.py` compares other values.

    Returns:
        Whether the setting will have an effect. It has none once torch is imported, which is logged, or where the user
        has decided.
    """
    if any(name in os.environ for name in WAITING_SETTINGS):
        return False
    if "torch" in sys.modules:
        _log.warning("tune_threads has no effect: torch is imported already, so OpenMP has read its settings")
        return False
    os.environ["GOMP_SPINCOUNT"] = str(spins)
    return True


@cache
def _load_introspection() -> ModuleType | None:
    path = _built_file(INTROSPECTION)
    if path is None:
        return None
    spec = importlib.util.spec_from_file_location(f"ganart_zoo.{INTROSPECTION}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build_facts() -> dict[str, str]:
    facts = _package_file(BUILD_FACTS)
    return json.loads(facts.read_text()) if facts else {}


def _built_file(stem: str) -> Path | None:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        if path := _package_file(stem + suffix):
            return path
    return None


def _package_file(name: str) -> Path | None:
    """Find `name` in this package's folder, else in an installed copy of the distribution."""
    beside = Path(__file__).with_name(name)
    if beside.exists():
        return beside
    # A source tree's egg-info also has this name, so all matches are tried until one has the file.
    for distribution in importlib.metadata.distributions(name="ganart-zoo"):
        installed = Path(str(distribution.locate_file(f"ganart_zoo/{name}")))
        if installed.exists():
            return installed
    return None
