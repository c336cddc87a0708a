"""Recipes of plugins: what a declaration may say, how recipes are named, and what a faulty one costs."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from ganart_zoo import RecipeSpec, Use, Zoo
from ganart_zoo.contract import AmbiguousModelError, Field, PluginFaultError, Settings, UnknownModelError
from ganart_zoo.training import RunSettings

from .making import plugin, spec

SPEC = RecipeSpec(
    name="copy",
    summary="Trains a painter to copy photos.",
    license="MIT",
    factory="nowhere:Copy",
    uses={"backbone": Use("backbone")},
    networks={"painter": "style_transfer", "judge": Use("critic", default="other/judge")},
    main="painter",
    pretrained=("judge",),
)


def offering(name: str, *recipes: Any) -> ModuleType:
    return plugin(name, spec("a"), ganart_recipes=lambda: list(recipes))


def test_a_declaration_is_normalised() -> None:
    assert SPEC.problems() == []
    assert SPEC.roles == {"painter": Use("style_transfer"), "judge": Use("critic", default="other/judge")}
    assert replace(SPEC, config=None).config == SPEC.config == "ganart_zoo.training.settings:RunSettings"
    assert replace(SPEC, pretrained="judge").pretrained == ("judge",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Copy"}, "name is 'Copy'"),
        ({"summary": ""}, "summary is ''"),
        ({"factory": "copy"}, "factory is 'copy', expected 'package.module:Name'"),
        ({"config": "copy"}, "config is 'copy', expected 'package.module:Name'"),
        ({"networks": {}}, "networks is {}"),
        ({"networks": ["painter"]}, "networks is ['painter']"),
        ({"networks": {"painter": "paint"}}, "role 'painter': use: kind is 'paint'"),
        ({"networks": {"painter": 3}}, "role 'painter' is 3, expected a kind or a Use"),
        ({"networks": {"painter": "critic", "data": "critic"}}, "role 'data' is reserved"),
        ({"networks": {"painter": "critic", "a_optimizer": "critic"}}, "role 'a_optimizer' is reserved"),
        ({"networks": {"painter": "critic", "Judge": "critic"}}, "role 'Judge' is not a lower-case identifier"),
        ({"main": "critic"}, "main is 'critic', expected one of the roles painter, judge"),
        ({"main": ["painter"]}, "main is ['painter']"),
        ({"pretrained": ["critic"]}, "pretrained names 'critic', expected of the roles painter, judge"),
        ({"uses": {"painter": Use("critic")}}, "uses key 'painter' is also a role"),
        ({"uses": {"training": Use("critic")}}, "uses key 'training' is reserved"),
        ({"uses": 3}, "uses is 3"),
        ({"paper": "arxiv"}, "paper is 'arxiv', expected a URL"),
    ],
)
def test_problems_are_listed_and_never_raised(changes: dict[str, Any], said: str) -> None:
    problems = replace(SPEC, **changes).problems()
    assert any(said in problem for problem in problems), problems


def test_recipes_are_found_by_short_and_canonical_name() -> None:
    zoo = Zoo(plugins=[offering("one", SPEC, replace(SPEC, name="other")), offering("two", SPEC)])
    assert [entry.canonical for entry in zoo.recipes()] == ["ganart-zoo/gan", "one/copy", "one/other", "two/copy"]
    assert [entry.canonical for entry in zoo.recipes(plugin="two")] == ["two/copy"]
    assert zoo.recipe("other").canonical == "one/other"
    assert zoo.display_name(zoo.recipe("two/copy")) == "two/copy"
    with pytest.raises(AmbiguousModelError, match=r"recipe 'copy' is offered by .* one/copy, two/copy"):
        zoo.recipe("copy")
    with pytest.raises(UnknownModelError, match="recipe 'othr' is unknown; did you mean 'other'"):
        zoo.recipe("othr")
    assert not zoo.faults


def test_a_plugin_s_gan_does_not_replace_the_core_s() -> None:
    zoo = Zoo(plugins=[offering("one", replace(SPEC, name="gan"))])
    with pytest.raises(AmbiguousModelError, match="use one of ganart-zoo/gan, one/gan"):
        zoo.recipe("gan")
    assert zoo.recipe("ganart-zoo/gan").spec.main == "generator"


def test_each_recipe_is_judged_alone() -> None:
    bad = (replace(SPEC, main="x"), SPEC, SPEC, "copy", spec("b"))
    zoo = Zoo(plugins=[offering("one", *bad)])
    assert [entry.canonical for entry in zoo.recipes(plugin="one")] == ["one/copy"]
    assert [entry.spec.name for entry in zoo.list()] == ["a"]
    assert [fault.stage for fault in zoo.faults] == ["spec"] * 4
    first, twice, text, model = zoo.faults
    assert (first.recipe, first.model) == ("copy", None)
    assert "failed at spec for recipe 'copy': main is 'x'" in str(first)
    assert "the plugin already has a recipe named 'copy'" in twice.cause
    assert "str 'copy' is not a RecipeSpec" in text.cause
    assert "is not a RecipeSpec" in model.cause


@pytest.mark.parametrize("wrong", [None, 3, SPEC])
def test_a_hook_that_raises_or_returns_no_recipes_costs_only_itself(wrong: Any) -> None:
    def raising() -> None:
        raise LookupError("no easel")

    zoo = Zoo(plugins=[plugin("one", spec("a"), ganart_recipes=raising), offering("two", SPEC)])
    (fault,) = zoo.faults
    assert (fault.stage, fault.cause) == ("recipes", "LookupError: no easel")
    assert [entry.spec.name for entry in zoo.list(plugin="one")] == ["a"]
    assert zoo.recipe("copy").canonical == "two/copy"
    (fault,) = Zoo(plugins=[plugin("one", ganart_recipes=lambda: wrong)]).faults
    assert fault.stage == "recipes"
    assert "expected an iterable of RecipeSpec" in fault.cause
    with pytest.raises(PluginFaultError, match="no easel"):
        Zoo(plugins=[plugin("one", ganart_recipes=raising)], strict=True)


class Loose(Settings):
    steps: int = 3


class Shared(RunSettings):
    painter: int = Field(3, description="A name that is a role's too.")


@pytest.mark.parametrize(
    ("changes", "stage", "cause"),
    [
        ({"config": "nowhere:Config"}, "settings", "ModuleNotFoundError"),
        ({"config": f"{__name__}:Loose"}, "settings", "does not derive from ganart_zoo.training.RunSettings"),
        ({"config": f"{__name__}:SPEC"}, "settings", "is not a pydantic model"),
        ({"config": f"{__name__}:Shared"}, "settings", "'painter' of networks is also in config"),
        ({"factory": "nowhere:Copy"}, "factory", "there is no module 'nowhere'"),
        ({"uses": {"backbone": Use("backbone", default="none")}}, "uses", "default of 'backbone': model 'none'"),
        ({"networks": {"painter": Use("critic", default="one/a")}}, "uses", "a generator, expected a critic"),
    ],
)
def test_check_finds_what_a_recipe_points_at(changes: dict[str, Any], stage: str, cause: str) -> None:
    sound = {"networks": {"painter": "style_transfer"}, "pretrained": (), "factory": f"{__name__}:SPEC"}
    zoo = Zoo(plugins=[offering("one", replace(SPEC, **{**sound, **changes}))])
    assert __name__ in sys.modules
    zoo.check()
    faults = [fault for fault in zoo.faults if fault.recipe == "copy"]
    assert [fault.stage for fault in faults] == [stage]
    assert cause in faults[0].cause
    if stage == "settings":
        with pytest.raises(PluginFaultError, match="failed at settings for recipe 'copy'"):
            zoo.recipe_settings("copy")
