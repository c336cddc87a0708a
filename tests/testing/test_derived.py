"""Inputs that are derived from declarations, where a model cannot be called without its weights."""

from __future__ import annotations

import pytest

from ganart_zoo import Zoo
from ganart_zoo.testing.derived import NotHereError, subject_for


def test_a_network_that_comes_with_its_weights_is_not_checked_without_them() -> None:
    zoo = Zoo()
    with pytest.raises(NotHereError, match="its weights are not on this machine, and untrained: clip has no network"):
        subject_for(zoo, zoo.entry("ganart-clip/clip"))
