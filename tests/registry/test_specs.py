"""Declarations: never raise while being made, say all that is wrong with them, and behave as values."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from ganart_zoo import ModelSpec, Use, Weights, WeightsFile

FILE = WeightsFile(urls=["https://example.org/w.safetensors"], sha256="0" * 64, size=10, license="MIT")
SPEC = ModelSpec(
    name="gatys",
    kind="style_transfer",
    summary="Paints.",
    license="Apache-2.0",
    factory="ganart_gatys.model:Gatys",
    config="ganart_gatys.config:Config",
    capabilities={"image_styles", "x-slow"},
    uses={"backbone": Use("backbone", default="ganart-backbones/vgg19")},
    weights=[Weights("default", files=[FILE], config={"layers": 3})],
    paper="https://arxiv.org/abs/1508.06576",
)


def test_a_sound_declaration_has_no_problems() -> None:
    assert SPEC.problems() == []


def test_declarations_are_values() -> None:
    for twin in (copy.deepcopy(SPEC), pickle.loads(pickle.dumps(SPEC)), replace(SPEC)):
        assert twin == SPEC
        assert hash(twin) == hash(SPEC)
    assert asdict(SPEC)["uses"]["backbone"]["default"] == "ganart-backbones/vgg19"
    with pytest.raises(FrozenInstanceError):
        SPEC.name = "other"  # type: ignore[misc]


def test_collections_may_be_of_any_kind_and_are_copied() -> None:
    uses = {"backbone": Use("backbone")}
    spec = replace(SPEC, capabilities=iter(["labels"]), uses=uses, weights=iter(SPEC.weights))
    uses["more"] = Use("critic")
    assert (spec.capabilities, list(spec.uses), spec.weights) == ({"labels"}, ["backbone"], SPEC.weights)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Gatys"}, "name is 'Gatys'"),
        ({"name": "a/b"}, "name is 'a/b'"),
        ({"name": ""}, "name is ''"),
        ({"name": None}, "name is None"),
        ({"kind": "gan"}, "kind is 'gan', expected one of generator, critic, style_transfer, backbone"),
        ({"summary": "two\nlines"}, "expected one line of text"),
        ({"license": " "}, "license is ' '"),
        ({"factory": "module.Class"}, "expected 'package.module:Name'"),
        ({"factory": None}, "factory is None"),
        ({"config": "module:"}, "config is 'module:'"),
        ({"options": 3}, "options is 3"),
        ({"capabilities": "labels prompt"}, "capability 'labels prompt' is unknown"),
        ({"capabilities": {"label"}}, "did you mean 'labels'"),
        ({"capabilities": [["labels"]]}, "is unknown"),
        ({"capabilities": 3}, "capability 3 is unknown"),
        ({"uses": ["backbone"]}, r"uses is \['backbone'\], expected a mapping"),
        ({"uses": {"backbone": "vgg19"}}, "uses 'backbone' is 'vgg19', expected a Use"),
        ({"uses": {"device": Use("backbone")}}, "uses key 'device' is reserved"),
        ({"uses": {"a b": Use("backbone")}}, "not an identifier"),
        ({"uses": {"b": Use("vgg")}}, "uses 'b': use: kind is 'vgg'"),
        ({"uses": {"b": Use("backbone", default=3)}}, "default is 3, expected a model name or None"),
        ({"weights": "default"}, "'default' is not a Weights"),
        ({"weights": [Weights("a", files=[FILE]), Weights("a", files=[FILE])]}, "two weights are named 'a'"),
        ({"weights": [Weights("a")]}, "weights 'a': files is empty"),
        ({"weights": [Weights("a", files=[FILE, FILE])]}, "two files are named 'model'"),
        ({"weights": [Weights("../a", files=[FILE])]}, "name must be letters"),
        ({"weights": [Weights("a", files=["w.pt"])]}, "'w.pt' is not a WeightsFile"),
        ({"weights": [Weights("a", files=[FILE], config=[3])]}, r"config is \[3\], expected a mapping"),
        ({"paper": "Gatys 2016"}, "paper is 'Gatys 2016', expected a URL"),
    ],
)
def test_each_problem_is_said(changes: dict[str, object], said: str) -> None:
    assert re.search(said, "\n".join(replace(SPEC, **changes).problems()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"urls": []}, "give either urls or package"),
        ({"package": "dist:file"}, "give either urls or package"),
        ({"urls": [], "package": "dist"}, "package is 'dist', expected 'distribution:path/inside'"),
        ({"urls": ["ftp://example.org/w"]}, "url 'ftp://example.org/w' must start with"),
        ({"urls": "w.safetensors"}, "url 'w.safetensors' must start with"),
        ({"sha256": "abcdef12"}, "sha256 is 'abcdef12', expected all 64"),
        ({"sha256": "A" * 64}, "lower-case"),
        ({"size": -1}, "size is -1"),
        ({"size": "10 MB"}, "size is '10 MB'"),
        ({"format": "pickle"}, "format is 'pickle', expected one of safetensors, torch"),
        ({"name": "a/b"}, "name must be letters"),
        ({"license": None}, "license is None, expected text"),
    ],
)
def test_each_problem_of_a_file_is_said(changes: dict[str, object], said: str) -> None:
    assert re.search(said, "\n".join(replace(FILE, **changes).problems()))
