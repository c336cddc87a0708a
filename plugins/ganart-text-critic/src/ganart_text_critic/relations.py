"""Which words of a caption stand on which side: "a red circle left of a blue square" is read as more than its words.

Where things lie is told by words far apart: "red" is at the left because "left of" comes after it. A small transformer
needs much data to learn that, so the text tower is given it: behind a caption with a relation follow its words again,
each joined with its side, such as `redatleft`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ganart_zoo.data.captions import words

__all__ = ["sided"]

_SIDES = {
    "left": ("atleft", "atright"),
    "right": ("atright", "atleft"),
    "above": ("attop", "atbottom"),
    "over": ("attop", "atbottom"),
    "below": ("atbottom", "attop"),
    "under": ("atbottom", "attop"),
}
_NEEDS_OF = frozenset({"left", "right"})
_SMALL_WORDS = frozenset({"a", "an", "the", "to", "on", "is", "are", "and", "of"})
_LONGEST = 1000


def sided(text: str) -> str:
    """Return a caption, followed by its words joined with their sides if it names a relation.

    The first relation counts: `left of`, `right of`, `above`, `over`, `below` or `under`. Texts of more than 1,000
    characters are returned as they are.

    Example:
        >>> sided("a red circle left of a blue square")
        'a red circle left of a blue square redatleft circleatleft blueatright squareatright'
        >>> sided("a lion on the left")
        'a lion on the left'
    """
    if len(text) > _LONGEST:
        return text
    split = words(text)
    for place, word in enumerate(split):
        if word not in _SIDES or (word in _NEEDS_OF and split[place + 1 : place + 2] != ("of",)):
            continue
        before, after = _SIDES[word]
        return " ".join([text, *_joined(split[:place], before), *_joined(split[place + 1 :], after)])
    return text


def _joined(split: Sequence[str], side: str) -> list[str]:
    return [f"{word}{side}" for word in split if word not in _SMALL_WORDS]
