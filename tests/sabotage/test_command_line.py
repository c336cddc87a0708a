"""With every broken plugin installed at once, the command line still lists, restyles and tells what is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from . import healthy
from .cases import CASES, CLI_CASES
from .distributions import install

PRINTS = """
from ganart_zoo import ModelSpec, hookimpl
print("Thank you for installing noisy!")

@hookimpl
def ganart_models():
    print("noisy has one model")
    return [ModelSpec(name="noise", kind="generator", summary="Noise.", license="MIT", factory="healthy.model:Grey")]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the healthy plugin, a noisy one, and all that are broken."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, healthy.DISTRIBUTION, healthy.MODULES)
    install(folder, "noisy", {"noisy.py": PRINTS})
    for case in BROKEN:
        case.install(folder)
    return folder


BROKEN = [case for case in (*CASES, *CLI_CASES) if case.name != "damaged-entry-points"]
"""All but that, beside which neither torch nor pydantic can be imported by anybody: it has a test of its own."""


def ganart(site: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("GANART_")}
    return subprocess.run(
        [sys.executable, "-m", "ganart_zoo", *arguments],
        env={**known, "PYTHONPATH": str(site), **environment},
        cwd=site.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def data(run: subprocess.CompletedProcess[str]) -> Any:
    assert "Traceback" not in run.stderr
    return json.loads(run.stdout)


def test_list_works_and_says_that_something_is_wrong(site: Path) -> None:
    run = ganart(site, "list", "--json")
    assert run.returncode == 0
    names = {model["canonical"] for model in data(run)}
    assert {"healthy/grey", "healthy/negative", "noisy/noise"} <= names
    assert {f"{case.distribution}/{name}" for case in CASES for name in case.survivors} <= names
    assert re.search(r"\d+ faults in plugins; ganart doctor shows them", run.stderr)


def test_doctor_exits_1_and_names_every_fault(site: Path) -> None:
    run = ganart(site, "doctor", "--json")
    assert run.returncode == 1
    faults = data(run)["faults"]
    for case in BROKEN:
        if case.found == "create":
            continue
        found = [fault for fault in faults if fault["distribution"] == case.distribution]
        assert any(
            fault["stage"] == case.stage and fault["model"] == case.model and re.search(case.cause, fault["cause"])
            for fault in found
        ), f"{case.name}: {found}"
    assert not [fault for fault in faults if fault["distribution"] in (healthy.DISTRIBUTION, "noisy", "ganart-zoo")]


def test_doctor_for_people_names_every_distribution(site: Path) -> None:
    run = ganart(site, "doctor")
    assert run.returncode == 1
    assert "Traceback" not in run.stdout + run.stderr
    faulty = [case.distribution for case in BROKEN if case.found != "create"]
    assert [name for name in faulty if name not in run.stdout] == []


def test_stylize_with_another_model_works(site: Path, tmp_path: Path) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    output = tmp_path / "negative.png"
    run = ganart(site, "stylize", str(tmp_path / "photo.png"), "--model", "healthy/negative", "-o", str(output))
    assert run.returncode == 0, run.stderr
    np.testing.assert_array_equal(np.asarray(Image.open(output)), 255 - photo)


def test_help_works(site: Path) -> None:
    run = ganart(site, "--help")
    assert run.returncode == 0
    assert "stylize" in run.stdout


def test_silence(site: Path) -> None:
    denied = ",".join(case.distribution for case in BROKEN)
    run = ganart(site, "doctor", "--json", GANART_DISABLE_PLUGINS=denied)
    assert run.returncode == 0
    report = data(run)
    assert report["faults"] == []
    assert set(report["disabled"]) == {case.distribution for case in BROKEN}


def test_damaged_entry_points_are_told_even_though_torch_cannot_load_beside_them(tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.name == "damaged-entry-points")
    install(tmp_path, healthy.DISTRIBUTION, healthy.MODULES)
    case.install(tmp_path)
    assert "healthy/grey" in {model["canonical"] for model in data(ganart(tmp_path, "list", "--json"))}
    run = ganart(tmp_path, "doctor", "--json")
    assert run.returncode == 1
    told = data(run)["faults"][0]
    assert (told["distribution"], told["stage"]) == (case.distribution, "metadata")
