"""Names of models: canonical, short while unique, and errors that say what else there is."""

from __future__ import annotations

import pytest

from ganart_zoo import Zoo
from ganart_zoo.contract import AmbiguousModelError, GanartError, SettingsError, UnknownModelError

from .making import plugin, spec

STUDIO = plugin(
    "ganart_studio",
    spec("gatys", kind="style_transfer", capabilities={"image_styles", "regions"}),
    spec("dots", capabilities={"unconditional", "x-halftone"}),
)
ATELIER = plugin("ganart_atelier", spec("dots", kind="critic"), spec("vgg19", kind="backbone"))


@pytest.fixture
def zoo() -> Zoo:
    return Zoo(plugins=[STUDIO, ATELIER], strict=True)


def names(zoo: Zoo, **filters: str) -> list[str]:
    return [entry.canonical for entry in zoo.list(**filters)]


def test_a_short_name_works_while_it_is_unique(zoo: Zoo) -> None:
    assert zoo.entry("gatys") is zoo.entry("ganart-studio/gatys")
    assert zoo.spec("gatys").kind == "style_transfer"


def test_a_shared_short_name_lists_every_owner(zoo: Zoo) -> None:
    with pytest.raises(AmbiguousModelError, match=r"'dots'.*ganart-atelier/dots, ganart-studio/dots"):
        zoo.entry("dots")
    assert zoo.spec("ganart-atelier/dots").kind == "critic"
    assert zoo.spec("ganart-studio/dots").kind == "generator"


def test_display_names_are_the_shortest_that_work(zoo: Zoo) -> None:
    shown = [zoo.display_name(entry) for entry in zoo.list()]
    assert shown == ["ganart-atelier/dots", "vgg19", "ganart-studio/dots", "gatys"]
    assert [zoo.entry(name) for name in shown] == list(zoo.list())


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("gatis", "gatys"), ("vgg", "vgg19"), ("ganart-studio/gatis", "ganart-studio/gatys"), ("GATYS", "ganart list")],
)
def test_an_unknown_name_brings_near_misses(zoo: Zoo, wrong: str, meant: str) -> None:
    with pytest.raises(UnknownModelError, match=meant) as caught:
        zoo.entry(wrong)
    assert repr(wrong) in str(caught.value)


def test_an_empty_zoo_says_so() -> None:
    with pytest.raises(UnknownModelError, match="no plugin is installed"):
        Zoo(plugins=[]).create("gatys")


def test_name_errors_are_lookup_errors_of_ours(zoo: Zoo) -> None:
    for name in ("dots", "nothing"):
        with pytest.raises(LookupError) as caught:
            zoo.entry(name)
        assert isinstance(caught.value, GanartError)


def test_lists_are_sorted_and_filtered(zoo: Zoo) -> None:
    everything = ["ganart-atelier/dots", "ganart-atelier/vgg19", "ganart-studio/dots", "ganart-studio/gatys"]
    assert names(zoo) == everything
    assert names(zoo, kind="backbone") == ["ganart-atelier/vgg19"]
    assert names(zoo, capability="regions") == ["ganart-studio/gatys"]
    assert names(zoo, capability="x-halftone") == ["ganart-studio/dots"]
    assert names(zoo, capability="x-unheard-of") == []
    assert names(zoo, plugin="Ganart_Atelier") == everything[:2]
    assert names(zoo, plugin="ganart-atelier", kind="critic") == ["ganart-atelier/dots"]
    assert names(zoo, plugin="nobody") == []


def test_a_filter_that_cannot_match_is_an_error(zoo: Zoo) -> None:
    with pytest.raises(SettingsError, match=r"'generators'.*did you mean 'generator'"):
        zoo.list(kind="generators")
    with pytest.raises(SettingsError, match="'label' is unknown; did you mean 'labels'"):
        zoo.list(capability="label")
    with pytest.raises(SettingsError, match="there are unconditional, labels, prompt"):
        zoo.list(capability="zzz")
