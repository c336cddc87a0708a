"""`ganart check --full` and `pytest --ganart`: the kit needs no test code, and one cause is one finding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganart_zoo.authoring import check, new_package
from ganart_zoo.authoring.target import open_target

from .wrong import MODEL, NAME, both, in_model, replace

GENERATOR = replace(
    MODEL,
    "        if latents.shape[1:]",
    "        torch.rand(1)\n        if latents.shape[1:]",
)


@pytest.mark.parametrize(
    ("kind", "edit", "expected"),
    [
        (
            "generator",
            both(GENERATOR, in_model('print("ready")')),
            {"kit": ("a call used global randomness", "creating the model printed 'ready'")},
        ),
        ("critic", in_model("self.nothing.at_all"), {"kit-create": ("factory: AttributeError", "nothing")}),
        ("critic", replace(MODEL, "features.mean(dim=(2, 3))", "features"), {"kit-call": ("RuntimeError",)}),
        ("critic", in_model("import ctypes; ctypes.string_at(0)"), {"kit-call": ("ended with signal SIGSEGV",)}),
    ],
    ids=["noisy", "not-created", "not-called", "crashes"],
)  # fmt: skip
def test_one_cause_is_one_finding(
    kind: str, edit: object, expected: dict[str, tuple[str, ...]], tmp_path: Path
) -> None:
    made = new_package(NAME, kind, parent=tmp_path)
    edit(made)  # type: ignore[operator]
    findings = check(str(made), full=True).findings
    said = "\n".join(str(finding) for finding in findings)
    assert {finding.rule for finding in findings} == set(expected), said
    assert len(findings) <= 3, said
    for words in expected.values():
        for word in words:
            assert word in said


def test_pytest_runs_the_kit_on_a_distribution(tmp_path: Path) -> None:
    made = new_package(NAME, "critic", parent=tmp_path)
    with open_target(str(made)) as target:
        path = os.pathsep.join([*target.path, os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--ganart", NAME],
            cwd=made,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:]
    assert " passed" in done.stdout


def test_other_peoples_pytest_loads_nothing_of_ours() -> None:
    code = "import sys, ganart_zoo.testing.pytest_plugin; print({'torch', 'pydantic', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
