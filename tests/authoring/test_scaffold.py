"""What `ganart new` makes, of each kind: it lints, builds its wheel, installs, lists, runs, and passes its tests.

The steps are shared by all packages, since most of the time is Python's and torch's start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganart_zoo.authoring import NEW_KINDS, new_package

PACKAGES = {**{f"Tried.{kind}": (kind, False) for kind in NEW_KINDS}, "Tried.native": ("style_transfer", True)}
LONGEST = "a234567890b234567890c234567890d234567890"


def run(*command: str, cwd: Path, site: Path | None = None) -> str:
    """Run a command on one thread; its output shows when it fails."""
    paths = os.pathsep.join(filter(None, [str(site or ""), os.environ.get("PYTHONPATH", "")]))
    variables = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all packages."""
    folder = tmp_path_factory.mktemp("new")
    for name, (kind, native) in PACKAGES.items():
        assert new_package(name, kind, native=native, parent=folder) == folder / name
    return folder


@pytest.fixture(scope="module")
def site(made: Path) -> Path:
    """Where the wheels of all packages are installed."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "wheels", *(f"./{n}" for n in PACKAGES),
        cwd=made)  # fmt: skip
    wheels = sorted(str(path) for path in (made / "wheels").glob("*.whl"))
    assert len(wheels) == len(PACKAGES)
    run(*pip, "install", "--no-deps", "--no-index", "--target", "site", *wheels, cwd=made)
    return made / "site"


def test_every_package_lints_whatever_the_length_of_its_name(made: Path, tmp_path: Path) -> None:
    for kind in NEW_KINDS:
        new_package(LONGEST, kind, native=True, parent=tmp_path).rename(tmp_path / kind)
    for folder in (made, tmp_path):
        run(sys.executable, "-m", "ruff", "check", "--no-cache", "-q", ".", cwd=folder)
        run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", "-q", ".", cwd=folder)


def test_wheels_hold_the_package_and_what_it_needs(made: Path, site: Path) -> None:
    for name in PACKAGES:
        module = name.lower().replace(".", "_")
        (wheel,) = (made / "wheels").glob(f"{module}-*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        for file in ("__init__.py", "py.typed", "weights/start.safetensors", "weights/start.md"):
            assert f"{module}/{file}" in names
        assert any(file.endswith("licenses/LICENSE") for file in names)
        assert any(file.startswith(f"{module}/_ops.") for file in names) == (name == "Tried.native")
    assert "py3-none-any" in str(next((made / "wheels").glob("tried_critic-*")))
    assert "cp310-abi3" in str(next((made / "wheels").glob("tried_native-*")))


def test_they_are_listed_run_and_sound(site: Path, tmp_path: Path) -> None:
    def ganart(*arguments: str) -> str:
        return run(sys.executable, "-m", "ganart_zoo", *arguments, cwd=tmp_path, site=site)

    listed = {(one["kind"], one["name"]) for one in json.loads(ganart("list", "--json"))}
    assert {(kind, f"tried_{kind}") for kind in NEW_KINDS} <= listed
    assert ("style_transfer", "tried_native") in listed
    doctor = json.loads(ganart("doctor", "--json", "--ops"))
    assert [fault for fault in doctor["faults"] if fault["distribution"].startswith("tried-")] == []
    (op,) = (one for one in doctor["ops"]["status"] if one["op"] == "tried_native::squash" and one["device"] == "cpu")
    assert op["implementation"] == "native"
    (tmp_path / "photos").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    ganart("sample", "tried_generator", "-n", "2", "-o", "sample.png")
    ganart("stylize", "photos/0.png", "--style", "photos/1.png", "--model", "tried_native", "-o", "styled.png")
    ganart("train", "--recipe", "tried_recipe", "--data", "photos", "--size", "16", "--steps", "2", "--batch", "2",
           "--set", "training.workers=0", "-o", "run")  # fmt: skip
    ganart("stylize", "photos/0.png", "--model", "run", "-o", "trained.png")
    for name, size in (("sample", (134, 68)), ("styled", (32, 24)), ("trained", (32, 24))):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.height == size[1]
            assert np.asarray(picture).std() > 5


def test_their_own_tests_pass(made: Path, site: Path) -> None:
    """In one process, and of the recipe's trainings the most telling: other tests hold recipes to all of them."""
    left_out = ("two_processes", "full_disk", "looking_changes", "bad_data", "seed_decides")
    chosen = " and ".join(f"not {name}" for name in left_out)
    tests = [f"{name}/tests" for name in PACKAGES]
    output = run(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--import-mode=importlib",
                 "-k", chosen, *tests, cwd=made, site=site)  # fmt: skip
    assert "5 deselected" in output
    assert "skipped" not in output
