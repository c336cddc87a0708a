"""The zoo's own checks, on the default backbone."""

from __future__ import annotations

import ganart_backbones
import ganart_gatys
import pytest

from ganart_zoo import Zoo
from ganart_zoo.testing import Subject, checks_for

SUBJECT = Subject(
    Zoo(plugins=[ganart_gatys, ganart_backbones]),
    "ganart-gatys/gatys",
    settings={"style_layers": ("stem", "block0", "block1"), "content_layers": ("block1",)},
    options={"steps": 2, "scales": 1},
)


@pytest.mark.parametrize("check", checks_for(SUBJECT), ids=lambda check: check.__name__)
def test_conformance(check):
    check(SUBJECT)
