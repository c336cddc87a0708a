"""What the JSON Schema of a model's settings allows, the model's own checks allow too: forms need no other rule."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ganart_zoo import Zoo
from ganart_zoo.contract.errors import SettingsError

DRAWS = 60

LEFT_OUT = {"classes", "skips"}
"""What goes with some values of other settings only; their descriptions say so, and forms show their defaults."""


class Drawn:
    """Values that satisfy a schema."""

    def __init__(self, definitions: dict[str, Any], seed: int) -> None:
        self._definitions = definitions
        self._random = random.Random(seed)

    def value(self, schema: dict[str, Any]) -> Any:
        pick = self._random
        if "$ref" in schema:
            return self.value(self._definitions[schema["$ref"].removeprefix("#/$defs/")])
        if "enum" in schema:
            return pick.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        if "anyOf" in schema:
            return self.value(pick.choice(schema["anyOf"]))
        kind = schema["type"]
        if kind == "boolean":
            return pick.random() < 0.5
        if kind == "null":
            return None
        if kind in ("integer", "number"):
            return self._number(schema, kind)
        if kind == "string":
            return f"word {self._random.random()}"[: schema.get("maxLength", 12)]
        if kind == "array":
            if "prefixItems" in schema:
                return [self.value(item) for item in schema["prefixItems"]]
            least = schema.get("minItems", 0)
            count = pick.randint(least, min(schema.get("maxItems", least + 2), least + 2))
            return [self.value(schema["items"]) for _ in range(count)]
        return {name: self.value(one) for name, one in schema.get("properties", {}).items()}

    def _number(self, schema: dict[str, Any], kind: str) -> float:
        step = schema.get("multipleOf", 1 if kind == "integer" else None)
        low = schema.get("minimum", schema.get("exclusiveMinimum", -100))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 1000))
        if step is None:
            return self._random.uniform(low + 1e-3 * (high - low), high - 1e-3 * (high - low))
        first = -(-low // step) + ("exclusiveMinimum" in schema and low % step == 0)
        return self._random.randint(int(first), int(high // step)) * step


@pytest.mark.parametrize("role", ["config", "option"])
def test_draws_are_accepted(role):
    refused = []
    zoo = Zoo()
    for model in zoo.describe()["models"]:
        schema, known = model["settings"], zoo.settings(model["name"])
        check = known.config if role == "config" else known.options
        drawn = Drawn(schema.get("$defs", {}), 1)
        properties = {
            name: one
            for name, one in schema["properties"].items()
            if one["x-ganart-role"] == role and name not in LEFT_OUT and "pattern" not in str(one)
        }
        for _ in range(DRAWS if properties else 0):
            values = {name: drawn.value(one) for name, one in properties.items()}
            try:
                check(values)
            except SettingsError as error:
                refused.append(str(error))
    assert refused == []
