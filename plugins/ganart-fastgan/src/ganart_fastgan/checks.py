"""Refuses conditions, which these networks do not support."""

from __future__ import annotations

from ganart_zoo.contract import Condition, SettingsError

__all__ = ["refuse_condition"]


def refuse_condition(network: str, condition: Condition | None) -> None:
    """Refuse a condition that has any content.

    Raises:
        SettingsError: A field of the condition is set.
    """
    for name, part in (condition or Condition())._asdict().items():
        if part is not None:
            raise SettingsError(f"{network} takes no condition and got {name}; leave them out, or use another network")
