"""Text on the command line becomes values of the types that the schema asks for."""

from __future__ import annotations

import pytest

from ganart_zoo import Zoo
from ganart_zoo.cli.settings import parse_settings
from ganart_zoo.contract import SettingsError


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("steps=12", {"steps": 12}),
        ("alpha=1e-1", {"alpha": 0.1}),
        ("noise=false", {"noise": False}),
        ("noise=off", {"noise": "off"}),  # pydantic reads it as false
        ("preserve-colour=luminance", {"preserve_colour": "luminance"}),
        ("title=12", {"title": "12"}),
        ("title=true", {"title": "true"}),
        ('title="a b"', {"title": "a b"}),
        ("title=a=b", {"title": "a=b"}),
        ("layers=a,b", {"layers": ["a", "b"]}),
        ("layers=a", {"layers": ["a"]}),
        ('layers=["a"]', {"layers": ["a"]}),
        ("layers=none", {"layers": None}),
        ("layers=null", {"layers": None}),
        ("interrupt_at=2,3", {"interrupt_at": [2, 3]}),
        ("interrupt_at=2", {"interrupt_at": [2]}),
        ("steps=many", {"steps": "many"}),  # for the schema to refuse
        ("backbone=pool", {"backbone": {"model": "pool"}}),
        ("backbone.block=4", {"backbone": {"model": "ganart-tiny/pool", "block": 4}}),
        ('backbone={"model": "pool", "block": 4}', {"backbone": {"model": "pool", "block": 4}}),
        ('backbone={"weights": "a.pt"}', {"backbone": {"model": "ganart-tiny/pool", "weights": "a.pt"}}),
        ("backbone.weights=a.pt", {"backbone": {"model": "ganart-tiny/pool", "weights": "a.pt"}}),
        ("backbone.weights=none", {"backbone": {"model": "ganart-tiny/pool", "weights": None}}),
        ('backbone={"weights": null}', {"backbone": {"model": "ganart-tiny/pool", "weights": None}}),
        ("grain.size=3", {"grain": {"size": 3, "amount": 0.05}}),
        ('grain={"size": 3}', {"grain": {"size": 3}}),
        ("layer-weights.blocks=0.5", {"layer_weights": {"blocks": 0.5}}),
    ],
)
def test_values(zoo: Zoo, pair: str, expected: dict[str, object]) -> None:
    assert parse_settings(zoo, "blend", [pair]) == expected


def test_pairs_join_flags_and_the_last_word_counts(zoo: Zoo) -> None:
    pairs = ["steps=3", "backbone=pool", "backbone.block=4", "steps=5"]
    assert parse_settings(zoo, "blend", pairs, {"alpha": "0.5", "strength": None}) == {
        "alpha": 0.5,
        "steps": 5,
        "backbone": {"model": "pool", "block": 4},
    }


def test_entries_of_a_group_and_of_json_join(zoo: Zoo) -> None:
    pairs = ['grain={"size": 2}', "grain.amount=0.5", "layer_weights.a=1", "layer_weights.b=2"]
    assert parse_settings(zoo, "blend", [*pairs, 'backbone={"model": "pool"}', "backbone.block=4"]) == {
        "grain": {"size": 2, "amount": 0.5},
        "layer_weights": {"a": 1, "b": 2},
        "backbone": {"model": "pool", "block": 4},
    }


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("steps", "'steps' is not of the form NAME=VALUE"),
        ("=3", "'=3' is not of the form NAME=VALUE"),
        ("stepz=3", "no setting 'stepz'; did you mean 'steps'"),
        ("backbone.blok=3", "ganart-tiny/pool has no setting 'blok'; did you mean 'block'"),
        ('backbone={"model": "pool"', """backbone is '{"model": "pool"', which is not valid JSON"""),
        ('backbone={"model": "pool", "blok": 3}', "ganart-tiny/pool has no setting 'blok'; did you mean 'block'"),
        ("backbone=nool", "model 'nool' is unknown; did you mean 'pool'"),
        ("title.x=3", "no setting 'title.x'"),
    ],
)
def test_what_cannot_be_meant(zoo: Zoo, pair: str, message: str) -> None:
    with pytest.raises(SettingsError if "unknown" not in message else LookupError, match=message):
        parse_settings(zoo, "blend", [pair])
