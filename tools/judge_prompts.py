"""Measures whether the pictures of latent_flow are of what was asked for, beside real pictures and an untrained model.

    python tools/judge_prompts.py emoji --data emoji_styles_64.npz --captions captions.json [--rows 200]
    python tools/judge_prompts.py scenes [--weights scenes] [--rows 1000]

Each prints lines of JSON. `emoji`: features are efficientnet_lite0's deepest, averaged over the picture; a picture
shows what the caption of the real picture nearest in them says. The decoder was trained on earlier layers of the same
network, so these figures favour it; the critics of ganart-text-critic were trained apart, and `r_precision` is theirs:
the share of pictures whose caption a critic ranks first among it and 99 others. `scenes`: the prompts have groups that
training never showed, and the exact checker of `ganart_latent_flow.scenes` reads the pictures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ganart_latent_flow import scenes
from ganart_text_critic.towers import TwoTowers
from torch import Tensor

from ganart_zoo import GanartError, Zoo
from ganart_zoo.contract import Backbone, Condition, Critic, Generator, generator
from ganart_zoo.data.captions import held_out
from ganart_zoo.data.variations import HUES, chroma, held_out_colour, recolour, recoloured_caption
from ganart_zoo.metrics import PooledFeatures, as_saved
from ganart_zoo.tasks.prompt_accuracy import wilson_interval

CATEGORIES = ("Animals & Nature", "Food & Drink", "Smileys & Emotion", "Objects", "Travel & Places", "Activities")
WORDS = {"noto": "noto", "fluent-emoji-flat": "flat", "twemoji": "twemoji", "fluent-emoji-3d": "3d"}
CRITICS = ("text-critic", "text-critic-report")
COLOUR_PAIRS = 50
CHOICES = 100
_BATCH = 50

Paint = Callable[[Sequence[str]], Tensor]


def painter(zoo: Zoo, weights: str | None, config: dict[str, Any], **options: Any) -> Paint:
    """Return a function from prompts to pictures, one seed per prompt."""
    model = zoo.create("ganart-latent-flow/latent_flow", weights=weights, **config)
    assert isinstance(model, Generator)
    chosen = zoo.options("ganart-latent-flow/latent_flow", **options)

    @torch.no_grad()
    def paint(prompts: Sequence[str]) -> Tensor:
        parts = []
        for first in range(0, len(prompts), _BATCH):
            part = prompts[first : first + _BATCH]
            rng = [generator(first + row) for row in range(len(part))]
            condition = Condition(prompts=tuple(part))
            parts.append(model(model.sample_latents(len(part), rng=rng), condition, rng=rng, options=chosen))
        return as_saved(torch.cat(parts))

    return paint


class Emoji:
    """The real pictures with their captions and features."""

    def __init__(self, zoo: Zoo, data: Path, captions: Path) -> None:
        self.known = json.loads(captions.read_text(encoding="utf-8"))
        with np.load(data) as file:
            self.images = torch.from_numpy(file["images"]).permute(0, 3, 1, 2)
            self.caption, self.style = (torch.from_numpy(file[name]).long() for name in ("caption", "style"))
            self.words = [WORDS[str(name)] for name in file["style_names"]]
        backbone = zoo.create("ganart-backbones/efficientnet_lite0")
        assert isinstance(backbone, Backbone)
        self._features = PooledFeatures(backbone)
        self.features = self.of(self.images)

    def of(self, images: Tensor) -> Tensor:
        """Return features of pictures, uint8 or in 0..1."""
        parts = []
        for part in images.split(_BATCH):
            parts.append(self._features(part.float() / 255 if part.dtype == torch.uint8 else part))
        return torch.cat(parts)

    def name(self, row: int) -> str:
        """Return the name of the emoji in a picture."""
        return str(self.known[int(self.caption[row])]["name"])

    def prompt(self, row: int) -> str:
        """Return name and style of a picture."""
        return f"{self.name(row)}, {self.words[int(self.style[row])]}"

    def rows(self, count: int, seed: int, *, unseen: bool = False) -> list[int]:
        """Return rows whose names training showed, or with `unseen` did not."""
        fit = [
            row
            for row in range(len(self.caption))
            if self.known[int(self.caption[row])]["category"] in CATEGORIES and held_out(self.name(row)) == unseen
        ]
        order = torch.randperm(len(fit), generator=generator(seed))[:count]
        return [fit[int(index)] for index in order]

    def accuracy(self, pictures: Tensor, rows: Sequence[int], *, itself: bool = True) -> dict[str, float]:
        """Return how often the nearest real pictures have the caption and style asked for, and how near they are."""
        distances = torch.cdist(self.of(pictures), self.features)
        if not itself:
            distances[torch.arange(len(rows)), torch.tensor(rows)] = torch.inf
        near = distances.argsort(dim=1)[:, :5]
        asked, style = self.caption[torch.tensor(rows)], self.style[torch.tensor(rows)]
        hits = self.caption[near] == asked[:, None]
        return {
            "caption": share(hits[:, 0]),
            "caption_in_5": share(hits.any(dim=1)),
            "style": share(self.style[near[:, 0]] == style),
            "nearest_distance": round(float(distances.amin(dim=1).median()), 2),
        }

    def between_styles(self) -> float:
        """Return the median distance of a real picture to the nearest one of the same caption in another style."""
        distances = torch.cdist(self.features, self.features)
        other = (self.caption[:, None] == self.caption) & (self.style[:, None] != self.style)
        nearest = distances.masked_fill(~other, torch.inf).amin(dim=1)
        return round(float(nearest[nearest.isfinite()].median()), 2)


def share(hits: Tensor) -> float:
    """Return the share of true values."""
    return round(float(hits.float().mean()), 3)


def dominant(pictures: Tensor) -> list[str]:
    """Return the colour word nearest in hue to the mean of a picture's colourful pixels; "" where there are none."""
    names = [name for name in HUES if name != "grey"]
    hues = torch.nn.functional.normalize(torch.tensor([HUES[name] for name in names]) - 0.5, dim=1)
    found = []
    for picture in pictures.flatten(2):
        spread = picture.amax(dim=0) - picture.amin(dim=0)
        if not bool((spread > 0.25).any()):
            found.append("")
            continue
        pixels = picture[:, spread > 0.25].T
        middle = (pixels.amax(dim=1, keepdim=True) + pixels.amin(dim=1, keepdim=True)) / 2
        pure = (pixels - middle) / (pixels.amax(dim=1) - pixels.amin(dim=1))[:, None]
        near = (torch.nn.functional.normalize(pure, dim=1) @ hues.T).argmax(dim=1)
        found.append(names[int(near.bincount(minlength=len(names)).argmax())])
    return found


def colours(real: Emoji, paint: dict[str, Paint]) -> None:
    """Print how often pairs of colour and object that training never showed have the colour and the object."""
    pairs: list[tuple[int, str]] = []
    for row in real.rows(2000, seed=5):
        picture = real.images[row : row + 1].float() / 255
        if float(chroma(picture)) < 0.2:
            continue
        names = [c for c in HUES if c != "grey" and held_out_colour(real.name(row), c)]
        pairs += [(row, colour) for colour in names[:1] if dominant(picture) != [colour]]
    pairs = pairs[:COLOUR_PAIRS]
    rows = [row for row, _ in pairs]
    pictures = {"real, recoloured": torch.cat([recolour(real.images[r : r + 1].float() / 255, c) for r, c in pairs])}
    prompts = [recoloured_caption(real.prompt(row), colour) for row, colour in pairs]
    pictures |= {name: each(prompts) for name, each in paint.items()}
    asked = real.caption[torch.tensor(rows)]
    for name, shown in pictures.items():
        right = torch.tensor([one == colour for one, (_, colour) in zip(dominant(shown), pairs, strict=True)])
        # objects are looked up without their colours, which would outweigh their shapes
        grey = shown.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        if "grey" not in _CACHE:
            _CACHE["grey"] = real.of((real.images.float() / 255).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1))
        near = torch.cdist(real.of(grey), _CACHE["grey"]).argsort(dim=1)[:, :5]
        known = (real.caption[near] == asked[:, None]).any(dim=1)
        report(
            name,
            "colour x object, never trained",
            len(pairs),
            colour=share(right),
            object_in_5=share(known),
            both=share(right & known),
        )


_CACHE: dict[str, Tensor] = {}


def report(model: str, what: str, rows: int, **values: float | list[float]) -> None:
    """Print one line."""
    print(json.dumps({"model": model, "what": what, "rows": rows, **values}), flush=True)


def interval(share_right: float, rows: int) -> list[float]:
    """Return the 95 % interval of a share (Wilson)."""
    low, high = wilson_interval(round(share_right * rows), rows)
    return [round(low, 3), round(high, 3)]


@torch.no_grad()
def votes(critic: Critic, pictures: Tensor, texts: Sequence[str]) -> Tensor:
    """Return votes `[n, m]` of a critic with two towers on all pictures for all texts, but for a sum per picture."""
    assert isinstance(critic, TwoTowers)
    parts = [critic(part, Condition(prompts=texts), contrast=True) for part in pictures.split(_BATCH)]
    text, scale = parts[0].texts, parts[0].scale
    baseline = (scale * text @ critic.picture_bank.T).logsumexp(dim=1)
    return scale * torch.cat([part.pictures for part in parts]) @ text.T - baseline / 2


def r_precision(
    critic: Critic, pictures: Tensor, prompts: Sequence[str], others: Sequence[str]
) -> dict[str, float | list[float]]:
    """Return how often a critic ranks a picture's prompt first among it and 99 others, with a 95 % interval."""
    texts = list(dict.fromkeys([*prompts, *others]))
    places = {text: place for place, text in enumerate(texts)}
    scores = votes(critic, pictures, texts)
    hits = 0
    for row, prompt in enumerate(prompts):
        order = torch.randperm(len(others), generator=generator(row)).tolist()
        wrong = [others[index] for index in order if others[index].split(",")[0] != prompt.split(",")[0]]
        against = scores[row, [places[text] for text in wrong[: CHOICES - 1]]]
        hits += bool(scores[row, places[prompt]] > against.max())
    right = hits / len(prompts)
    return {"r_precision": round(right, 3), "interval": interval(right, len(prompts))}


def emoji(data: Path, captions: Path, weights: str, rows: int, guidance: float) -> None:
    """Print every figure of the emoji."""
    zoo = Zoo()
    real = Emoji(zoo, data, captions)
    config = dict(next(v for v in zoo.spec("ganart-latent-flow/latent_flow").weights if v.name == weights).config)
    paint = {
        weights: painter(zoo, weights, {}, guidance=guidance),
        "untrained": painter(zoo, None, config, guidance=guidance),
    }
    trained, unseen = real.rows(rows, seed=3), real.rows(rows, seed=4, unseen=True)
    sets = {"trained names": trained, "held-out names": unseen}
    critics: dict[str, Critic] = {}
    for name in CRITICS:
        try:
            critic = zoo.create(name)
            assert isinstance(critic, Critic)
            critics[name] = critic
        except GanartError as error:
            print(json.dumps({"critic": name, "missing": str(error)}), flush=True)
    report("real", "distance between styles", len(real.caption), median=real.between_styles())
    for what, chosen in sets.items():
        prompts = [real.prompt(row) for row in chosen]
        others = sorted({real.prompt(row) for row in range(len(real.caption)) if real.style[row] == 0})
        pictures = {"real": real.images[chosen].float() / 255, **{name: each(prompts) for name, each in paint.items()}}
        for name, shown in pictures.items():
            report(name, what, len(chosen), **real.accuracy(shown, chosen, itself=name != "real"))
            for critic_name, critic in critics.items():
                report(name, f"{what}, by {critic_name}", len(chosen), **r_precision(critic, shown, prompts, others))
    colours(real, paint)


def judge_scenes(weights: str, rows: int, guidance: float) -> None:
    """Print how often each part of a scene is right, on scenes with groups that training never showed."""
    zoo = Zoo()
    rng = np.random.default_rng(2026)
    asked = [scenes.random_scene(rng, unseen=True) for _ in range(rows)]
    config = dict(next(v for v in zoo.spec("ganart-latent-flow/latent_flow").weights if v.name == weights).config)
    prompts = [scene.caption() for scene in asked]
    drawn = torch.from_numpy(np.stack([scenes.draw(scene, 64, rng) for scene in asked])).permute(0, 3, 1, 2) / 255
    pictures = {
        "drawn": drawn,
        weights: painter(zoo, weights, {}, guidance=guidance)(prompts),
        "untrained": painter(zoo, None, config, guidance=guidance)(prompts[:100]),
    }
    for name, shown in pictures.items():
        values = (shown * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        readings = [scenes.check(picture, scene) for picture, scene in zip(values, asked, strict=False)]
        parts: dict[str, float | list[float]] = {}
        for part in ("colour", "shape", "number", "relation", "size"):
            known = [value for one in readings if (value := getattr(one, part)) is not None]
            right = sum(known) / len(known)
            parts |= {part: round(right, 3), f"{part}_interval": interval(right, len(known))}
        report(
            name,
            "scenes, groups never trained",
            len(readings),
            **parts,
            all=round(sum(one.right() for one in readings) / len(readings), 3),
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure emoji or scenes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, rows in (("emoji", 200), ("scenes", 1000)):
        command = verbs.add_parser(verb)
        command.add_argument("--weights", default=verb)
        command.add_argument("--rows", type=int, default=rows, help="Prompts.")
        command.add_argument("--guidance", type=float, default=2.0)
        if verb == "emoji":
            command.add_argument("--data", type=Path, required=True)
            command.add_argument("--captions", type=Path, required=True)
    asked = parser.parse_args(arguments)
    if asked.verb == "emoji":
        emoji(asked.data, asked.captions, asked.weights, asked.rows, asked.guidance)
    else:
        judge_scenes(asked.weights, asked.rows, asked.guidance)


if __name__ == "__main__":
    main()
