"""`ganart weights remove` and `prune`, and the words of a declaration that `list` and `info` show."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from ganart_zoo import ModelSpec, Weights, WeightsFile, Zoo
from ganart_zoo.cli import main
from ganart_zoo.contract import SettingsError
from ganart_zoo.registry.weights import WeightsStore
from tests.registry.making import plugin, spec

CONTENTS = {name: name.encode() * 1000 for name in ("own", "shared", "orphan")}
HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}


def weights(*names: str) -> tuple[Weights, ...]:
    files = {name: WeightsFile(urls=(f"https://example.org/{name}",), sha256=HASHES[name]) for name in names}
    return tuple(Weights(name, files=(file,)) for name, file in files.items())


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    made = WeightsStore(tmp_path)
    for name, content in CONTENTS.items():
        path = tmp_path / "weights" / HASHES[name] / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return made


def plugins() -> ModuleType:
    return plugin("painters", spec("a", weights=weights("own", "shared")), spec("b", weights=weights("shared")))


def test_a_models_weights_are_removed_but_not_those_that_another_needs(
    store: WeightsStore, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = Zoo(plugins=[plugins()], store=store)
    assert main(["weights", "remove", "a"], zoo=zoo) == 0
    assert set(store.stored()) == {HASHES["shared"], HASHES["orphan"]}
    assert "kept, because painters/b needs it" in capsys.readouterr().err
    assert main(["weights", "remove", "a", "--weights", "owm"], zoo=zoo) == 2
    assert "did you mean 'own'" in capsys.readouterr().err


def test_prune_deletes_what_no_installed_model_declares(
    store: WeightsStore, capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = Zoo(plugins=[plugins()], store=store)
    assert main(["weights", "prune", "--dry-run", "--json"], zoo=zoo) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["sha256"], found["size"]) == (HASHES["orphan"], len(CONTENTS["orphan"]))
    assert len(store.stored()) == 3
    assert main(["weights", "prune"], zoo=zoo) == 0
    assert set(store.stored()) == {HASHES["own"], HASHES["shared"]}


def test_nothing_is_pruned_while_a_plugin_is_broken(store: WeightsStore, capsys: pytest.CaptureFixture[str]) -> None:
    zoo = Zoo(plugins=[plugins(), plugin("broken", spec("c", kind="filter"))], store=store)
    assert main(["weights", "prune"], zoo=zoo) == 2
    assert "what broken needs is not known" in capsys.readouterr().err
    assert len(store.stored()) == 3


STYLES = {"kind": "style_transfer", "capabilities": {"named_styles"}}


def test_style_names_and_stability_are_shown_and_filter(capsys: pytest.CaptureFixture[str]) -> None:
    made = spec("ink", **STYLES, style_names=("wash", "line"), stability="beta")
    zoo = Zoo(plugins=[plugin("inks", made, spec("plain"))])
    assert [entry.spec.name for entry in zoo.list(stability="beta")] == ["ink"]
    with pytest.raises(SettingsError, match="did you mean 'stable'"):
        zoo.list(stability="stabel")
    assert main(["list", "--stability", "beta", "--json"], zoo=zoo) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["style_names"], listed["stability"]) == (["wash", "line"], "beta")
    assert main(["list"], zoo=zoo) == 0
    assert "beta: " in capsys.readouterr().out
    assert main(["info", "ink"], zoo=zoo) == 0
    out = capsys.readouterr().out
    assert "styles     wash, line" in out
    assert "stability  beta" in out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stability": "bta"}, "stability is 'bta', expected one of stable, beta, prototype; did you mean 'beta'?"),
        ({**STYLES, "style_names": ("", 3)}, "style_names has '', expected names of one line"),
        ({"style_names": ("wash",)}, "style_names is given without the capability 'named_styles'"),
    ],
)
def test_wrong_words_are_named(changes: dict[str, object], said: str) -> None:
    made: ModelSpec = spec("ink", **changes)
    assert said in made.problems()
