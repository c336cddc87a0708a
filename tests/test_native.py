"""Finding the compiled parts, saying why they are not there, roofs and the allocator's setting."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ganart_zoo import native


@pytest.fixture
def introspection():
    if native.ops_library() is None:
        pytest.skip(native.why_not_built())
    return native.introspection()


@pytest.fixture
def nothing_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package folder without compiled parts, and no installed distribution to find any in."""
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    monkeypatch.setattr(native.importlib.metadata, "distributions", lambda name: [])
    native._load_introspection.cache_clear()
    yield tmp_path
    native._load_introspection.cache_clear()


def test_nothing_built_says_how_to_build(nothing_built) -> None:
    assert native.ops_library() is None
    with pytest.raises(native.NativeBuildError, match="never built here; build with GANART_BUILD=1 pip install"):
        native.introspection()


def test_remembered_reason_is_told(nothing_built) -> None:
    (nothing_built / "_build.json").write_text(json.dumps({"reason": "no C++ compiler: 'c++' cannot be run"}))
    with pytest.raises(native.NativeBuildError, match="no C\\+\\+ compiler"):
        native.introspection()


def test_installed_distribution_is_searched_after_the_source_tree(nothing_built, monkeypatch, tmp_path) -> None:
    """A source tree's own egg-info also answers to the name: it carries nothing and must not hide the installed one."""

    class Distribution:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def locate_file(self, name: str) -> Path:
            return self.folder / name

    installed = tmp_path / "site-packages"
    (installed / "ganart_zoo").mkdir(parents=True)
    (installed / "ganart_zoo" / "_ops.abi3.so").touch()
    found = [Distribution(tmp_path / "source"), Distribution(installed)]
    monkeypatch.setattr(native.importlib.metadata, "distributions", lambda name: found)
    assert native.ops_library() == installed / "ganart_zoo" / "_ops.abi3.so"
    (nothing_built / "_ops.abi3.so").touch()
    assert native.ops_library() == nothing_built / "_ops.abi3.so"


def test_levels_start_with_what_every_processor_has(introspection) -> None:
    levels = introspection.cpu_isa_levels()
    assert levels[0] == "baseline"
    assert introspection.cpu_isa() in levels


def test_forced_level_is_obeyed_and_an_unknown_one_refused(introspection, monkeypatch) -> None:
    monkeypatch.setenv("GANART_CPU_ISA", "baseline")
    assert introspection.cpu_isa() == "baseline"
    monkeypatch.setenv("GANART_CPU_ISA", "mmx")
    with pytest.raises(ValueError, match="'mmx' is not one that this processor runs: baseline"):
        introspection.cpu_isa()


def test_probes_measure_something_possible(introspection) -> None:
    """A hundredth to ten thousand times a GFLOP/s and GB/s: not a stopped clock, not an optimised-away loop."""
    for dtype in ("float32", "bfloat16", "float64"):
        assert 1e7 < introspection.fma_peak(dtype, 1, 0.01) < 1e13
    for reuse in (True, False):
        assert 1e7 < introspection.copy_bandwidth(1 << 20, 1, reuse) < 1e13


@pytest.mark.parametrize(
    ("probe", "arguments", "named"),
    [
        ("fma_peak", ("float16", 1, 0.01), "'float16'; expected float32, bfloat16 or float64"),
        ("fma_peak", ("float32", 0, 0.01), "threads above zero"),
        ("fma_peak", ("float32", 1, -1.0), "seconds above zero"),
        ("copy_bandwidth", (0, 1, True), "bytes above zero"),
    ],
)
def test_probes_refuse_what_makes_no_sense(introspection, probe, arguments, named) -> None:
    with pytest.raises(ValueError, match=named):
        getattr(introspection, probe)(*arguments)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_tuned_allocator_reuses_large_blocks() -> None:
    """After the tuning, freeing and taking a large block faults no page: in its own process, which it changes."""
    code = """
import ctypes, resource
from ganart_zoo import native
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def faults_of_a_block():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults_of_a_block()
before = faults_of_a_block()
tuned = native.tune_allocator()
faults_of_a_block()
print(tuned, before, faults_of_a_block())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    tuned, before, after = done.stdout.split()
    if tuned == "False":
        pytest.skip("the allocator is not glibc's")
    assert int(after) < int(before) / 10


@pytest.mark.parametrize(
    ("start", "given", "spins"),
    [
        ("print(native.tune_threads())", {}, "4000"),
        ("print(native.tune_threads(70))", {}, "70"),
        ("from ganart_zoo.cli import main; print(main(['--version']) == 0)", {}, "4000"),
        ("print(not native.tune_threads())", {"GOMP_SPINCOUNT": "5"}, "5"),
        ("print(not native.tune_threads())", {"OMP_WAIT_POLICY": "passive"}, "0"),
        ("import torch; print(not native.tune_threads())", {}, None),
    ],
)
def test_tuned_threads_are_what_openmp_reads(start: str, given: dict[str, str], spins: str | None) -> None:
    """OpenMP shows its settings when torch loads it: in a process of its own, which the tuning changes."""
    env = {name: value for name, value in os.environ.items() if name not in native.WAITING_SETTINGS}
    code = f"from ganart_zoo import native\n{start}\nimport torch"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**env, **given, "OMP_DISPLAY_ENV": "verbose"},
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "True"
    shown = re.search(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr)
    if shown is None:
        pytest.skip("this torch uses another OpenMP")
    assert (shown[1] == spins) if spins else (shown[1] != "4000")
    assert ("tune_threads has no effect: torch is imported already" in done.stderr) == (spins is None)


def test_import_is_torch_free() -> None:
    code = "import sys; from ganart_zoo import native; native.ops_library(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.strip() == "False"
