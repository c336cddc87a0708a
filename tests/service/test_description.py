"""The zoo and the verbs as JSON data, and what of the zoo crosses to another process."""

from __future__ import annotations

import json
import pickle

import ganart_tiny
import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.contract.errors import PluginFaultError, WeightsMissingError
from ganart_zoo.running.stylists import Stylizer
from ganart_zoo.service import VERBS, describe


def test_the_description_is_json_and_has_every_model_and_verb(shapes):
    found = json.loads(json.dumps(describe(shapes)))
    assert found["version"] == 1
    assert {model["name"] for model in found["models"]} == {entry.canonical for entry in shapes.list()}
    assert set(found["verbs"]) == set(VERBS)
    for name, verb in found["verbs"].items():
        for argument, schema in verb["arguments"]["properties"].items():
            assert schema.get("description"), f"{name}: {argument} has no description"
    assert found["verbs"]["stylize"]["pictures"] == ["content", "styles", "init"]
    assert found["verbs"]["stylize"]["arguments"]["required"] == ["content"]


def test_a_models_schema_has_config_options_and_uses(zoo):
    (blend,) = (model for model in zoo.describe()["models"] if model["short_name"] == "blend")
    properties = blend["settings"]["properties"]
    assert {name: one["x-ganart-role"] for name, one in properties.items()} == {
        **dict.fromkeys(("layers", "title", "grain", "layer_weights"), "config"),
        **dict.fromkeys(("steps", "alpha", "preserve_colour", "noise", "interrupt_at", "interrupt_twice"), "option"),
        "backbone": "use",
    }
    assert properties["backbone"]["anyOf"][0] == {"enum": ["ganart-tiny/pool"]}
    assert properties["steps"]["maximum"] == 100


def test_schemas_are_valid_and_defaults_satisfy_them():
    jsonschema = pytest.importorskip("jsonschema")
    for model in Zoo().describe()["models"]:
        schema = model["settings"]
        jsonschema.Draft202012Validator.check_schema(schema)
        given = {name: one["default"] for name, one in schema["properties"].items() if "default" in one}
        jsonschema.validate(given, schema)


def test_describing_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys; from ganart_zoo import Zoo; Zoo().describe(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_zoo_entries_settings_and_errors_cross_processes(zoo, painting):
    again = pickle.loads(pickle.dumps(zoo))
    assert [entry.canonical for entry in again.list()] == [entry.canonical for entry in zoo.list()]
    entry = pickle.loads(pickle.dumps(zoo.entry("blend")))
    assert entry.spec == zoo.entry("blend").spec
    assert pickle.loads(pickle.dumps(zoo.settings("blend"))).option_names == zoo.settings("blend").option_names
    with pytest.raises(PluginFaultError) as caught:
        Stylizer(zoo, "broken")(torch.rand(1, 3, 20, 20))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    missing = WeightsMissingError("no weights")
    assert str(pickle.loads(pickle.dumps(missing))) == "no weights"


def test_a_stylizer_crosses_processes(zoo, photo, painting):
    stylizer = Stylizer(zoo, "blend", [painting], seed=4)
    again = pickle.loads(pickle.dumps(stylizer))
    assert torch.equal(again(photo).images, stylizer(photo).images)


def test_a_zoo_and_its_entries_say_what_they_are(zoo):
    assert repr(zoo) == "<Zoo of 5 models from 1 plugins>"
    assert repr(zoo.entry("blend")) == "<Entry ganart-tiny/blend, a style_transfer>"
    assert ganart_tiny.__name__ in str(zoo.plugins)
