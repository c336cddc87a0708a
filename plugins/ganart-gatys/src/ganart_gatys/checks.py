"""Checks of what the options of a call can do together."""

from __future__ import annotations

from collections.abc import Sequence

from ganart_gatys.config import Options
from ganart_zoo.contract import SettingsError, Style

__all__ = ["check_style_term"]


def check_style_term(styles: Sequence[Style], options: Options) -> None:
    """Raise SettingsError where a style term cannot do what else is asked for."""
    if options.style_term == "gram":
        return
    regions = any(style.region is not None or style.source_region is not None for style in styles)
    for asked, what in ((regions, "regions"), (options.tile is not None, "the tiles that were asked for or needed")):
        if asked:
            raise SettingsError(f"style_term={options.style_term!r} cannot do {what}; use 'gram' or a smaller picture")
