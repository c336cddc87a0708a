"""How good one pass is beside optimisation: losses of models that restyle at once, divided by those of gatys.

    python benchmarks/style_quality.py --photo a.jpg --photo b.jpg --styles paintings/ -m multistyle -m adain

Every picture is judged by the loss that gatys lowers, at its default weights: content 0.2, style 1, total variation 2.
A style is named after its file, and used at the photo's area. Gatys' pictures are kept in --gatys and not made twice.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganart_zoo import Zoo, native
from ganart_zoo.contract import Backbone, Style
from ganart_zoo.imaging import load, resize, save
from ganart_zoo.perceptual import ContentTarget, GramTarget, total_variation, with_margin

_WEIGHTS = {"content": 0.2, "style": 1.0, "variation": 2.0}
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


class Judge:
    """Computes the losses of pictures of one photo in one style.

    Args:
        backbone: Whose features are content and style.
        photo: `[1, 3, H, W]`.
        style: `[1, 3, h, w]`, scaled down to the photo's area here.
    """

    def __init__(self, backbone: Backbone, photo: Tensor, style: Tensor) -> None:
        self._backbone = backbone
        area, own = photo[0, 0].numel(), style[0, 0].numel()
        if own > area:
            height, width = (round(side * (area / own) ** 0.5) for side in style.shape[-2:])
            style = resize(style, (height, width)).clamp(0, 1)
        self._style_layers, self._content_layers = backbone.role_layers("style"), backbone.role_layers("content")
        self._styles = {name: GramTarget.of(each) for name, each in self._seen(style, self._style_layers).items()}
        seen = self._seen(photo, self._content_layers)
        self._contents = {name: ContentTarget(features) for name, features in seen.items()}

    def __call__(self, picture: Tensor) -> dict[str, float]:
        """Return `content`, `style`, `variation` and their weighted sum `total`."""
        seen = self._seen(picture, tuple(dict.fromkeys((*self._style_layers, *self._content_layers))))
        losses = {
            "content": statistics.fmean(float(each.loss(seen[name])) for name, each in self._contents.items()),
            "style": statistics.fmean(float(each.loss(seen[name])) for name, each in self._styles.items()),
            "variation": float(total_variation(picture)),
        }
        return losses | {"total": sum(weight * losses[name] for name, weight in _WEIGHTS.items())}

    def _seen(self, picture: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        return self._backbone(with_margin(picture), layers)


def judged(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yield the losses of each picture."""
    zoo = Zoo()
    backbone, gatys = zoo.create("efficientnet_lite0"), zoo.create("gatys")
    models = {name: zoo.create(Path(name) if Path(name).exists() else name) for name in arguments.model}
    options = zoo.options("gatys", steps=arguments.iterations)
    files = sorted(path for path in arguments.styles.iterdir() if path.suffix.lower() in _SUFFIXES)
    arguments.gatys.mkdir(parents=True, exist_ok=True)
    for photo_file in arguments.photo:
        photo = load(photo_file, size=arguments.size)
        for style_file in files:
            style, kept = load(style_file), arguments.gatys / f"{photo_file.stem}-{style_file.stem}.png"
            if not kept.exists():
                save(gatys.stylize(photo, [Style(image=style)], options=options), kept)
            judge = Judge(backbone, photo, style)
            pictures = {"photo": photo, "gatys": load(kept)}
            seconds = {}
            for name, model in models.items():
                known = style_file.stem in model.style_names
                if model.style_names and not known:
                    continue
                asked = Style(name=style_file.stem) if known else Style(image=style)
                start = time.process_time()
                pictures[name] = model.stylize(photo, [asked]).clamp(0, 1)
                seconds[name] = time.process_time() - start
            for name, picture in pictures.items():
                yield {
                    "photo": photo_file.stem,
                    "painting": style_file.stem,
                    "model": name,
                    "cpu_seconds": seconds.get(name),
                    **judge(picture),
                }


def main() -> None:
    """Print the mean losses of each model, and their mean ratios to those of gatys."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, action="append", required=True)
    parser.add_argument("--styles", type=Path, required=True, help="A folder of style pictures.")
    parser.add_argument("-m", "--model", action="append", default=[], help="A model, or a run. Repeatable.")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--gatys", type=Path, default=Path("build/gatys"), help="Keeps its pictures.")
    parser.add_argument("--json", type=Path, help="Save every loss.")
    arguments = parser.parse_args()
    native.tune_allocator()
    with torch.no_grad():
        rows = list(judged(arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    best = {(row["photo"], row["painting"]): row for row in rows if row["model"] == "gatys"}
    terms = ("content", "style", "total")
    for model in dict.fromkeys(str(row["model"]) for row in rows):
        own = [row for row in rows if row["model"] == model]
        means = "  ".join(f"{term} {statistics.fmean(_number(row[term]) for row in own):.3f}" for term in terms)
        pairs = [(row, best[row["photo"], row["painting"]]) for row in own]
        shares = {term: statistics.fmean(_number(one[term]) / _number(of[term]) for one, of in pairs) for term in terms}
        ratios = "  ".join(f"{term} {share:.2f}" for term, share in shares.items())
        print(f"{model:24} {len(own):3} pictures  {means}   / gatys: {ratios}")


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


if __name__ == "__main__":
    main()
