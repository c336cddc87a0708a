"""tools/make_dist.py: what it finds wrong with files, and when it takes an op library that is built already."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from ganart_zoo import native

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dist", ROOT / "tools" / "make_dist.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def wheel(path: Path, name: str, *members: str) -> None:
    with zipfile.ZipFile(path, "w") as opened:
        info = f"{path.name.partition('-')[0]}-1.0.dist-info"
        opened.writestr(f"{info}/METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n")
        for member in members:
            opened.writestr(member, "")


def sdist(path: Path, *members: str) -> None:
    with tarfile.open(path, "w:gz") as opened:
        for member in members:
            opened.addfile(tarfile.TarInfo(f"{path.name.removesuffix('.tar.gz')}/{member}"), io.BytesIO())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A core with one source, and one plugin."""
    for folder, name in ((tmp_path / "root", "ganart-zoo"), (tmp_path / "root" / "plugins" / "oil", "ganart-oil")):
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1.0"\n')
    (tmp_path / "root" / "csrc").mkdir()
    (tmp_path / "root" / "csrc" / "op.h").touch()
    return tmp_path / "root"


GOOD = ("ganart_zoo/_ops.abi3.so", "ganart_zoo/_native.so", "ganart_zoo-1.0.dist-info/licenses/LICENSE")
FACES = ("pyproject.toml", "LICENSE", "README.md")
TAGS = "cp311-cp311-manylinux_2_34_x86_64" if sys.platform == "linux" else "cp311-cp311-any"


def test_fit_files_have_no_problems_and_missing_ones_are_named(tool: ModuleType, project: Path, tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    dist.mkdir()
    assert [line.partition(" in ")[0] for line in tool.check_files(dist, project)] == [
        *("ganart-zoo: no whl", "ganart-zoo: no sdist", "ganart-oil: no whl", "ganart-oil: no sdist")
    ]
    wheel(dist / f"ganart_zoo-1.0-{TAGS}.whl", "ganart-zoo", *GOOD)
    wheel(dist / "ganart_oil-1.0-py3-none-any.whl", "ganart-oil", "ganart_oil-1.0.dist-info/licenses/LICENSE")
    sdist(dist / "ganart_zoo-1.0.tar.gz", *FACES, "setup.py", "constraints.txt", "csrc/op.h")
    sdist(dist / "ganart_oil-1.0.tar.gz", *FACES)
    assert list(tool.check_files(dist, project)) == []


def test_each_unfit_file_is_named_with_its_fault(tool: ModuleType, project: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "ganart_zoo-1.0-cp311-cp311-linux_x86_64.whl", "ganart_zoo", "ganart_zoo.libs/libtorch_cpu.so")
    wheel(tmp_path / "ganart_oil-1.0-py3-none-any.whl", "ganart-oil", "ganart_oil/op.so", "ganart_oil/weights.pt")
    sdist(tmp_path / "ganart_zoo-1.0.tar.gz", *FACES, "setup.py", "constraints.txt", "ganart_zoo/_ops.abi3.so")
    sdist(tmp_path / "ganart_oil-1.0.tar.gz", "pyproject.toml")
    found = "\n".join(tool.check_files(tmp_path, project))
    for said in (
        "is named ganart_zoo, expected ganart-zoo",
        "carries ganart_zoo.libs/libtorch_cpu.so, a library of torch's",
        "has no op library; build with GANART_BUILD=1",
        "has no module _native",
        "ganart_oil-1.0-py3-none-any.whl: carries no licence",
        "ganart_oil-1.0-py3-none-any.whl: carries ganart_oil/weights.pt",
        "is for any machine, but carries ganart_oil/op.so",
        "ganart_zoo-1.0.tar.gz: lacks csrc/op.h",
        "ganart_zoo-1.0.tar.gz: carries ganart_zoo/_ops.abi3.so",
        "ganart_oil-1.0.tar.gz: lacks LICENSE and 1 more",
    ):
        assert said in found
    assert ("auditwheel did not repair it" in found) == (sys.platform == "linux")


def test_every_package_of_this_checkout_is_found(tool: ModuleType) -> None:
    core, *plugins = tool.packages()
    assert core.name == "ganart-zoo"
    assert {plugin.folder.name for plugin in plugins} == {
        path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")
    }
    assert all(plugin.name == plugin.folder.name for plugin in plugins)


def test_the_op_library_needs_the_stable_abi_alone(tool: ModuleType) -> None:
    library = native.ops_library()
    if library is None or shutil.which("nm") is None:
        pytest.skip("no op library, or no nm")
    assert tool.unstable_symbols(library) == []
    import torch

    bound = next(Path(torch.__file__).parent.glob("lib/libtorch_python.so"), None)
    assert bound is None or len(tool.unstable_symbols(bound)) > 100


def test_a_library_of_other_sources_is_refused(tmp_path: Path) -> None:
    (tmp_path / "_ops.abi3.so").touch()
    (tmp_path / "_build.json").write_text(json.dumps({"sources": "0" * 64}))
    command = [sys.executable, "setup.py", "--quiet", "--version"]

    variables = {**os.environ, "GANART_BUILD": "1", "GANART_OPS_LIBRARY": str(tmp_path / "_ops.abi3.so")}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode != 0
    assert "was built from other sources; build it anew" in done.stderr


def test_folders_are_absolute_for_steps_that_run_elsewhere(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An sdist is made from within the folder of its package, and once landed in a `dist` there."""
    seen: list[Path] = []
    monkeypatch.setattr(tool, "build", lambda target, pythons: seen.append(target))
    monkeypatch.setattr(tool, "check_files", lambda target: ())
    monkeypatch.setattr(tool, "check_installs", lambda wheels, borrowed: seen.extend((wheels, borrowed)))
    monkeypatch.setattr(tool, "_run", lambda *words, **how: None)
    monkeypatch.setattr(sys, "argv", ["make_dist.py", "--out", "dist", "--borrow", "packages"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dist").mkdir()
    tool.main()
    assert seen == [tmp_path / "dist", tmp_path / "dist", tmp_path / "packages"]
