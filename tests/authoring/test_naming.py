"""The names that follow from the one word an author gives, and the words that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganart_zoo.authoring import names_of, new_package
from ganart_zoo.cli import main
from ganart_zoo.contract import SettingsError


@pytest.mark.parametrize(
    ("given", "distribution", "module", "model", "cls"),
    [
        ("blur", "blur", "blur", "blur", "Blur"),
        ("My.Soft_Blur", "my-soft-blur", "my_soft_blur", "my_soft_blur", "MySoftBlur"),
        ("Ganart--Oil.2", "ganart-oil-2", "ganart_oil_2", "oil_2", "Oil2"),
    ],
)
def test_names_are_normalised(given: str, distribution: str, module: str, model: str, cls: str) -> None:
    names = names_of(given)
    assert (names.folder, names.distribution, names.module) == (given, distribution, module)
    assert (names.model, names.cls) == (model, cls)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "cannot be that of a package"),
        ("../blur", "cannot be that of a package"),
        ("two words", "cannot be that of a package"),
        ("-blur", "cannot be that of a package"),
        ("blür", "cannot be that of a package"),
        ("3d-art", "begin with a letter"),
        ("json", "would hide another; try 'ganart-json'"),
        ("class", "would hide another"),
        ("Torch", "would hide another"),
        ("ganart.zoo", "would hide another"),
        ("ganart-3", "which is no name"),
        ("x" * 41, "at most 40"),
    ],
)
def test_names_that_fit_no_package_are_refused(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        names_of(name)
    assert "\n" not in str(caught.value)


def test_refusals_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "oil", "--kind", "critc"]) == 2
    assert "kind is 'critc', expected one of generator, critic" in capsys.readouterr().err
    assert main(["new", "oil"]) == 2
    (tmp_path / "oil").mkdir()
    assert main(["new", "oil", "--kind", "critic"]) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="did you mean 'generator'"):
        new_package("oil2", "generatr")
    assert [path.name for path in tmp_path.iterdir()] == ["oil"]
    assert not list((tmp_path / "oil").iterdir())
