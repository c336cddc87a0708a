"""Drawn scenes: a small grammar of captions, a drawer of any size, and a checker that reads scenes back from pixels.

A scene has one group of equal shapes, or two groups with a relation between them: "three small red stars",
"two red circles left of a blue square". Every picture is a white square with filled shapes that never touch.

A fifth of the kinds of group, which are a number, a colour and a shape together, never occurs in training pictures;
`held_out` says which. The choice is a hash of the words, so it is the same on every machine.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nn_functional

__all__ = [
    "COLOURS",
    "NUMBERS",
    "RELATIONS",
    "SHAPES",
    "SIZES",
    "Group",
    "Reading",
    "Scene",
    "check",
    "draw",
    "held_out",
    "parse",
    "random_scene",
    "read",
]

COLOURS = {
    "red": (225, 35, 40),
    "orange": (250, 140, 20),
    "yellow": (250, 215, 30),
    "green": (40, 160, 65),
    "blue": (35, 95, 215),
    "purple": (130, 55, 170),
    "pink": (250, 140, 190),
    "black": (30, 30, 34),
}
SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross")
NUMBERS = ("one", "two", "three", "four")
SIZES = ("small", "large")
RELATIONS = ("left of", "right of", "above", "below")

_PLURALS = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
_HELD_OUT_FIFTH = 5
_MOST_IN_A_PAIR = 3
"""A group beside another has at most three shapes, so that they stay large enough to be told apart."""
_RADII = {"small": (0.1, 0.112), "large": (0.132, 0.147)}
"""Half of a shape's side, as a share of the picture's."""
_SIZE_LIMIT = 0.122
_GAP = 0.035
_SUPERSAMPLING = 8


@dataclass(frozen=True)
class Group:
    """Equal shapes of one colour.

    Attributes:
        number: How many, from 1 to 4.
        colour: A key of `COLOURS`.
        shape: One of `SHAPES`.
        size: "small", "large", or an empty string where the caption does not say.
    """

    number: int
    colour: str
    shape: str
    size: str = ""

    def caption(self) -> str:
        """Return the words for the group, such as "two small red circles"."""
        noun = self.shape if self.number == 1 else _PLURALS[self.shape]
        words = [self.size, self.colour, noun] if self.size else [self.colour, noun]
        if self.number > 1:
            return " ".join([NUMBERS[self.number - 1], *words])
        return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])


@dataclass(frozen=True)
class Scene:
    """One group, or two and the relation of the first to the second."""

    first: Group
    relation: str = ""
    second: Group | None = None

    def caption(self) -> str:
        """Return the scene in words, such as "two red circles left of a blue square"."""
        if self.second is None:
            return self.first.caption()
        return f"{self.first.caption()} {self.relation} {self.second.caption()}"

    def groups(self) -> tuple[Group, ...]:
        """Return the one or two groups."""
        return (self.first,) if self.second is None else (self.first, self.second)


def held_out(group: Group) -> bool:
    """Return whether the group's number, colour and shape together never occur in training pictures."""
    words = f"{NUMBERS[group.number - 1]} {group.colour} {group.shape}"
    return hashlib.blake2b(words.encode(), digest_size=4).digest()[0] % _HELD_OUT_FIFTH == 0


def _random_group(rng: np.random.Generator, most: int) -> Group:
    return Group(
        number=int(rng.integers(1, most + 1)),
        colour=str(rng.choice(list(COLOURS))),
        shape=str(rng.choice(SHAPES)),
        size=str(rng.choice(["", "", *SIZES])),
    )


def random_scene(rng: np.random.Generator, *, unseen: bool = False) -> Scene:
    """Draw a scene at random: two thirds have two groups.

    Args:
        rng: Where the choices come from.
        unseen: Whether the scene is for evaluation, and then has at least one group that training never shows;
            otherwise it has none.
    """
    while True:
        if rng.random() < 1 / 3:
            scene = Scene(_random_group(rng, len(NUMBERS)))
        else:
            first, second = _random_group(rng, _MOST_IN_A_PAIR), _random_group(rng, _MOST_IN_A_PAIR)
            if (first.colour, first.shape) == (second.colour, second.shape):
                continue
            scene = Scene(first, str(rng.choice(RELATIONS)), second)
        if any(map(held_out, scene.groups())) == unseen:
            return scene


def parse(caption: str) -> Scene | None:
    """Return the scene that a caption of the grammar describes, or None where it is not of the grammar."""
    words = caption.lower().replace(",", " ").split()
    text = " ".join(words)
    for relation in RELATIONS:
        before, found, after = text.partition(f" {relation} ")
        if found:
            first, second = _parse_group(before.split()), _parse_group(after.split())
            return None if first is None or second is None else Scene(first, relation, second)
    group = _parse_group(words)
    return None if group is None else Scene(group)


def _parse_group(words: Sequence[str]) -> Group | None:
    numbers = {"a": 1, "an": 1} | {word: index + 1 for index, word in enumerate(NUMBERS)}
    singular = {plural: shape for shape, plural in _PLURALS.items()} | {shape: shape for shape in SHAPES}
    rest = list(words)
    number = numbers.get(rest.pop(0)) if rest and rest[0] in numbers else 1
    size = rest.pop(0) if rest and rest[0] in SIZES else ""
    if number is None or len(rest) != 2 or rest[0] not in COLOURS or rest[1] not in singular:
        return None
    return Group(number, rest[0], singular[rest[1]], size)


def _inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return where points lie inside a shape that fills -1..1 both ways; y grows downwards."""
    if shape == "circle":
        return x * x + y * y <= 1
    if shape == "square":
        return (np.abs(x) <= 0.9) & (np.abs(y) <= 0.9)
    if shape == "triangle":
        return (y <= 0.85) & (np.abs(x) <= (y + 0.95) / 1.8)
    if shape == "diamond":
        return np.abs(x) / 0.85 + np.abs(y) <= 1
    if shape == "cross":
        return ((np.abs(x) <= 0.32) & (np.abs(y) <= 0.95)) | ((np.abs(y) <= 0.32) & (np.abs(x) <= 0.95))
    if shape == "star":
        # The five points are five half-planes: a point is inside where at most one of them excludes it.
        y = y - 0.06
        outside = np.zeros(np.broadcast(x, y).shape, dtype=np.int64)
        for corner in range(5):
            angle = np.pi / 2 + corner * 2 * np.pi / 5
            outside += (x * np.cos(angle) + y * np.sin(angle)) > np.cos(0.4 * np.pi)
        return outside <= 1
    raise ValueError(f"shape is {shape!r}, expected one of {', '.join(SHAPES)}")


def _boxes(scene: Scene, gap: float) -> list[tuple[float, float, float, float]]:
    """Return for each group the part of the picture it may use: left, top, right, bottom."""
    if scene.second is None:
        return [(gap, gap, 1 - gap, 1 - gap)]
    near, far = (gap, 0.5 - gap / 2), (0.5 + gap / 2, 1 - gap)
    first, second = (near, far) if scene.relation in ("left of", "above") else (far, near)
    if scene.relation in ("left of", "right of"):
        return [(first[0], gap, first[1], 1 - gap), (second[0], gap, second[1], 1 - gap)]
    return [(gap, first[0], 1 - gap, first[1]), (gap, second[0], 1 - gap, second[1])]


def _place(scene: Scene, rng: np.random.Generator) -> Iterator[tuple[Group, float, float, float]]:
    """Yield each shape's group, centre and radius, as shares of the picture's side, so that none touch."""
    for group, (left, top, right, bottom) in zip(scene.groups(), _boxes(scene, _GAP), strict=True):
        radius = rng.uniform(*_RADII[group.size or str(rng.choice(SIZES))])
        while True:
            centres: list[tuple[float, float]] = []
            for _ in range(200):
                x = rng.uniform(left + radius, right - radius)
                y = rng.uniform(top + radius, bottom - radius)
                if all(max(abs(x - a), abs(y - b)) > 2 * radius + _GAP for a, b in centres):
                    centres.append((x, y))
                if len(centres) == group.number:
                    break
            else:
                radius = max(radius * 0.97, _RADII[group.size or "small"][0])
                continue
            break
        for x, y in centres:
            yield group, x, y, radius


def draw(scene: Scene, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a scene on white, with smooth edges.

    Args:
        scene: What to draw.
        size: Side of the picture in pixels.
        rng: Where places and exact sizes come from. The same draws give the same scene at every `size`.

    Returns:
        `[size, size, 3]`, uint8.
    """
    picture = np.full((size, size, 3), 255.0, dtype=np.float32)
    for group, x, y, radius in _place(scene, rng):
        coverage, rows, columns = _coverage(group.shape, x * size, y * size, radius * size, size)
        patch = picture[rows, columns]
        patch += coverage[:, :, None] * (np.array(COLOURS[group.colour], dtype=np.float32) - patch)
    return (picture + 0.5).astype(np.uint8)


def _coverage(shape: str, x: float, y: float, radius: float, size: int) -> tuple[np.ndarray, slice, slice]:
    """Return how far a shape covers each pixel of the smallest patch that holds it, and where that patch lies."""
    first = [max(int(np.floor(centre - radius)), 0) for centre in (y, x)]
    last = [min(int(np.ceil(centre + radius)), size) for centre in (y, x)]
    fine = [
        (np.arange((end - start) * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING + start
        for start, end in zip(first, last, strict=True)
    ]
    inside = _inside(shape, (fine[1][None, :] - x) / radius, (fine[0][:, None] - y) / radius)
    cells = inside.reshape(last[0] - first[0], _SUPERSAMPLING, last[1] - first[1], _SUPERSAMPLING)
    return cells.mean(axis=(1, 3), dtype=np.float32), slice(first[0], last[0]), slice(first[1], last[1])


@dataclass(frozen=True)
class Shape:
    """A shape that the checker sees: its kind, its colour, and its place as shares of the picture's side."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Reading:
    """Which parts of a scene a picture shows; each is None where the scene does not ask for it.

    Attributes:
        colour: Each colour asked for is there, and no other.
        shape: For each group, the shapes of its colour are of its kind.
        number: For each group, there are as many shapes of its colour as asked for.
        relation: The first group lies on the side of the second that was asked for.
        size: For each group whose size is asked for, its shapes have it.
    """

    colour: bool
    shape: bool
    number: bool
    relation: bool | None
    size: bool | None

    def right(self) -> bool:
        """Return whether the picture shows everything."""
        return all(part is not False for part in (self.colour, self.shape, self.number, self.relation, self.size))


def _labels(mask: Tensor) -> Tensor:
    """Return a number for each connected part of a mask `[H, W]`, and zero elsewhere."""
    labels = torch.arange(1, mask.numel() + 1, dtype=torch.float32).view(1, 1, *mask.shape) * mask
    while True:
        grown = nn_functional.max_pool2d(labels, 3, stride=1, padding=1) * mask
        if torch.equal(grown, labels):
            return labels[0, 0].long()
        labels = grown


def _grown(mask: Tensor) -> Tensor:
    return nn_functional.max_pool2d(mask.float()[None, None], 3, stride=1, padding=1)[0, 0] > 0


def read(picture: np.ndarray) -> list[Shape]:
    """Return the shapes in a picture `[side, side, 3]`, uint8, that are at least a sixteenth of its side across."""
    size = picture.shape[0]
    values = torch.from_numpy(np.ascontiguousarray(picture)).float()
    palette = torch.tensor(list(COLOURS.values()), dtype=torch.float32)
    # How far each pixel has gone from white towards the nearest colour of the palette: at least half is inside.
    from_white = 255 - values
    direction = 255 - palette
    along = (from_white @ direction.T) / direction.square().sum(dim=1)
    off = (from_white[:, :, None] - along[..., None].clamp(0, 1) * direction).norm(dim=3)
    best = off.argmin(dim=2)
    inside = along.gather(2, best[..., None])[..., 0] > 0.5
    shapes = []
    labels = _labels(inside)
    for label in labels.unique().tolist():
        if label == 0:
            continue
        part = labels == label
        rows, columns = part.any(dim=1).nonzero()[:, 0], part.any(dim=0).nonzero()[:, 0]
        top, bottom, left, right = (int(v) for v in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
        if max(bottom - top, right - left) < size / 16:
            continue
        mean = values[part]
        # The colour is judged by the pixels deepest inside, which smooth edges do not lighten.
        depth = (255 - mean).norm(dim=1)
        mean = mean[depth >= depth.quantile(0.5)].mean(dim=0)
        colour = list(COLOURS)[int((mean - palette).norm(dim=1).argmin())]
        top, left = max(top - 1, 0), max(left - 1, 0)
        patch = slice(top, bottom + 1), slice(left, right + 1)
        own = _grown(part)[patch] & ((labels[patch] == label) | ~inside[patch])
        covered = along[patch][..., list(COLOURS).index(colour)].clamp(0, 1) * own
        kind, x, y, radius = _kind(covered.numpy())
        shapes.append(Shape(kind, colour, (left + x) / size, (top + y) / size, radius / size))
    return shapes


@functools.cache
def _moments(shape: str) -> tuple[float, float]:
    """Return a shape's area and the height of its centroid for radius 1, by fine sampling."""
    points = (np.arange(1024) + 0.5) / 512 - 1
    inside = _inside(shape, points[None, :], points[:, None])
    return float(inside.mean() * 4), float((inside * points[:, None]).sum() / inside.sum())


def _kind(coverage: np.ndarray) -> tuple[str, float, float, float]:
    """Return the shape that a patch of coverage shows, its centre in pixels of the patch, and its radius in pixels.

    Each shape is drawn with the patch's own area and centroid; the one that differs least is taken.
    """
    height, width = coverage.shape
    rows, columns = (np.arange(side) + 0.5 for side in (height, width))
    area = float(coverage.sum())
    across, down = float((coverage * columns).sum() / area), float((coverage * rows[:, None]).sum() / area)
    best, best_difference, best_place = "", np.inf, (0.0, 0.0, 0.0)
    fine_rows, fine_columns = ((np.arange(side * 4) + 0.5) / 4 for side in (height, width))
    for shape in SHAPES:
        unit_area, unit_height = _moments(shape)
        radius = (area / unit_area) ** 0.5
        y = down - unit_height * radius
        inside = _inside(shape, (fine_columns[None, :] - across) / radius, (fine_rows[:, None] - y) / radius)
        drawn = inside.reshape(height, 4, width, 4).mean(axis=(1, 3))
        difference = float(np.abs(drawn - coverage).sum())
        if difference < best_difference:
            best, best_difference, best_place = shape, difference, (across, y, radius)
    return best, *best_place


def check(picture: np.ndarray, scene: Scene) -> Reading:
    """Compare a picture with the scene it should show.

    Args:
        picture: `[side, side, 3]`, uint8.
        scene: What was asked for.
    """
    shapes = read(picture)
    groups = scene.groups()
    if len(groups) == 2 and groups[0].colour == groups[1].colour:
        members = [[s for s in shapes if s.colour == g.colour and s.shape == g.shape] for g in groups]
        strangers = [s for s in shapes if s.colour == groups[0].colour and s.shape not in {g.shape for g in groups}]
        kinds = not strangers and all(members)
    else:
        members = [[s for s in shapes if s.colour == g.colour] for g in groups]
        kinds = all(m and all(s.shape == g.shape for s in m) for g, m in zip(groups, members, strict=True))
    asked = {group.colour for group in groups}
    sized = [(g, m) for g, m in zip(groups, members, strict=True) if g.size]
    return Reading(
        colour={s.colour for s in shapes} == asked,
        shape=kinds,
        number=all(len(m) == g.number for g, m in zip(groups, members, strict=True)),
        relation=_relation(members, scene.relation) if scene.relation else None,
        size=all(m and all((s.radius > _SIZE_LIMIT) == (g.size == "large") for s in m) for g, m in sized)
        if sized
        else None,
    )


def _relation(members: Sequence[Sequence[Shape]], relation: str) -> bool:
    if not all(members):
        return False
    first, second = (np.array([[s.x, s.y] for s in m]).mean(axis=0) for m in members)
    axis, sign = {"left of": (0, 1), "right of": (0, -1), "above": (1, 1), "below": (1, -1)}[relation]
    along = sign * (second[axis] - first[axis])
    return bool(along > 0 and along > 0.5 * abs(second[1 - axis] - first[1 - axis]))


def without_size(scene: Scene) -> Scene:
    """Return the scene with no size asked for."""
    second = None if scene.second is None else replace(scene.second, size="")
    return Scene(replace(scene.first, size=""), scene.relation, second)
