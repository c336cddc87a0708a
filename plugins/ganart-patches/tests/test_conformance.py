"""The zoo's own checks, on tiny pictures and both methods."""

from __future__ import annotations

import ganart_patches
import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition
from ganart_zoo.testing import Subject, checks_for

ZOO = Zoo(plugins=[ganart_patches])
FEW = {
    "nearest": {"steps": 2, "patch": 5, "ratio": 0.5},
    "sliced": {"method": "sliced", "steps": 2, "patch": 5, "ratio": 0.5, "directions": 4},
}
PICTURE = torch.rand(1, 3, 20, 26, generator=torch.Generator().manual_seed(5))
SUBJECTS = {
    f"{model} {method}": Subject(ZOO, model, options=options, size=(20, 27), condition=condition)
    for method, options in FEW.items()
    for model, condition in (("patches", Condition(images=PICTURE)), ("patch_style", None))
}


@pytest.mark.parametrize(
    ("subject", "check"),
    [
        pytest.param(subject, check, id=f"{name} {check.__name__}")
        for name, subject in SUBJECTS.items()
        for check in checks_for(subject)
    ],
)
def test_conformance(subject, check):
    check(subject)
