"""The objects of each instruction set keep their code to themselves.

A weak symbol is one of several that the linker chooses among: a function compiled for AVX-512 could then run on a
processor without it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

OBJECTS = sorted(Path(__file__).parents[2].glob("build/temp.*/csrc/isa/*.o"))


@pytest.mark.skipif(not OBJECTS, reason="no objects under build/: the kernels were not built in this checkout")
@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm, of GNU binutils")
def test_objects_of_instruction_sets_have_no_weak_symbols() -> None:
    levels = {path.stem for path in OBJECTS}
    assert levels == {path.stem for path in Path(__file__).parents[2].glob("csrc/isa/*.cpp")}
    for path in OBJECTS:
        listed = subprocess.run(["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True).stdout
        symbols = [line.split(maxsplit=2)[1:] for line in listed.splitlines()]
        assert not [name for kind, name in symbols if kind in "WwVvu"], path
        shared = [name for kind, name in symbols if kind in "TDBR"]
        assert shared
        assert all(name.startswith(f"ganart::cpu::{path.stem}::") for name in shared), path
