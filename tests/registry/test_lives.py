"""What happens to plugins while a program lives: two versions on the path, an uninstall, odd names, zipped eggs."""

from __future__ import annotations

import importlib
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganart_zoo import Zoo
from ganart_zoo.contract import PluginFaultError
from tests.sabotage.distributions import API, install

ENTRY = """
from ganart_zoo import ModelSpec, hookimpl

@hookimpl
def ganart_models():
    return [ModelSpec(name="net", kind="critic", summary="{words}", license="MIT", factory="{package}.model:Net")]
"""
MODEL = """
from ganart_zoo.contract import Critic

class Net(Critic):
    def forward(self, images, condition=None):
        return images.mean(dim=(2, 3))
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("lives_"):
            del sys.modules[name]


def put(folder: Path, name: str, package: str, words: str = "One.", version: str = "1.0") -> None:
    modules = {f"{package}/__init__.py": ENTRY.format(words=words, package=package), f"{package}/model.py": MODEL}
    points = f"[ganart_zoo.plugins]\n{package} = {package}\n"
    install(folder, name, modules, version=version, entry_points=points)


def test_a_plugin_that_is_uninstalled_while_the_zoo_lives_is_a_fault(site: Path) -> None:
    put(site, "lives-gone", "lives_gone")
    zoo = Zoo()
    shutil.rmtree(site / "lives_gone")
    shutil.rmtree(site / "lives_gone-1.0.dist-info")
    importlib.invalidate_caches()
    assert zoo.entry("lives-gone/net").plugin.version == "1.0"
    with pytest.raises(PluginFaultError, match=r"distribution lives-gone.*failed at factory.*lives_gone"):
        zoo.create("lives-gone/net")
    assert zoo.create("ganart-patchgan/patchgan", weights=None) is not None
    assert not Zoo().list(plugin="lives-gone")


def test_of_two_versions_the_first_on_the_path_is_used(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(site / "old", "lives-twice", "lives_twice", "Old.", "1.0")
    put(site / "new", "lives-twice", "lives_twice", "New.", "2.0")
    monkeypatch.syspath_prepend(str(site / "old"))
    monkeypatch.syspath_prepend(str(site / "new"))
    zoo = Zoo()
    (entry,) = zoo.list(plugin="lives-twice")
    assert (entry.plugin.version, entry.spec.summary) == ("2.0", "New.")
    assert not [fault for fault in zoo.faults if fault.distribution == "lives-twice"]


@pytest.mark.parametrize("name", ["Lives.Odd_Name", "lives_odd.name", "LIVES--odd-NAME"])
def test_a_distribution_has_one_name_however_it_is_written(
    name: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(site, name, "lives_odd_name")
    zoo = Zoo(isolate=[name])
    assert zoo.entry("lives-odd-name/net").plugin.isolation is not None
    assert zoo.list(plugin=name)
    assert not [fault for fault in zoo.faults if fault.distribution.startswith("lives")]
    monkeypatch.setenv("GANART_DISABLE_PLUGINS", name)
    assert not Zoo().list(plugin=name)


def test_a_zipped_egg_is_refused(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    egg = site / "lives_egg-1.0-py3.egg"
    with zipfile.ZipFile(egg, "w") as file:
        file.writestr("lives_egg/__init__.py", ENTRY.format(words="Zipped.", package="lives_egg"))
        file.writestr("lives_egg/model.py", MODEL)
        file.writestr("EGG-INFO/PKG-INFO", "Metadata-Version: 2.1\nName: lives-egg\nVersion: 1.0\n")
        file.writestr("EGG-INFO/requires.txt", f"{API}\n")
        file.writestr("EGG-INFO/entry_points.txt", "[ganart_zoo.plugins]\nlives_egg = lives_egg\n")
    monkeypatch.syspath_prepend(str(egg))
    zoo = Zoo()
    assert not zoo.list(plugin="lives-egg")
    (fault,) = (fault for fault in zoo.faults if fault.distribution == "lives-egg")
    assert fault.stage == "metadata"
    assert "zip" in fault.cause
    assert "pip install lives-egg" in fault.cause
