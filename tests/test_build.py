"""setup.py's guard: what cannot be built is a remembered reason, or with GANART_BUILD=1 a loud failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run build_ext into `folder`, away from the tree."""
    command = [sys.executable, "setup.py", "--quiet", "build_ext"]
    command += ["--build-lib", str(folder / "lib"), "--build-temp", str(folder / "temp")]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.fixture
def stale(tmp_path: Path) -> list[Path]:
    """Libraries that an earlier build left in the folder."""
    package = tmp_path / "lib" / "ganart_zoo"
    package.mkdir(parents=True)
    libraries = [package / "_ops.abi3.so", package / "_native.cpython-311-x86_64-linux-gnu.so"]
    for library in libraries:
        library.touch()
    return libraries


def reason(folder: Path) -> str:
    return json.loads((folder / "lib" / "ganart_zoo" / "_build.json").read_text())["reason"]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GANART_BUILD": "0"}, "installed with GANART_BUILD=0"),
        ({"GANART_BUILD": "auto", "CXX": "no-such-compiler"}, "no C++ compiler: 'no-such-compiler' cannot be run"),
        ({"GANART_BUILD": "auto", "CXX": "false"}, "the C++ compiler 'false' fails"),
    ],
)
def test_impossible_build_is_remembered(tmp_path, stale, environment, said) -> None:
    done = build(tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert said in reason(tmp_path)
    assert said in done.stderr
    assert not any(library.exists() for library in stale)


def test_a_build_in_place_drops_what_lies_there(tmp_path) -> None:
    (tmp_path / "setup.py").write_bytes((ROOT / "setup.py").read_bytes())
    package = tmp_path / "ganart_zoo"
    package.mkdir()
    library = package / "_ops.abi3.so"
    library.touch()
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    env = {**os.environ, "GANART_BUILD": "0"}
    subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert not library.exists()
    assert json.loads((package / "_build.json").read_text())["reason"] == "installed with GANART_BUILD=0"


def test_why_no_cuda_kernels_are_built() -> None:
    code = """
import runpy, sys
from types import SimpleNamespace as Fake
sys.argv = ["setup.py", "--quiet", "--version"]
obstacle = runpy.run_path("setup.py")["cuda_obstacle"]
for cuda, home in ((None, "/cuda"), ("13.0", None), ("13.0", "/cuda")):
    print(repr(obstacle(Fake(__version__="2.13", version=Fake(cuda=cuda)), Fake(CUDA_HOME=home))))
"""
    env = {**os.environ, "GANART_BUILD": "0"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-3:] == [
        "'torch 2.13 is a CPU build'",
        "'no CUDA toolkit was found; set CUDA_HOME'",
        "''",
    ]


def test_failing_compile_is_remembered(tmp_path, stale) -> None:
    """A compiler that manages the first few lines but not the kernels."""
    compiler = tmp_path / "fragile-c++"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *probe.cpp*|*--version*) exec c++ "$@";; esac\necho out of memory >&2; exit 1\n'
    )
    compiler.chmod(0o755)
    done = build(tmp_path, GANART_BUILD="auto", CXX=str(compiler))
    assert done.returncode == 0, done.stderr
    assert "the build failed" in reason(tmp_path)
    assert not any(library.exists() for library in stale)


def test_torch_that_cannot_be_imported_is_remembered(tmp_path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch is damaged')")
    done = build(tmp_path, GANART_BUILD="auto", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert reason(tmp_path) == "the build needs torch and pybind11: libtorch is damaged"
    assert build(tmp_path, GANART_BUILD="1", PYTHONPATH=str(tmp_path)).returncode != 0


def test_strict_build_fails_loudly(tmp_path) -> None:
    done = build(tmp_path, GANART_BUILD="1", CXX="false")
    assert done.returncode != 0
    assert "the C++ compiler 'false' fails" in done.stderr


@pytest.mark.parametrize(("name", "expected"), [("BUILD", "auto, 0 or 1"), ("LEVELS", "all or few")])
def test_unknown_modes_are_refused(tmp_path, name, expected) -> None:
    done = build(tmp_path, **{f"GANART_{name}": "yes"})
    assert done.returncode != 0
    assert f"GANART_{name}='yes': expected {expected}" in done.stderr


def test_the_extra_all_has_every_extra_that_a_user_may_need() -> None:
    tomllib = pytest.importorskip("tomllib")
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    wanted = sorted(set(extras) - {"all", "test", "lint", "docs"})
    assert extras["all"] == [f"ganart-zoo[{','.join(wanted)}]"]
