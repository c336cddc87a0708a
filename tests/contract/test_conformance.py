"""Every toy plugin passes every check of the conformance kit that goes with its kind and capabilities."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo.contract import Condition, Style
from ganart_zoo.testing import Check, Subject, checks_for

from .toys import ZOO

SUBJECTS = [
    Subject(ZOO, "tiny"),
    Subject(ZOO, "styled"),
    Subject(ZOO, "styled", settings={"resolution": 8, "class_names": ()}, options={"truncation": 1.0}),
    Subject(ZOO, "projected"),
    Subject(ZOO, "projected", settings={"layers": ["middle"], "backbone": {"model": "tiny", "weights": None}}),
    Subject(ZOO, "prompted", condition=Condition(prompts=("a red square",))),
    Subject(ZOO, "named", styles=(Style(name="dusk", weight=3), Style(name="dawn"))),
    Subject(ZOO, "dream", options={"steps": 3}),
    Subject(ZOO, "denoise", options={"steps": 4, "negative_prompt": "blur"}, condition=Condition(prompts=("sea",))),
]
CASES = [(subject, check) for subject in SUBJECTS for check in checks_for(subject)]


@pytest.mark.parametrize(
    ("subject", "check"), CASES, ids=[f"{subject.name}-{check.__name__}" for subject, check in CASES]
)
def test_conformance(subject: Subject, check: Check) -> None:
    torch.manual_seed(3)
    check(subject)
