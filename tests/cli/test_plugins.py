"""`ganart plugins` and `ganart search`: what is installed and what could be, without installing or importing it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.registry.disabled import disabled_file


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANART_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GANART_DISABLE_PLUGINS", raising=False)


def states(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert main(["plugins", "list", "--json"]) == 0
    return {row["distribution"]: row["state"] for row in json.loads(capsys.readouterr().out)}


def test_a_disabled_plugin_is_not_loaded_until_it_is_enabled(capsys: pytest.CaptureFixture[str]) -> None:
    assert states(capsys)["ganart-gatys"] == "enabled"
    assert main(["plugins", "disable", "Ganart.Gatys"]) == 0
    assert states(capsys)["ganart-gatys"] == "disabled"
    assert Zoo().disabled == ("ganart-gatys",)
    assert json.loads(disabled_file().read_text(encoding="utf-8")) == {"disabled": ["ganart-gatys"]}
    assert main(["info", "gatys"]) == 2
    assert main(["plugins", "enable", "ganart-gatys"]) == 0
    assert states(capsys)["ganart-gatys"] == "enabled"


def test_what_a_program_gives_is_not_disabled_by_the_users_file() -> None:
    import ganart_gatys

    assert main(["plugins", "disable", "ganart-gatys"]) == 0
    assert [entry.spec.name for entry in Zoo(plugins=[ganart_gatys]).list()] == ["gatys"]
    assert Zoo(disabled=()).disabled == ()


def test_wrong_names_are_refused_and_a_damaged_file_disables_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "disable", "ganart-gatis"]) == 2
    assert "did you mean 'ganart-gatys'" in capsys.readouterr().err
    assert not disabled_file().exists()
    assert main(["plugins", "enable", "ganart-gatys"]) == 2
    assert "is not disabled" in capsys.readouterr().err
    disabled_file().parent.mkdir(parents=True)
    disabled_file().write_text("{", encoding="utf-8")
    assert Zoo().disabled == ()


def test_the_environment_disables_beside_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "disable", "ganart-gatys"]) == 0
    monkeypatch.setenv("GANART_DISABLE_PLUGINS", "ganart-dcgan")
    assert set(Zoo().disabled) == {"ganart-gatys", "ganart-dcgan"}
    assert main(["plugins", "enable", "ganart-dcgan"]) == 0
    assert "unset it" in capsys.readouterr().err


LISTED = {
    "ganart_catalogue": 1,
    "plugins": [
        {
            "distribution": "ganart-oil",
            "version": "1.2.0",
            "summary": "Oil paint.",
            "license": "MIT",
            "url": "https://example.org/ganart_oil-1.2.0-py3-none-any.whl",
            "sha256": "ab" * 32,
            "models": [{"name": "oil", "kind": "style_transfer", "summary": "Thick strokes."}],
        },
        {"distribution": "ganart-clay", "version": "0.1", "models": [{"name": "clay", "kind": "generator"}]},
    ],
}


def test_a_catalogue_is_searched_by_words_and_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps(LISTED), encoding="utf-8")
    assert main(["search", str(path), "thick", "OIL"]) == 0
    out, err = capsys.readouterr()
    assert "ganart-oil 1.2.0 (MIT)  Oil paint." in out
    assert f"pip install 'https://example.org/ganart_oil-1.2.0-py3-none-any.whl#sha256={'ab' * 32}'" in out
    assert "1 of 2 plugins" in err
    assert main(["search", str(path), "--kind", "generator", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["distribution"], found["install"]) == ("ganart-clay", "pip install ganart-clay==0.1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ganart_catalogue": 2}, "is not a catalogue of format 1"),
        ({"plugins": {}}, "expected a list"),
        ({"plugins": [{"version": "1"}]}, "plugin 1: distribution is ''"),
        ({"plugins": [{**LISTED["plugins"][0], "sha256": "abc"}]}, "expected 64 lower-case hex digits"),  # type: ignore[dict-item, index]
        ({"plugins": [{**LISTED["plugins"][0], "url": "http://x.org/a.whl"}]}, "expected https://"),  # type: ignore[dict-item, index]
        ({"plugins": [{**LISTED["plugins"][0], "models": ["oil"]}]}, "a list of objects"),  # type: ignore[dict-item, index]
    ],
)
def test_a_wrong_catalogue_is_named(
    change: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps({**LISTED, **change}), encoding="utf-8")
    assert main(["search", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_places_that_cannot_be_trusted_or_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "http://example.org/catalogue.json"]) == 2
    assert "use https or a file" in capsys.readouterr().err
    assert main(["search", "no-such.json"]) == 2
    monkeypatch.setenv("GANART_OFFLINE", "1")
    assert main(["search", "https://example.org/catalogue.json"]) == 2
    assert "GANART_OFFLINE is set" in capsys.readouterr().err


def test_isolated_plugins_are_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["plugins", "list"]) == 0
    assert "isolated" not in capsys.readouterr().out
    monkeypatch.setenv("GANART_ISOLATE", "Ganart.Gatys=/opt/python")
    monkeypatch.setenv("GANART_ISOLATE_MEMORY", "4GiB")
    assert main(["plugins", "list", "--json"]) == 0
    shown = {row["distribution"]: row["isolated"] for row in json.loads(capsys.readouterr().out)}
    assert shown.pop("ganart-gatys") == "timeout 600 s, memory 4.00 GiB, /opt/python"
    assert not any(shown.values())
    assert main(["doctor"]) == 0
    assert "ganart-gatys runs in a process of its own, for inference: timeout 600 s" in capsys.readouterr().out
    monkeypatch.setenv("GANART_ISOLATE", "ganart-gatis")
    assert main(["doctor"]) == 1
    assert "it is to be isolated but no such plugin is installed; did you mean 'ganart-gatys'" in " ".join(
        capsys.readouterr().out.split()
    )
    monkeypatch.setenv("GANART_ISOLATE_MEMORY", "much")
    assert main(["plugins"]) == 2
    assert "expected a size such as 1536MiB" in capsys.readouterr().err
