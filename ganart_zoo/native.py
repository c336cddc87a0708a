"""Finds the compiled parts of ganart-zoo and says what they are, or why they are not there. Imports no torch.

Two files are built by `setup.py`: the op library (`ops_library`), which torch loads, and `_native` (`introspection`), a
plain extension module that knows the processor's instruction sets and probes the machine's roofs. Both are looked for
beside this file first, then in the installed distribution: `python` started in a source tree finds the installed ones.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from ganart_zoo.contract.errors import GanartError

__all__ = ["NativeBuildError", "cuda_build", "introspection", "ops_library", "tune_allocator", "why_not_built"]

OPS_LIBRARY = "_ops"
INTROSPECTION = "_native"
BUILD_FACTS = "_build.json"

M_TRIM_THRESHOLD = -1  # glibc's malloc.h
M_MMAP_THRESHOLD = -3


class NativeBuildError(GanartError, ImportError):
    """The compiled parts are not on this machine; the message says why and how to build them."""


def ops_library() -> Path | None:
    """Return the path of the compiled op library, or None where none was built."""
    return _built_file(OPS_LIBRARY)


def introspection() -> ModuleType:
    """Return the compiled module `_native`: instruction sets, build facts and roof probes.

    Raises:
        NativeBuildError: it was not built; the message says why.
    """
    loaded = _load_introspection()
    if loaded is None:
        raise NativeBuildError(f"the compiled module {INTROSPECTION} is missing: {why_not_built()}")
    return loaded


def why_not_built() -> str:
    """Return one line: why no compiled parts are here, and what to do; for the case that `ops_library` is None."""
    return f"{_build_facts().get('reason') or 'never built here'}; build with GANART_BUILD=1 pip install ."


def cuda_build() -> str:
    """Return the version of CUDA that kernels were built for, or one line why for none."""
    return _build_facts().get("cuda") or "never built here"


def tune_allocator(keep_bytes: int = 1 << 30) -> bool:
    """Let glibc keep freed memory for reuse instead of returning it: the next large tensor then costs no page faults.

    It sets `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD` for the whole process, so a program calls it once at its start and
    a library never does: resident memory stays at its peak afterwards. Fresh large tensors cost several times less so.

    Args:
        keep_bytes: blocks up to this size, in bytes, come from the reusable heap, and up to this much free memory is
            kept at its top. glibc stores both as a C `int`, so at most 2**31 - 1.

    Returns:
        Whether the allocator took both settings; False where it is not glibc's.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, keep_bytes)) and bool(mallopt(M_TRIM_THRESHOLD, keep_bytes))


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
        if found := _package_file(stem + suffix):
            return found
    return None


def _package_file(name: str) -> Path | None:
    """Find `name` in this package's folder, else in an installed copy of the distribution."""
    beside = Path(__file__).with_name(name)
    if beside.exists():
        return beside
    # A source tree's egg-info also answers to the name, so every match is asked and only real files count.
    for distribution in importlib.metadata.distributions(name="ganart-zoo"):
        installed = Path(str(distribution.locate_file(f"ganart_zoo/{name}")))
        if installed.exists():
            return installed
    return None
