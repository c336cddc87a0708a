"""Makes the strips of docs/gallery.md: one photo, and what each setting worth turning does to it.

    python tools/make_gallery.py docs/gallery [--only alpha] [--paintings FOLDER]

The photo is scikit-image's `chelsea` (CC0). Styles are paintings in the public domain, from a folder of
`style_*.jpg`; without the folder, pictures that tools/draw_styles.py draws.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganart_zoo import Zoo, native
from ganart_zoo.contract import Condition, Style, generator
from ganart_zoo.imaging import from_pil, load, resize, save, to_grid

sys.path.insert(0, str(Path(__file__).parent))
import draw_styles

_SIDE = 208
_QUALITY = 86
_LONGEST_ROW = 6


class Gallery:
    """Makes strips, each with the models it needs.

    Args:
        zoo: Where models come from.
        styles: Pictures by name.
        photo: `[1, 3, H, W]`.
    """

    def __init__(self, zoo: Zoo, styles: Mapping[str, Tensor], photo: Tensor) -> None:
        self.zoo = zoo
        self.styles = dict(styles)
        self.photo = photo
        self.first, self.second = (Style(image=picture) for picture in list(self.styles.values())[:2])

    def adain(self, *styles: Style, photo: Tensor | None = None, **options: object) -> Tensor:
        """Return the photo restyled in one pass."""
        model = self.zoo.create("adain")
        return model.stylize(
            self.photo if photo is None else photo, styles or [self.first], options=self.zoo.options("adain", **options)
        )

    def before_and_after(self) -> dict[str, Tensor]:
        """The photo, the style, one pass, and optimisation."""
        steps = self.zoo.options("gatys", steps=100)
        return {
            "photo": self.photo,
            "style": self.first.image if self.first.image is not None else self.photo,
            "adain, one pass": self.adain(),
            "gatys, 100 steps": self.zoo.create("gatys").stylize(self.photo, [self.first], options=steps),
        }

    def any_style(self) -> dict[str, Tensor]:
        """One photo in several styles by `adain`."""
        return {name.replace("_", " "): self.adain(Style(image=picture)) for name, picture in self.styles.items()}

    def twelve(self) -> dict[str, Tensor]:
        """One photo in the learned styles of `multistyle`."""
        model = self.zoo.create("multistyle")
        return {name.replace("_", " "): model.stylize(self.photo, [Style(name=name)]) for name in model.style_names}

    def patches(self) -> dict[str, Tensor]:
        """Pictures made of the patches of one picture, in rows of four."""
        first, second, third = (resize(picture, 256).clamp(0, 1) for picture in list(self.styles.values())[:3])
        brick, astronaut = (resize(_scikit(name), 256).clamp(0, 1) for name in ("brick", "astronaut"))
        wide = f"{2 * second.shape[3]}x{second.shape[2]}"
        painted = self.zoo.create("patch_style").stylize(astronaut, [Style(image=second)], rng=generator(1))
        return {
            "a painting": first,
            "variation": self.patched(first, 1),
            "another": self.patched(first, 2),
            "start=noise": self.patched(first, 1, start="noise"),
            "second painting": second,
            "its variation": self.patched(second, 1),
            "twice as wide, noise=0": self.patched(second, 1, size=wide, noise=0),
            "photo, patch_style": painted,
            "a texture": brick,
            "more of it, start=noise": self.patched(brick, 1, start="noise", size="320x320"),
            "third painting": third,
            "its start=noise": self.patched(third, 1, start="noise"),
        }

    def patched(self, reference: Tensor, seed: int, **options: object) -> Tensor:
        """Return a picture made of the patches of `reference`."""
        model, chosen, draws = self.zoo.create("patches"), self.zoo.options("patches", **options), [generator(seed)]
        latents = model.sample_latents(1, rng=draws, options=chosen)
        return model(latents, Condition(images=reference), rng=draws, options=chosen)

    def alpha(self) -> dict[str, Tensor]:
        """Strength of the style."""
        return {f"alpha={value:g}": self.adain(alpha=value) for value in (0, 0.25, 0.5, 0.75, 1)}

    def style_scale(self) -> dict[str, Tensor]:
        """Size of the strokes."""
        return {f"style_scale={value:g}": self.adain(style_scale=value) for value in (0.3, 0.6, 1, 1.6, 2.5)}

    def preserve_colour(self) -> dict[str, Tensor]:
        """Whose colours the result has."""
        return {f"preserve_colour={how}": self.adain(preserve_colour=how) for how in ("off", "luminance", "histogram")}

    def blend(self) -> dict[str, Tensor]:
        """Two styles by weight."""
        shares = ((1, 0), (3, 1), (1, 1), (1, 3), (0, 1))
        return {
            f"{one}:{other}": self.adain(
                Style(image=self.first.image, weight=one), Style(image=self.second.image, weight=other)
            )
            for one, other in shares
        }

    def regions(self) -> dict[str, Tensor]:
        """Two styles, each in its region."""
        height, width = self.photo.shape[-2:]
        middle = (torch.linspace(4, -4, width) + 0.5).clamp(0, 1).expand(1, 1, height, width)
        one, other = self.first.image, self.second.image
        return {
            "photo": self.photo,
            "region of the first": middle.expand(-1, 3, -1, -1),
            "both": self.adain(Style(image=one, region=middle), Style(image=other, region=1 - middle)),
        }

    def size(self) -> dict[str, Tensor]:
        """The size at which the photo is painted; shown at one size."""
        whole = from_pil(_chelsea())
        return {f"--size {side}": self.adain(photo=resize(whole, side).clamp(0, 1)) for side in (128, 208, 320, 448)}

    def content_weight(self) -> dict[str, Tensor]:
        """How much of the photo `gatys` keeps."""
        gatys = self.zoo.create("gatys")
        return {
            f"content_weight={value:g}": gatys.stylize(
                self.photo, [self.first], options=self.zoo.options("gatys", steps=100, content_weight=value)
            )
            for value in (0.05, 0.2, 1)
        }


STRIPS: dict[str, Callable[[Gallery], dict[str, Tensor]]] = {
    "before_and_after": Gallery.before_and_after,
    "any_style": Gallery.any_style,
    "twelve": Gallery.twelve,
    "alpha": Gallery.alpha,
    "style_scale": Gallery.style_scale,
    "preserve_colour": Gallery.preserve_colour,
    "blend": Gallery.blend,
    "regions": Gallery.regions,
    "size": Gallery.size,
    "content_weight": Gallery.content_weight,
    "patches": Gallery.patches,
}


def _chelsea() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.chelsea())


def _scikit(name: str) -> Tensor:
    from skimage import data

    return from_pil(Image.fromarray(getattr(data, name)()))


def _styles(folder: Path | None) -> dict[str, Tensor]:
    files = [] if folder is None else sorted(folder.glob("style_*.jpg"))
    named = {file.stem.removeprefix("style_"): load(file, size=600) for file in files}
    drawn = {name: from_pil(draw_styles.draw(name, 384)) for name in draw_styles.STYLES}
    if not named:
        return drawn
    return {**named, "stained_glass": drawn["stained_glass"]}


def main() -> None:
    """Make them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--paintings", type=Path, help="A folder with style_*.jpg.")
    parser.add_argument("--only", choices=sorted(STRIPS), action="append", help="Make this strip. Repeatable.")
    arguments = parser.parse_args()
    native.tune_allocator()
    photo = resize(from_pil(_chelsea()), 320).clamp(0, 1)
    gallery = Gallery(Zoo(), _styles(arguments.paintings), photo)
    for name in arguments.only or STRIPS:
        with torch.no_grad():
            pictures = STRIPS[name](gallery)
        shown = [resize(picture.clamp(0, 1), _SIDE).clamp(0, 1) for picture in pictures.values()]
        columns = 4 if len(shown) > _LONGEST_ROW else None
        sheet = to_grid(shown, columns=columns, captions=list(pictures), padding=4)
        save(sheet, arguments.folder / f"{name}.jpg", quality=_QUALITY)


if __name__ == "__main__":
    main()
