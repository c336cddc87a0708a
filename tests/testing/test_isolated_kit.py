"""The conformance kit holds for models in a process of their own: one of each kind, as the plugins ship them."""

from __future__ import annotations

import pytest

from ganart_zoo import Zoo
from ganart_zoo.testing.whole import cases

MODELS = (
    "ganart-dcgan/dcgan",
    "ganart-patchgan/patchgan",
    "ganart-faststyle/multistyle",
    "ganart-backbones/squeezenet1_1",
)


@pytest.mark.parametrize("name", MODELS)
def test_the_kit_passes_through_the_process(name: str) -> None:
    distribution, _, model = name.partition("/")
    zoo = Zoo(isolate=[distribution])
    held = [case for case in cases(zoo, distribution, models=[model]) if case.model == name]
    assert len(held) > 12
    failed = {}
    for case in held:
        try:
            case()
        except AssertionError as error:
            failed[case.check.__name__] = str(error)
    zoo.release()
    assert not failed
