"""The zoo's own checks, on small untrained networks."""

from __future__ import annotations

import ganart_backbones
import ganart_faststyle
import pytest

from ganart_zoo import Zoo
from ganart_zoo.contract import Style
from ganart_zoo.testing import Subject, checks_for

_ZOO = Zoo(plugins=[ganart_faststyle, ganart_backbones])
_SMALL = {"channels": (4, 6, 8), "blocks": 1}

SUBJECTS = {
    "multistyle": Subject(
        _ZOO,
        "ganart-faststyle/multistyle",
        settings={**_SMALL, "expand": (6, 4), "style_names": ("waves", "stars"), "weights": None},
        styles=[Style(name="waves")],
    ),
    "adain": Subject(
        _ZOO,
        "ganart-faststyle/adain",
        settings={"widths": (6, 6, 4), "blocks": (1, 0, 0), "last": 4, "code": 5, "weights": None},
    ),
    "johnson": Subject(_ZOO, "ganart-faststyle/johnson", settings={**_SMALL, "weights": None}),
}
CHECKS = [
    pytest.param(subject, check, id=f"{name}-{check.__name__}")
    for name, subject in SUBJECTS.items()
    for check in checks_for(subject)
]


@pytest.mark.parametrize(("subject", "check"), CHECKS)
def test_conformance(subject, check):
    check(subject)
