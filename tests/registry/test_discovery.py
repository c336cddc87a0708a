"""Where plugins come from: entry points, modules given directly, and the deny list."""

from __future__ import annotations

from pathlib import Path

import pytest

import ganart_zoo
from ganart_zoo import Zoo, hookimpl
from ganart_zoo.contract import PluginFaultError
from ganart_zoo.contract.hooks import ENTRY_POINT_GROUP

from .making import plugin, spec

SOURCE = """
from ganart_zoo import ModelSpec, hookimpl

class Plugin:
    @hookimpl
    def ganart_models(self):
        return [ModelSpec(name=NAME, kind="critic", summary="One.", license="MIT", factory="nowhere:Nothing")]

plugin = Plugin()
ganart_models = hookimpl(lambda: Plugin().ganart_models())
"""


def lay(site: Path, name: str, *, target: str = "", model: str = "one", api: str = ">=0.1") -> None:
    """Lay a distribution as pip would leave it: `name` of version 2.0, offering one model."""
    module = name.lower().replace("-", "_")
    info = site / f"{module}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: 2.0\nRequires-Dist: ganart-zoo{api}\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nmine = {module}{target}\n")
    (site / f"{module}.py").write_text(SOURCE.replace("NAME", repr(model)))


def of(zoo: Zoo, distribution: str) -> list[str]:
    return [entry.canonical for entry in zoo.list(plugin=distribution)]


def test_an_entry_point_names_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, "Found_By-Module")
    monkeypatch.syspath_prepend(str(tmp_path))
    zoo = Zoo()
    assert of(zoo, "found-by-module") == ["found-by-module/one"]
    found = zoo.entry("found-by-module/one").plugin
    assert (found.name, found.version, found.distribution) == ("mine", "2.0", "found-by-module")
    assert found.import_seconds > 0


def test_an_entry_point_may_name_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, "found-by-object", target=":plugin")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert of(Zoo(), "found-by-object") == ["found-by-object/one"]


def test_the_first_of_one_distribution_on_the_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable install and its source tree both describe themselves."""
    for folder in ("first", "second"):
        lay(tmp_path / folder, "found-twice", model=folder)
    monkeypatch.syspath_prepend(str(tmp_path / "second"))
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    zoo = Zoo()
    assert of(zoo, "found-twice") == ["found-twice/first"]
    assert zoo.faults == ()


@pytest.mark.parametrize(
    ("api", "version", "admitted"),
    [
        (">=0.1,<0.2", "0.1.0", True),
        (">=0.1,<0.2", "0.1.7", True),
        (">=0.1,<0.2", "0.2.0", False),
        (">=0.1,<0.2", "0.1.1.dev3+local", True),
        ("~=0.1.0", "0.1.9", True),
        ("~=0.1.0", "0.2.0", False),
        ("==0.1.*", "0.1.3", True),
        ("==0.1.*", "0.2.0", False),
    ],
)
def test_the_api_range_is_held_against_this_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: str, version: str, admitted: bool
) -> None:
    lay(tmp_path, "found-by-range", api=api)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(ganart_zoo, "__version__", version)
    zoo = Zoo()
    assert bool(of(zoo, "found-by-range")) is admitted
    assert [fault.stage for fault in zoo.faults if fault.distribution == "found-by-range"] == ["api"] * (not admitted)


@pytest.mark.parametrize("denied", ["found-and-denied", "Found_And.Denied", "mine", " other , mine "])
def test_the_deny_list_takes_distributions_and_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    lay(tmp_path, "found-and-denied")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("GANART_DISABLE_PLUGINS", denied)
    zoo = Zoo()
    assert of(zoo, "found-and-denied") == []
    assert zoo.disabled == ("found-and-denied",)
    assert of(Zoo(disabled=[]), "found-and-denied") == ["found-and-denied/one"]


def test_given_plugins_replace_discovery() -> None:
    assert [found.name for found in Zoo(plugins=[plugin("only", spec("one"))]).plugins] == ["only"]
    assert Zoo(plugins=[]).plugins == ()


def test_given_objects_are_named_by_their_class() -> None:
    class Studio:
        __version__ = "3.1"

        @hookimpl
        def ganart_models(self):  # type: ignore[no-untyped-def]
            return (spec(name) for name in ("one", "two"))

    zoo = Zoo(plugins=[Studio()], strict=True)
    assert [entry.canonical for entry in zoo.list()] == ["studio/one", "studio/two"]
    assert zoo.plugins[0].version == "3.1"


def test_two_given_plugins_of_one_name_do_not_hide_each_other() -> None:
    zoo = Zoo(plugins=[plugin("a.same", spec("one")), plugin("b.same", spec("two"))])
    assert [entry.canonical for entry in zoo.list()] == ["same/one"]
    (fault,) = zoo.faults
    assert fault.stage == "metadata"
    assert "'same'" in fault.cause


def test_two_zoos_live_in_one_process() -> None:
    left = Zoo(plugins=[plugin("left", spec("one"))])
    right = Zoo(plugins=[plugin("right", spec("one"))])
    assert left.entry("one").canonical == "left/one"
    assert right.entry("one").canonical == "right/one"


def test_the_hook_is_called_once_a_zoo_and_only_its_own() -> None:
    calls: list[str] = []

    def listing(name: str):  # type: ignore[no-untyped-def]
        return lambda: calls.append(name) or [spec("one")]

    plugins = [plugin(name, ganart_models=listing(name)) for name in ("a", "b")]
    zoo = Zoo(plugins=plugins)
    zoo.list()
    zoo.check()
    assert calls == ["a", "b"]


def test_strict_raises_the_fault_with_its_cause() -> None:
    def failing() -> None:
        raise ValueError("empty tube")

    with pytest.raises(PluginFaultError, match="empty tube") as caught:
        Zoo(plugins=[plugin("bad", ganart_models=failing)], strict=True)
    assert caught.value.fault.plugin == "bad"
    assert "in failing" in caught.value.fault.traceback
