"""What jobs can do, as JSON data: the zoo, and the verbs with the JSON Schema of their arguments."""

from __future__ import annotations

from typing import Any

from ganart_zoo.registry import Zoo
from ganart_zoo.service.events import STATES
from ganart_zoo.service.verbs import VERBS, Verb

__all__ = ["describe"]


def describe(zoo: Zoo) -> dict[str, Any]:
    """Return `zoo.describe()` with the key `verbs`. Imports torch.

    Each verb has `summary`, `kind` (of the model that it takes, or None), `produces`, `pictures` (the arguments that
    are pictures) and `arguments`, a JSON Schema. In it, a picture is a string of format `ganart-picture`.
    """
    return {**zoo.describe(), "states": list(STATES), "verbs": {name: _verb(verb) for name, verb in VERBS.items()}}


def _verb(verb: Verb) -> dict[str, Any]:
    return {
        "summary": verb.summary,
        "kind": verb.kind,
        "produces": verb.produces,
        "keeps_best": verb.keeps,
        "pictures": list(verb.pictures),
        "arguments": verb.arguments.model_json_schema(),
    }
