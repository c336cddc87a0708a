"""A plugin with a kernel of its own gets the same switch, fallback and status as the core's ops."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from ganart_zoo import Zoo, ops
from ganart_zoo.ops import FallbackWarning, NativeUnavailableError
from ganart_zoo.testing import Check, Subject, checks_for

from .toys import PLUGINS

TORCH = Path(torch.__file__).parent


def install(folder: Path, name: str) -> Path:
    """Copy the plugin into `folder` under another name, as an installation of its own."""
    package = folder / name
    shutil.copytree(PLUGINS / "toy_kernel", package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in package.iterdir():
        file.write_text(file.read_text().replace("toy_kernel", name))
    return package


def compiled(package: Path) -> None:
    """Build the plugin's library ahead of time, as its installation would: on LibTorch's stable ABI."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    includes = [f"-I{TORCH / 'include'}", f"-I{TORCH / 'include/torch/csrc/api/include'}"]
    command = [
        compiler,
        "-std=c++20",
        "-O1",
        "-fPIC",
        "-shared",
        "-DTORCH_TARGET_VERSION=0x020b000000000000",
        *includes,
    ]
    command += [str(package / "invert.cpp"), f"-L{TORCH / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10"]
    built = subprocess.run([*command, "-o", str(package / "_ops.so")], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def native(site: Path) -> Subject:
    compiled(install(site, "toy_kernel_built"))
    return _subject("toy_kernel_built")


@pytest.fixture(scope="module")
def plain(site: Path) -> Subject:
    install(site, "toy_kernel_plain")
    return _subject("toy_kernel_plain")


def _subject(name: str) -> Subject:
    return Subject(Zoo(plugins=[importlib.import_module(name)], strict=True), "negative")


def _op(subject: Subject) -> ops.NativeOp:
    subject.create()  # the op registers when the model's module is imported
    module: ModuleType = sys.modules[subject.spec.factory.partition(":")[0]]
    op = module.invert
    assert isinstance(op, ops.NativeOp)
    return op


def test_the_kernel_computes_what_its_reference_defines(native: Subject) -> None:
    op = _op(native)
    pictures = torch.rand(2, 3, 5, 7)
    for given in (pictures, pictures.transpose(2, 3), pictures[:, :, ::2]):
        with ops.use("native"):
            torch.testing.assert_close(op(given), op.reference(given), rtol=0, atol=0)


def test_its_gradient_and_shapes_are_registered(native: Subject) -> None:
    op = _op(native)
    kernel = torch.ops.toy_kernel_built.invert.default
    torch.library.opcheck(kernel, (torch.rand(2, 3, requires_grad=True),))
    pictures = torch.rand(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad((op(pictures) * torch.arange(3.0)).sum(), pictures)
    torch.testing.assert_close(gradient, -torch.arange(3.0).expand(2, 3))


def test_status_says_which_implementation_runs(native: Subject, plain: Subject) -> None:
    _op(native), _op(plain)
    found = {status.op: status for status in ops.status() if status.device == "cpu"}
    assert found["toy_kernel_built::invert"].implementation == "native"
    assert found["toy_kernel_plain::invert"].implementation == "reference"
    assert found["toy_kernel_plain::invert"].reason == "toy-kernel was installed without a compiler"
    with ops.use("reference"):
        found = {status.op: status for status in ops.status()}
    assert found["toy_kernel_built::invert"].implementation == "reference"


def test_without_its_library_it_falls_back_once_and_says_why(plain: Subject) -> None:
    model = plain.create()
    picture = torch.rand(1, 3, 4, 4)
    reason = "toy_kernel_plain::invert runs as plain PyTorch: toy-kernel was installed without a compiler"
    with pytest.warns(FallbackWarning, match=reason):
        torch.testing.assert_close(model.stylize(picture, []), 1 - picture)  # type: ignore[operator]
    model.stylize(picture, [])  # type: ignore[operator]  # warnings are errors here: it is said once
    with ops.use("native"), pytest.raises(NativeUnavailableError, match="installed without a compiler"):
        model.stylize(picture, [])  # type: ignore[operator]


def test_a_type_the_kernel_does_not_take_falls_back(native: Subject) -> None:
    picture = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    with pytest.warns(FallbackWarning, match=r"no kernel for torch\.float64 on cpu"):
        torch.testing.assert_close(native.create().stylize(picture, []), 1 - picture)  # type: ignore[operator]


def test_a_library_that_does_not_load_is_a_reason_and_no_error(tmp_path: Path) -> None:
    library = tmp_path / "_ops.so"
    library.write_bytes(b"\x7fELF and nothing else")
    op = ops.NativeOp("toy_kernel_broken::invert", reference=lambda x: 1 - x, library=library)
    assert not op.loaded
    assert "does not load" in op.status("cpu").reason


_CHECKS = checks_for(Subject(Zoo(plugins=[importlib.import_module("toy_kernel")]), "negative"))


@pytest.mark.parametrize("check", _CHECKS, ids=lambda check: check.__name__)
def test_conformance(native: Subject, check: Check) -> None:
    check(native)
