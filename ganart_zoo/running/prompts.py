"""Prompts of several weighted parts, as `"red apple:1" "leaf:0.5"` writes them, and files of prompts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.data.captions import MAX_CHARACTERS, words
from ganart_zoo.data.files import lines_of, text_of

__all__ = ["Prompt", "PromptPart", "read_prompt", "read_prompts"]

_WEIGHTED = re.compile(r"(?P<text>.*\S)\s*:(?P<weight>[+-]?\d+(?:\.\d*)?)\s*", re.DOTALL)
_SHOWN = 40


class PromptPart(NamedTuple):
    """One part of a prompt."""

    text: str
    weight: float
    """Its share in the score. A negative weight means what the picture should not show."""


class Prompt(NamedTuple):
    """What a picture should show, in parts. The weights count where pictures are scored."""

    parts: tuple[PromptPart, ...]

    @property
    def text(self) -> str:
        """The parts that are wanted, joined by commas, as a generator is given them."""
        return ", ".join(part.text for part in self.parts if part.weight > 0)

    @property
    def negative(self) -> str:
        """The parts that are not wanted, joined by commas."""
        return ", ".join(part.text for part in self.parts if part.weight < 0)


def read_prompt(texts: Sequence[str]) -> Prompt:
    """Return the prompt of parts `TEXT` or `TEXT:WEIGHT`; the weight of a part without one is 1.

    >>> read_prompt(["red apple:2", "leaf:0.5", "worm:-1"]).text
    'red apple, leaf'

    A colon followed by a space is part of the text, as in `"at 10: 30"`.

    Raises:
        SettingsError: A part is empty, too long or without a single word, or no part has a positive weight.
    """
    parts = tuple(_part(text) for text in texts)
    if not any(part.weight > 0 for part in parts):
        raise SettingsError("no part of the prompt has a weight above 0; say what the picture should show")
    return Prompt(parts)


def read_prompts(path: str | os.PathLike[str]) -> list[str]:
    """Return the prompts of a text file, one per line; blank lines and lines that start with # are left out.

    Raises:
        SettingsError: The file cannot be read, is not text in UTF-8 or another Unicode encoding, or holds no prompt.
    """
    try:
        text = text_of(Path(path).read_bytes())
    except OSError as error:
        raise SettingsError(f"{os.fspath(path)}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{os.fspath(path)}: is not UTF-8 text (byte {error.start})") from None
    lines = [line.strip("\ufeff").strip() for line in lines_of(text)]
    prompts = [line for line in lines if line and not line.startswith("#")]
    if not prompts:
        raise SettingsError(f"{os.fspath(path)}: holds no prompt; write one per line")
    return prompts


def _part(text: str) -> PromptPart:
    if len(text) > MAX_CHARACTERS:
        raise SettingsError(f"the prompt {_shown(text)} has {len(text)} characters, expected at most {MAX_CHARACTERS}")
    match = _WEIGHTED.fullmatch(text)
    part = PromptPart(text.strip(), 1.0) if match is None else PromptPart(match["text"], float(match["weight"]))
    if not words(part.text):
        raise SettingsError(f"the prompt {_shown(text)} has no word in it; say what the picture should show")
    if part.weight == 0:
        raise SettingsError(f"the weight of the prompt {_shown(text)} is 0; leave it out, or give it another weight")
    return part


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
