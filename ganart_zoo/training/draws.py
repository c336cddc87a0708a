"""Moved to `ganart_zoo.contract.draws`; this module goes with ganart-zoo 0.2."""

from __future__ import annotations

from typing import Any

from ganart_zoo.contract.moved import moved


def __getattr__(name: str) -> Any:
    return moved(name, __name__, "ganart_zoo.contract.draws")
