"""Makes the pictures and captions that the shipped text-to-picture models learn from.

    python tools/make_training_pictures.py emoji FOLDER [--size 64] [--count N] [--packages DIR]
    python tools/make_training_pictures.py scenes FOLDER [--size 64] [--count 120000] [--seed 77]

`emoji` installs six npm packages into DIR, renders their drawings on white, and writes `emoji_styles_SIZE.npz`
(`images`, `caption`, `style`, `style_names`), `captions.json`, and `emoji_styles_SIZE/` for `ganart train`: pictures
and a `metadata.jsonl`, without the tenth of the names that is held out for evaluation. It needs `node` and `npm`.
`--count` takes so many emoji, spread over all. `scenes` draws from the grammar of ganart-latent-flow, and writes such
a folder too. Nothing that it writes belongs in the repository: the emoji have licences of their own (Noto: Apache-2.0;
Fluent: MIT; Twemoji: CC BY 4.0, © Twitter, Inc. and other contributors).
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ganart_latent_flow import scenes
from PIL import Image

from ganart_zoo.data.captions import held_out

STYLES = {"noto": "noto", "fluent-emoji-flat": "flat", "twemoji": "twemoji", "fluent-emoji-3d": "3d"}
"""Names of the drawings, and the words for them in captions."""
_VECTORS = ("noto", "fluent-emoji-flat", "twemoji")
_PACKAGES = (
    *(f"@iconify-json/{name}" for name in _VECTORS),
    "@lobehub/fluent-emoji-3d",
    "@resvg/resvg-js",
    "emojibase-data",
)
_RENDERED_AT_ONCE = 300
"""The renderer frees no memory before it ends."""
_RENDER = """
import { Resvg } from '@resvg/resvg-js';
import { readFileSync, writeFileSync } from 'node:fs';
const [list, size] = process.argv.slice(2);
const sets = {};
for (const { set, icon, path } of JSON.parse(readFileSync(list))) {
  sets[set] ??= JSON.parse(readFileSync(`node_modules/@iconify-json/${set}/icons.json`));
  const { icons, aliases, width, height } = sets[set];
  const { body, ...own } = icons[icon] ?? icons[aliases[icon].parent];
  const box = `${own.left ?? 0} ${own.top ?? 0} ${own.width ?? width} ${own.height ?? height ?? width}`;
  const spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';
  const svg = `<svg ${spaces} viewBox="${box}">${body}</svg>`;
  const drawn = new Resvg(svg, { background: 'white', fitTo: { mode: 'width', value: Number(size) } }).render();
  writeFileSync(path, drawn.asPng());
}
"""


def install(packages: Path) -> None:
    """Install the npm packages where they are not yet."""
    packages.mkdir(parents=True, exist_ok=True)
    if all((packages / "node_modules" / name).is_dir() for name in _PACKAGES):
        return
    if not (packages / "package.json").is_file():
        (packages / "package.json").write_text('{"private": true}', encoding="utf-8")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", *_PACKAGES], cwd=packages, check=True)


def captions(packages: Path) -> list[dict[str, Any]]:
    """Return code, name, tags, category and subcategory of each emoji that Noto draws, in the order of Unicode."""
    language = packages / "node_modules/emojibase-data/en"
    messages = json.loads((language / "messages.json").read_text(encoding="utf-8"))
    groups = {group["order"]: group["message"] for group in messages["groups"]}
    subgroups = {group["order"]: group["message"] for group in messages["subgroups"]}
    drawn = _icons(packages, "noto")
    return [
        {
            "code": emoji["hexcode"],
            "name": emoji["label"],
            "tags": emoji.get("tags", []),
            "category": groups[emoji["group"]],
            "subcategory": subgroups[emoji["subgroup"]],
        }
        for emoji in json.loads((language / "data.json").read_text(encoding="utf-8"))
        if "group" in emoji and _key(emoji["hexcode"]) in drawn
    ]


def _key(code: str) -> str:
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def _icons(packages: Path, name: str) -> dict[str, str]:
    characters = json.loads((packages / f"node_modules/@iconify-json/{name}/chars.json").read_text(encoding="utf-8"))
    return {_key(code): icon for code, icon in characters.items()}


def emoji(folder: Path, size: int, packages: Path, count: int | None = None) -> int:
    """Write the emoji, or `count` of them, spread over all; return how many pictures."""
    install(packages)
    known = captions(packages)
    if count is not None:
        known = [known[number * len(known) // count] for number in range(min(count, len(known)))]
    rendered = packages / f"rendered-{size}"
    rendered.mkdir(exist_ok=True)
    jobs: list[dict[str, str]] = []
    paths: list[tuple[int, int, Path]] = []
    for style, name in enumerate(STYLES):
        if name in _VECTORS:
            icons = _icons(packages, name)
            for row, caption in enumerate(known):
                if icon := icons.get(_key(caption["code"])):
                    path = rendered / f"{name}-{_key(caption['code'])}.png"
                    jobs.append({"set": name, "icon": icon, "path": str(path.resolve())})
                    paths.append((row, style, path))
        else:
            assets = packages / "node_modules/@lobehub/fluent-emoji-3d/assets"
            files = {_key(path.stem): path for path in assets.glob("*.webp")}
            paths += [(row, style, files[key]) for row, c in enumerate(known) if (key := _key(c["code"])) in files]
    (packages / "render.mjs").write_text(_RENDER, encoding="utf-8")
    jobs = [job for job in jobs if not Path(job["path"]).is_file()]
    for first in range(0, len(jobs), _RENDERED_AT_ONCE):
        part = jobs[first : first + _RENDERED_AT_ONCE]
        (packages / "jobs.json").write_text(json.dumps(part), encoding="utf-8")
        subprocess.run(["node", "render.mjs", "jobs.json", str(size)], cwd=packages, check=True)
    folder.mkdir(parents=True, exist_ok=True)
    images = np.stack([_on_white(path, size) for _, _, path in paths])
    words = list(STYLES.values())
    np.savez_compressed(
        folder / f"emoji_styles_{size}.npz",
        images=images,
        caption=np.array([row for row, _, _ in paths]),
        style=np.array([style for _, style, _ in paths]),
        style_names=np.array(list(STYLES)),
    )
    (folder / "captions.json").write_text(json.dumps(known, ensure_ascii=False, indent=1), encoding="utf-8")
    pairs = [
        (image, f"{known[row]['name']}, {words[style]}")
        for image, (row, style, _) in zip(images, paths, strict=True)
        if not held_out(known[row]["name"])
    ]
    return write_folder(folder / f"emoji_styles_{size}", pairs)


def _on_white(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as file:
        drawn = file.convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    flat = Image.alpha_composite(white, drawn).convert("RGB")
    return np.asarray(flat.resize((size, size), Image.Resampling.LANCZOS))


def draw_scenes(folder: Path, size: int, count: int, seed: int) -> int:
    """Write drawn scenes, none of a group that is held out; return how many."""
    rng = np.random.default_rng(seed)

    def drawn() -> Iterator[tuple[np.ndarray, str]]:
        for _ in range(count):
            scene = scenes.random_scene(rng)
            yield scenes.draw(scene, size, rng), scene.caption()

    return write_folder(folder, drawn())


def write_folder(folder: Path, pictures: Iterable[tuple[np.ndarray, str]]) -> int:
    """Write numbered pictures and their captions as `ganart train` reads them; return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (picture, text) in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:05}.png")
        lines.append(json.dumps({"file_name": f"{number:05}.png", "text": text}, ensure_ascii=False))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make emoji or scenes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("emoji", "scenes"):
        command = verbs.add_parser(verb)
        command.add_argument("folder", type=Path)
        command.add_argument("--size", type=int, default=64, help="Side in pixels.")
        if verb == "emoji":
            command.add_argument("--count", type=int, help="Emoji to take; all, if not given.")
            command.add_argument("--packages", type=Path, default=Path("build/npm"), help="Where npm installs.")
        else:
            command.add_argument("--count", type=int, default=120_000)
            command.add_argument("--seed", type=int, default=77)
    asked = parser.parse_args(arguments)
    if asked.verb == "emoji":
        print(f"{emoji(asked.folder, asked.size, asked.packages, asked.count)} pictures")
    else:
        print(f"{draw_scenes(asked.folder, asked.size, asked.count, asked.seed)} pictures")


if __name__ == "__main__":
    main()
