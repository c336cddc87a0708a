"""Config, options and `uses`: one namespace, checked, with one line that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ganart_zoo import Use, Weights, WeightsFile, Zoo
from ganart_zoo.contract import (
    Field,
    Generator,
    Settings,
    SettingsError,
    WeightsMissingError,
    field_validator,
    model_validator,
)

from .making import plugin, spec


class Config(Settings):
    resolution: int = Field(64, ge=8, le=1024, description="Side of the pictures, in pixels.")
    class_names: tuple[str, ...] = ()
    layers: int = Field(3, ge=1)

    @field_validator("resolution")
    @classmethod
    def _even(cls, resolution: int) -> int:
        if resolution % 2:
            raise ValueError("an even\nnumber")
        return resolution

    @model_validator(mode="after")
    def _deep_enough(self) -> Config:
        if self.resolution < 2**self.layers:
            raise ValueError(f"{self.layers} layers need a resolution of at least {2**self.layers}")
        return self


class Options(Settings):
    steps: int = Field(20, ge=1, le=1000)
    strength: float = Field(1.0, ge=0)
    name: str = "untitled"


class NeedsWidth(Settings):
    width: int


class Squares(Generator):
    latent_shape = (2,)

    def __init__(self, config: Config, **uses: Generator) -> None:
        super().__init__(config)
        self.uses: Sequence[str] = tuple(uses)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:  # type: ignore[no-untyped-def]
        return latents


HERE = __name__
SQUARES = spec("squares", factory=f"{HERE}:Squares", config=f"{HERE}:Config", options=f"{HERE}:Options")
FITTED = spec(
    "fitted",
    factory=f"{HERE}:Squares",
    config=f"{HERE}:Config",
    weights=[
        Weights("large", files=[WeightsFile(urls=["https://example.org/a.safetensors"])], config={"resolution": 256})
    ],
)
BUILT_ON = spec("built-on", factory=f"{HERE}:Squares", uses={"below": Use("generator", default="squares")})
CHOOSY = spec("choosy", factory=f"{HERE}:Squares", uses={"below": Use("generator")})
WIDE = spec("wide", factory=f"{HERE}:Squares", config=f"{HERE}:NeedsWidth")


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo(plugins=[plugin("toys", SQUARES, FITTED, BUILT_ON, CHOOSY, WIDE)], strict=True)


def test_options_are_checked_instances(zoo: Zoo) -> None:
    options = zoo.options("squares", steps="30", name="dusk")
    assert options == Options(steps=30, name="dusk")
    assert zoo.options("squares") == Options()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stpes": 3}, "has no setting 'stpes'; did you mean 'steps'"),
        ({"steps": 0}, "steps is 0, expected greater than or equal to 1"),
        ({"steps": "many"}, "steps is 'many', expected a valid integer"),
        ({"strength": float("nan")}, "strength is nan, expected a finite number"),
        ({"strength": float("inf")}, "strength is inf, expected a finite number"),
        ({"steps": 0, "strength": -1}, r"steps is 0, expected .*; strength is -1, expected "),
        ({"name": ["a" * 500]}, r"name is \['aaa.{60,80}, expected a valid string"),
    ],
)
def test_wrong_options_are_refused_in_one_line(zoo: Zoo, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        zoo.options("squares", **wrong)
    assert "toys/squares" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resolutoin": 64}, "has no setting 'resolutoin'; did you mean 'resolution'"),
        ({"resolution": 9}, "resolution is 9, expected an even number"),
        ({"resolution": 8, "layers": 4}, "4 layers need a resolution of at least 16"),
        ({"steps": 3}, "steps is an option of a call and not a setting of the model; pass it to the call"),
        ({"zzz": 3}, "it has resolution, class_names, layers, steps, strength, name"),
        ({"dtype": torch.int8}, "dtype is torch.int8, expected a floating-point torch.dtype"),
        ({"dtype": "float16"}, "dtype is 'float16', expected a floating-point torch.dtype"),
        ({"device": "gpu"}, "device is 'gpu', expected 'cpu' or 'cuda"),
        ({"device": 1.5}, "device is 1.5, expected 'cpu' or 'cuda"),
        ({"part": "critic"}, "part is 'critic', but 'squares' is the name of a model"),
    ],
)
def test_wrong_configs_are_refused_in_one_line(zoo: Zoo, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        zoo.create("squares", **wrong)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_setting_is_named(zoo: Zoo) -> None:
    with pytest.raises(SettingsError, match=r"toys/wide: width is missing$"):
        zoo.create("wide")


def test_the_whole_config_is_in_the_provenance(zoo: Zoo) -> None:
    made = zoo.create("squares", class_names=["cat", "dog"]).provenance
    assert made is not None
    assert made.config == {"resolution": 64, "class_names": ["cat", "dog"], "layers": 3}
    again = zoo.create(**made.to_settings()).provenance
    assert again == made
    assert json.loads(json.dumps(made.to_json())) == made.to_json()


def test_settings_sort_into_config_uses_and_options(zoo: Zoo) -> None:
    settings = zoo.settings("squares")
    assert settings.config_names == ("resolution", "class_names", "layers")
    assert settings.option_names == ("steps", "strength", "name")
    assert settings.sort({"steps": 3, "resolution": 8}) == ({"resolution": 8}, {"steps": 3})
    assert zoo.settings("built-on").sort({"below": "squares"}) == ({"below": "squares"}, {})
    with pytest.raises(SettingsError, match="did you mean 'below'"):
        zoo.settings("built-on").sort({"bellow": "squares"})


def test_the_schema_says_bounds_defaults_and_meanings(zoo: Zoo) -> None:
    schema = zoo.settings("squares").config_class.model_json_schema()
    assert schema["additionalProperties"] is False
    side = schema["properties"]["resolution"]
    assert (side["minimum"], side["maximum"], side["default"]) == (8, 1024, 64)
    assert side["description"] == "Side of the pictures, in pixels."


def test_weights_bring_the_config_they_need(zoo: Zoo, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from safetensors.torch import save_file

    from ganart_zoo.contract.digest import file_sha256
    from ganart_zoo.registry.weights import WeightsStore

    file = tmp_path / "large.safetensors"
    save_file({}, file)
    published = WeightsFile(urls=[file.as_uri()], sha256=file_sha256(file), size=file.stat().st_size)
    large = spec(
        "fitted",
        factory=f"{HERE}:Squares",
        config=f"{HERE}:Config",
        weights=[Weights("large", files=[published], config={"resolution": 256})],
    )
    store = WeightsStore(tmp_path / "home")
    fitted = Zoo(plugins=[plugin("toys", large)], strict=True, store=store)
    with pytest.raises(WeightsMissingError, match="'large' of toys/fitted"):
        fitted.create("fitted")
    made = fitted.create("fitted", fetch=True).provenance
    assert made is not None
    assert made.config["resolution"] == 256
    assert (made.weights, dict(made.files)) == ("large", {"model": published.sha256})
    assert fitted.create("fitted", resolution=256).provenance == made
    assert fitted.create("fitted", weights=None, resolution=128).config.resolution == 128  # type: ignore[union-attr]
    with pytest.raises(SettingsError, match=r"weights 'large' need resolution=256; leave it out, or pass weights=None"):
        fitted.create("fitted", resolution=128)


def test_settings_are_refused_before_weights_are_sought(zoo: Zoo) -> None:
    with pytest.raises(SettingsError, match="did you mean 'resolution'"):
        zoo.create("fitted", resolutio=64)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (7, "below is 7, expected a name"),
        ({"weights": None}, "below is {'weights': None}, expected a name"),
        ({"model": "squares", "resolutin": 3}, "did you mean 'resolution'"),
        ({"model": "squares", "part": "critic"}, "part is 'critic', but 'squares' is the name of a model"),
        (torch.nn.Linear(1, 1), "below is Linear.*, expected a name"),
    ],
)
def test_wrong_uses_are_refused(zoo: Zoo, wrong: object, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        zoo.create("built-on", below=wrong)


def test_a_use_without_default_must_be_chosen(zoo: Zoo) -> None:
    with pytest.raises(SettingsError, match="needs a generator for 'below'; 'ganart list --kind generator' shows them"):
        zoo.create("choosy")
    assert zoo.create("choosy", below="squares").provenance is not None
