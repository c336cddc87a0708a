"""The zoo's own checks, on the default backbone."""

from __future__ import annotations

import ganart_backbones
import ganart_deepdream
import pytest

from ganart_zoo import Zoo
from ganart_zoo.testing import Subject, checks_for

SUBJECT = Subject(
    Zoo(plugins=[ganart_deepdream, ganart_backbones]),
    "ganart-deepdream/deepdream",
    options={"steps": 2, "octaves": 1, "layers": ("block1",)},
)


@pytest.mark.parametrize("check", checks_for(SUBJECT), ids=lambda check: check.__name__)
def test_conformance(check):
    check(SUBJECT)
