"""Changes of pictures and captions in training: some that captions mention, wear that they do not, wrong captions.

The critic has to judge generated pictures, so pictures are worn as a decoder wears them: blurred, noisy, shifted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract import randn
from ganart_zoo.data.captions import words
from ganart_zoo.data.variations import (
    HUES,
    PLACES,
    chroma,
    held_out_colour,
    place,
    placed_caption,
    recolour,
    recoloured_caption,
    without_colour,
)

__all__ = [
    "CONTRASTS",
    "allows",
    "mention",
    "mirrored",
    "misspelled",
    "vary",
    "wear",
    "without_style",
    "wrong_captions",
]

CONTRASTS: tuple[tuple[str, ...], ...] = (
    ("left", "right"),
    ("above", "below"),
    ("top", "bottom"),
    ("small", "large"),
    ("one", "two", "three", "four"),
    (*HUES, "black"),
    ("circle", "square", "triangle", "star", "diamond", "cross"),
    ("circles", "squares", "triangles", "stars", "diamonds", "crosses"),
    ("noto", "twemoji", "flat", "3d"),
)
"""Words of which only one can be true at a place in a caption."""

_GROUP = {word: group for group in CONTRASTS for word in group}
_ARTICLES = frozenset({"a", "an", "one", "two", "three", "four"})
_COLOURFUL = 0.15
_WORD = re.compile(r"\w+")
_BLUR = (0.25, 0.5, 0.25)
_OPPOSITE = {"left": "right", "right": "left"}
_SIDE = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)


def vary(
    images: Tensor,
    captions: Sequence[str],
    rows: Sequence[Random],
    *,
    recoloured: float,
    placed: float,
    mirror: float = 0.0,
) -> tuple[Tensor, list[str]]:
    """Recolour, place and mirror some pictures, and say so in their captions.

    Captions that describe a drawing by counting ("a red circle", "two ...") or name a colour further on are left alone.

    Args:
        images: `[n, 3, S, S]` in 0..1.
        captions: n texts.
        rows: Randomness of each row.
        recoloured: The share of pictures to recolour, of those that are colourful.
        placed: The share of pictures to shrink to one side.
        mirror: The share of pictures to mirror, of those whose captions name left or right.
    """
    images, texts = images.clone(), list(captions)
    for row, (text, rng) in enumerate(zip(captions, rows, strict=True)):
        if rng.random() < mirror and (other := mirrored(text)) is not None:
            images[row], texts[row] = images[row].flip(2), other
    colourful = (chroma(images) > _COLOURFUL).tolist()
    colours: dict[str, list[int]] = {}
    places: dict[str, list[int]] = {}
    for row, (text, rng) in enumerate(zip(list(texts), rows, strict=True)):
        split = words(text)
        if not split or split[0] in _ARTICLES:
            continue
        if rng.random() < recoloured and colourful[row] and _bare(text):
            colour = rng.choice(list(HUES))
            if not held_out_colour(text.partition(",")[0], colour):
                texts[row] = recoloured_caption(text, colour)
                colours.setdefault(colour, []).append(row)
        if rng.random() < placed:
            where = rng.choice(list(PLACES))
            texts[row] = placed_caption(texts[row], where)
            places.setdefault(where, []).append(row)
    for colour, chosen in colours.items():
        images[chosen] = recolour(images[chosen], colour)
    for where, chosen in places.items():
        images[chosen] = place(images[chosen], where)
    return images, texts


def _bare(text: str) -> bool:
    """Whether a caption names no colour, or one as its first word."""
    rest = without_colour(text)
    return rest == text or (text.lower().endswith(rest.lower()) and without_colour(rest) == rest)


def without_style(caption: str, rng: Random, share: float) -> str:
    """Return a caption without what follows its last comma, for a share of captions."""
    name, comma, _ = caption.rpartition(",")
    return name if comma and rng.random() < share else caption


def misspelled(caption: str, rng: Random, share: float) -> str:
    """Return a caption, for a share of them with one letter of a word doubled, left out or swapped with the next."""
    found = [match for match in _WORD.finditer(caption) if len(match[0]) > 4]
    if not found or rng.random() >= share:
        return caption
    match = rng.choice(found)
    word, at = match[0], rng.randrange(1, len(match[0]) - 1)
    changed = rng.choice(
        [
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        ]
    )
    return caption[: match.start()] + changed + caption[match.end() :]


def wrong_captions(caption: str, rng: Random, count: int) -> list[str]:
    """Return up to `count` different captions that are wrong in one detail: a word is exchanged for another of its
    `CONTRASTS`, or two words of the same contrast change places.

    Each contrast of the caption is as likely as any other, however many of its words the caption has, so that
    relations, of which there is one, are learned as well as colours.
    """
    found: dict[tuple[str, ...], list[re.Match[str]]] = {}
    for match in _WORD.finditer(caption):
        if group := _GROUP.get(match[0].lower()):
            found.setdefault(group, []).append(match)
    wrong: dict[str, None] = {}
    for _ in range(count if found else 0):
        group = rng.choice(list(found))
        match = rng.choice(found[group])
        word = match[0].lower()
        others = [other for other in found[group] if other[0].lower() != word]
        if others and rng.random() < 0.5:
            one, other = sorted((match, rng.choice(others)), key=lambda each: each.start())
            text = (
                caption[: one.start()] + other[0] + caption[one.end() : other.start()] + one[0] + caption[other.end() :]
            )
        else:
            text = caption[: match.start()] + rng.choice([w for w in group if w != word]) + caption[match.end() :]
        wrong[text] = None
    return list(wrong)


def mirrored(caption: str) -> str | None:
    """Return the caption of the mirrored picture, "left" and "right" exchanged; None where it names neither.

    Example:
        >>> mirrored("a red circle left of a blue square"), mirrored("a lion")
        ('a red circle right of a blue square', None)
    """
    text = _SIDE.sub(lambda match: _OPPOSITE[match[0].lower()], caption)
    return None if text == caption else text


def allows(caption: str, full: str) -> bool:
    """Return whether a caption says nothing that `full`, the whole caption of a picture, does not: its words in order.

    Example:
        >>> allows("lion", "lion face, 3d"), allows("red square", "blue square")
        (True, False)
    """
    rest = iter(words(full))
    return all(word in rest for word in words(caption))


def mention(captions: Sequence[str], fulls: Sequence[str]) -> Tensor:
    """Return bool `[n, m]`: whether caption j is true of picture i because `allows(captions[j], fulls[i])`."""
    short, long = [words(text) for text in captions], [words(text) for text in fulls]
    index = {word: number for number, word in enumerate(dict.fromkeys(w for row in [*short, *long] for w in row))}
    sets = [torch.zeros(len(rows), len(index) + 1) for rows in (long, short)]
    for table, rows in zip(sets, (long, short), strict=True):
        for number, row in enumerate(rows):
            table[number, [index[word] for word in row]] = 1
    shared = sets[0] @ sets[1].T
    candidates = shared == sets[1].sum(dim=1)
    for i, j in candidates.nonzero().tolist():
        if i != j:
            candidates[i, j] = allows(captions[j], fulls[i])
    return candidates


def wear(images: Tensor, rows: Sequence[Random], generators: Sequence[torch.Generator]) -> Tensor:
    """Shift, scale, soften and stain pictures, each by its own amount.

    Args:
        images: `[n, 3, S, S]` in 0..1.
        rows: Randomness of each row.
        generators: Of each row, for noise.
    """
    drawn = torch.tensor([[rng.random() for _ in range(8)] for rng in rows]).to(images)
    column = drawn.T.view(8, -1, 1, 1, 1)
    scale = 1 + 0.12 * (2 * drawn[:, 0] - 1)
    shift = 0.12 * (2 * drawn[:, 1:3] - 1)
    transform = torch.zeros(len(images), 2, 3).to(images)
    transform[:, 0, 0] = transform[:, 1, 1] = scale
    transform[:, :, 2] = shift
    grid = functional.affine_grid(transform, list(images.shape), align_corners=False)
    # the border is white: what comes in is what pictures stand on
    images = 1 - functional.grid_sample(1 - images, grid, align_corners=False)
    blurred = _blurred(images)
    images = torch.where(
        column[3] < 0.5, images, images.lerp(torch.where(column[3] < 0.8, blurred, _blurred(blurred)), column[4])
    )
    low = functional.interpolate(functional.avg_pool2d(images, 2), scale_factor=2, mode="bilinear", align_corners=False)
    images = torch.where(column[5] < 0.85, images, low)
    amount = (column[6] - 0.5).clamp(min=0) * 0.2
    images = images + amount * randn(images.shape, list(generators), dtype=images.dtype).to(images)
    return (images - 0.5) * (1 + 0.1 * (2 * column[7] - 1)) + 0.5


def _blurred(images: Tensor) -> Tensor:
    kernel = torch.tensor(_BLUR).to(images)
    kernel = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    return functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
