"""The words of a caption or prompt, and the hashed features by which models know them. Imports no torch.

Every model of text shares this tokenizer. A word is known by itself and by its character 2- to 5-grams, all hashed into
one table of embeddings that the model learns (fastText: Bojanowski et al. 2017, https://arxiv.org/abs/1607.04606). A
misspelling shares most of its n-grams with the right spelling, so it lands near it, and no vocabulary is needed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache

from ganart_zoo.contract.errors import SettingsError

__all__ = ["MAX_CHARACTERS", "MAX_WORDS", "features", "held_out", "unknown", "words"]

MAX_CHARACTERS = 10_000
"""The longest text that is read."""

MAX_WORDS = 64
"""Models read so many words from the start of a text; see `word_bags`."""

_WORD_CHARACTERS = 32
_NGRAMS = (2, 3, 4, 5)
_APOSTROPHES = "'\u2019\u02bc"
_REGIONAL_A = 0x1F1E6
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{1,2}")
_PICTOGRAPHS = 0x1F000
_EMPTY_WORDS = frozenset({"sign", "symbol"})
_OUTLINE_WORDS = frozenset({"heavy", "black", "white"})
_SKIN_TONES = {
    0x1F3FB: "light skin tone",
    0x1F3FC: "medium light skin tone",
    0x1F3FD: "medium skin tone",
    0x1F3FE: "medium dark skin tone",
    0x1F3FF: "dark skin tone",
}


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text, in order.

    - The text is normalised (NFKC) and case-folded. Words are runs of letters, digits and combining marks of any
      script; everything else separates them, control characters included. An apostrophe inside a word disappears.
    - An emoji character becomes the words of its Unicode name, a pair of regional indicators `flag` and the country's
      two letters. In names of symbols older than emoji, "black" and "white" only mean filled and outlined, and are left
      out.
    - Format characters (joiners, direction marks) and variation selectors are ignored.
    - A word keeps its first 32 characters.

    Raises:
        SettingsError: The text has more than `MAX_CHARACTERS` characters.

    Example:
        >>> words("A lion's mane, 3D")
        ('a', 'lions', 'mane', '3d')
        >>> words("two \N{RED APPLE}")
        ('two', 'red', 'apple')
        >>> words("")
        ()
    """
    if len(text) > MAX_CHARACTERS:
        raise SettingsError(f"a text has {len(text):,} characters, expected at most {MAX_CHARACTERS:,}; shorten it")
    # before NFKC, which would take some marks apart
    spelled = "".join(map(_spelled, _FLAG.sub(_flag, text)))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", spelled).casefold())
    return tuple(word[:_WORD_CHARACTERS] for word in "".join(map(_kept, folded)).split())


def _flag(letters: re.Match[str]) -> str:
    return f" flag {''.join(chr(ord('a') + ord(letter) - _REGIONAL_A) for letter in letters[0])} "


@lru_cache(maxsize=8192)
def _spelled(character: str) -> str:
    """One character of a text as written, with emoji spelled out and what has no meaning removed."""
    code = ord(character)
    category = unicodedata.category(character)
    if code in _SKIN_TONES:
        return f" {_SKIN_TONES[code]} "
    if category == "So" and unicodedata.normalize("NFKC", character) == character:
        named = unicodedata.name(character, "").casefold().replace("-", " ").split()
        empty = _EMPTY_WORDS if code >= _PICTOGRAPHS else _EMPTY_WORDS | _OUTLINE_WORDS
        return f" {' '.join(word for word in named if word not in empty)} "
    if category == "Cf" or category == "Me" or 0xFE00 <= code <= 0xFE0F or character in _APOSTROPHES:
        return ""
    return character


@lru_cache(maxsize=8192)
def _kept(character: str) -> str:
    """A character of a normalised text if words are made of it, else a space."""
    return character if unicodedata.category(character)[0] in "LMN" else " "


@lru_cache(maxsize=65536)
def features(word: str, buckets: int) -> tuple[int, ...]:
    """Return the ids of a word's features: first that of the whole word, then those of its n-grams.

    The n-grams are the 2- to 5-grams of `"<" + word + ">"`. An id is a blake2b hash modulo `buckets`, so it is the
    same on every machine and in every release.

    Args:
        word: One of `words()`.
        buckets: Rows of the table of embeddings; ids are 0 to `buckets - 1`.

    Raises:
        SettingsError: `buckets` is less than 1.
    """
    if buckets < 1:
        raise SettingsError(f"buckets is {buckets}, expected at least 1")
    padded = f"<{word}>"
    grams = (padded[start : start + size] for size in _NGRAMS for start in range(len(padded) - size + 1))
    return tuple(_hash(text) % buckets for text in (f"word:{word}", *dict.fromkeys(grams)))


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def unknown(found: Iterable[str], vocabulary: Collection[str]) -> tuple[str, ...]:
    """Return the words that are not in `vocabulary`, each once, in order of appearance.

    Example:
        >>> unknown(words("a red zorkmid"), {"a", "red", "apple"})
        ('zorkmid',)
    """
    return tuple(dict.fromkeys(word for word in found if word not in vocabulary))


def held_out(name: str, *, percent: int = 10, salt: str = "") -> bool:
    """Return whether a name belongs to the fixed share of names that training leaves out.

    Names with the same words fall on the same side. A different `salt` gives an independent split.

    Args:
        name: For example that of an emoji, without its style.
        percent: The share left out, 0 to 100.
        salt: Names the split.
    """
    key = " ".join(([salt] if salt else []) + list(words(name)))
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % 100 < percent
