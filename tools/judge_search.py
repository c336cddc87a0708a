"""Measures whether the search of `ganart imagine` earns its keep, and draws the figures of docs/imagine.md.

    python tools/judge_search.py emoji --data emoji_styles_64.npz --captions captions.json --cache DIR -o FIGURES.json
    python tools/judge_search.py scenes --cache DIR -o FIGURES.json
    python tools/judge_search.py figure --cache DIR --figures FIGURES.json -o search.png

`text-critic` chooses; `text-critic-report`, another network of other training, judges what was chosen and never
chooses. `emoji`: the score of the best of N proposals, of refined pictures beside as many proposals and beside
proposals for as many CPU seconds (one thread), and how often the nearest real picture is what was asked for. `scenes`:
the exact checker of `ganart_latent_flow.scenes` reads the best of N, on groups that training never showed; it never
chooses either. Pictures are kept in `--cache`, so a run that was stopped goes on, and other critics cost little.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ganart_latent_flow import scenes
from ganart_text_critic.towers import TwoTowers
from judge_prompts import Emoji, r_precision
from torch import Tensor

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, Generator, generator
from ganart_zoo.contract.events import StepEvent
from ganart_zoo.metrics import as_saved
from ganart_zoo.running.generators import LoadedGenerator
from ganart_zoo.running.panel import CriticChoice, load_critics
from ganart_zoo.tasks.imagine import imagine

GENERATOR, CHOOSES, REPORTS = "ganart-latent-flow/latent_flow", "text-critic", "text-critic-report"
COUNTS = (1, 2, 4, 8, 16, 32, 64)
FIRST = 16
"""Proposals before refining, as `imagine` has by default."""
METHODS = ("gradient", "cma", "resample")
_BATCH = 16


class Judge:
    """The generator, the two critics, and pictures that are painted once.

    Args:
        weights: Of the generator.
        cache: A folder for what was painted.
    """

    def __init__(self, weights: str, cache: Path) -> None:
        torch.set_num_threads(1)
        cache.mkdir(parents=True, exist_ok=True)
        self.zoo, self.weights, self.cache = Zoo(), weights, cache
        self.loaded = LoadedGenerator.load(self.zoo, GENERATOR, weights=weights)
        self.model = self.loaded.model
        assert isinstance(self.model, Generator)
        self.choice = load_critics(self.zoo, [CriticChoice(CHOOSES)], device="cpu", fetch=False)
        chooser = self.choice[0].loaded
        assert chooser is not None
        assert chooser.model.provenance is not None
        self._chooser = _hash(json.dumps(chooser.model.provenance.to_json()))
        self.critics: dict[str, TwoTowers] = {}
        for name in (CHOOSES, REPORTS):
            critic = self.zoo.create(name)
            assert isinstance(critic, TwoTowers)
            self.critics[name] = critic

    @torch.no_grad()
    def proposals(self, prompt: str, count: int) -> Tensor:
        """Return the pictures `[count, 3, H, W]` of seeds 0 to count - 1, as `imagine` proposes them."""
        file = self.cache / f"{self.weights}-{_hash(prompt)}.npz"
        values = torch.zeros(0, 3, 64, 64, dtype=torch.uint8)
        if file.exists():
            with np.load(file) as saved:
                values = torch.from_numpy(saved["pictures"])
        if len(values) < count:
            parts = [values]
            condition = self.model.embed(Condition(prompts=(prompt,)))
            for first in range(len(values), count, _BATCH):
                rng = [generator(seed) for seed in range(first, min(first + _BATCH, count))]
                latents = self.model.sample_latents(len(rng), rng=rng, options=self.loaded.options)
                images = self.model(latents, condition, rng=rng, options=self.loaded.options)
                parts.append((as_saved(images) * 255).round().to(torch.uint8))
            values = torch.cat(parts)
            np.savez(file, pictures=values.numpy())
        return values[:count].float() / 255

    @torch.no_grad()
    def score(self, critic: str, images: Tensor, prompt: str) -> Tensor:
        """Return a critic's scores `[n]`."""
        return self.critics[critic].score(images, Condition(prompts=(prompt,)))

    def refined(self, prompt: str, method: str, budget: int) -> dict[str, Any]:
        """Return the scores of what `imagine` finds with a budget, its CPU seconds, and its picture's file."""
        file = self.cache / f"{self.weights}-{_hash(prompt)}-{method}-{budget}-{self._chooser}.json"
        picture = file.with_suffix(".npy")
        if not file.exists():
            began = time.process_time()
            arguments: Any = {"count": FIRST, "keep": 1, "budget": budget, "refine": method}
            found = imagine(self.zoo, [prompt], model=self.loaded, critics=self.choice, **arguments)
            seconds = time.process_time() - began
            np.save(picture, (found.results[0].image * 255).round().to(torch.uint8).numpy())
            file.write_text(json.dumps({"seconds": seconds, "seed": found.results[0].seed}))
        image = torch.from_numpy(np.load(picture)).float() / 255
        values: dict[str, Any] = json.loads(file.read_text())
        return values | {name: float(self.score(name, image, prompt)) for name in self.critics}

    def time_proposals(self, prompt: str) -> float:
        """Return the CPU seconds of one proposal of `imagine`, painted and scored in batches."""
        arguments: Any = {"count": 4 * _BATCH, "keep": 1, "refine": "none"}
        imagine(self.zoo, [prompt], model=self.loaded, critics=self.choice, count=1)
        began = time.process_time()
        imagine(self.zoo, [prompt], model=self.loaded, critics=self.choice, **arguments)
        return (time.process_time() - began) / (4 * _BATCH)


class LateEmoji(Emoji):
    """Real pictures whose features, which take a minute, are computed once they are needed, and kept in a file."""

    def __init__(self, zoo: Zoo, data: Path, captions: Path, cache: Path) -> None:
        self._file, self._needed = cache / "features.npz", False
        super().__init__(zoo, data, captions)

    def of(self, images: Tensor) -> Tensor:
        """Return features of pictures, uint8 or in 0..1; nothing for all real ones until they are needed."""
        if images is self.images and not self._needed:
            return torch.zeros(0)
        return super().of(images)

    def need(self) -> None:
        """Load or compute the features of the real pictures."""
        self._needed = True
        if self._file.exists():
            with np.load(self._file) as saved:
                self.features = torch.from_numpy(saved["features"])
        else:
            self.features = self.of(self.images)
            np.savez(self._file, features=self.features.numpy())


def _hash(prompt: str) -> str:
    return hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()


def mean(values: Sequence[float]) -> dict[str, float]:
    """Return the mean and half the width of its 95 % interval."""
    array = np.array(values, dtype=float)
    half = 1.96 * float(array.std(ddof=1)) / math.sqrt(len(array)) if len(array) > 1 else math.nan
    return {"mean": round(float(array.mean()), 3), "half": round(half, 3)}


def best_of(judge: Judge, prompts: Sequence[str], counts: Sequence[int], deep: int) -> dict[str, Any]:
    """Return for each number of proposals the scores of the one that is chosen.

    Args:
        deep: More than 16 proposals are painted for the first so many prompts.
    """
    rows: dict[int, dict[str, list[float]]] = {n: {CHOOSES: [], REPORTS: []} for n in counts}
    for number, prompt in enumerate(prompts):
        fit = [n for n in counts if n <= FIRST or number < deep]
        images = judge.proposals(prompt, max(fit))
        scores = {name: judge.score(name, images, prompt) for name in judge.critics}
        for n in fit:
            best = int(scores[CHOOSES][:n].argmax())
            for name in judge.critics:
                rows[n][name].append(float(scores[name][best]))
        _progress("proposals", number, len(prompts))
    return {
        str(n): {"prompts": len(of[REPORTS]), **{name: mean(values) for name, values in of.items()}}
        | {"gain over 1": {name: mean([a - b for a, b in zip(of[name], rows[1][name], strict=False)]) for name in of}}
        for n, of in rows.items()
    }


def refining(judge: Judge, prompts: Sequence[str], methods: Sequence[str], budget: int, most: int) -> dict[str, Any]:
    """Return the scores of refined pictures, and of proposals for as many evaluations and as many CPU seconds.

    Args:
        budget: Evaluations, the 16 proposals among them.
        most: Proposals for as many CPU seconds are at most these.
    """
    each = judge.time_proposals(prompts[0])
    found: dict[str, Any] = {"prompts": len(prompts), "budget": budget, "CPU seconds per proposal": round(each, 4)}
    for method in methods:
        rows: list[dict[str, Any]] = []
        for number, prompt in enumerate(prompts):
            rows.append(judge.refined(prompt, method, budget))
            _progress(method, number, len(prompts))
        seconds = float(np.mean([row["seconds"] for row in rows]))
        equal = {"evaluations": budget, "CPU seconds": min(most, round(seconds / each))}
        found[method] = {
            "CPU seconds": round(seconds, 2),
            **{name: mean([row[name] for row in rows]) for name in judge.critics},
        }
        for what, count in equal.items():
            gains: dict[str, list[float]] = {name: [] for name in judge.critics}
            for row, prompt in zip(rows, prompts, strict=True):
                images = judge.proposals(prompt, count)
                best = int(judge.score(CHOOSES, images, prompt).argmax())
                for name in judge.critics:
                    gains[name].append(row[name] - float(judge.score(name, images[best : best + 1], prompt)))
            found[method][f"gain over random search of equal {what}"] = {
                "proposals": count,
                **{name: mean(values) for name, values in gains.items()},
            }
    return found


def judge_emoji(judge: Judge, real: LateEmoji, asked: argparse.Namespace) -> dict[str, Any]:
    """Return every figure of the emoji."""
    rows = real.rows(asked.rows, seed=3)
    prompts = [real.prompt(row) for row in rows]
    found: dict[str, Any] = {"model": GENERATOR, "weights": judge.weights, "threads": 1}
    few = prompts[: asked.prompts]
    found["best of N"] = {"prompts": len(few), **best_of(judge, few, COUNTS, asked.deep)}
    _write(asked.output, found)
    found["refining"] = refining(judge, prompts[: asked.refined], asked.methods, asked.budget, asked.most)
    _write(asked.output, found)
    real.need()
    others = sorted({real.prompt(row) for row in range(len(real.caption)) if real.style[row] == 0})
    for n in (1, FIRST):
        chosen = []
        for number, prompt in enumerate(prompts):
            images = judge.proposals(prompt, n)
            chosen.append(images[int(judge.score(CHOOSES, images, prompt).argmax())])
            _progress(f"chosen from {n}", number, len(prompts))
        shown = torch.stack(chosen)
        found[f"chosen from {n}"] = {
            "prompts": len(prompts),
            **real.accuracy(shown, rows),
            **{name: r_precision(critic, shown, prompts, others) for name, critic in judge.critics.items()},
        }
    pictures = real.images[rows].float() / 255
    found["real"] = {
        "prompts": len(prompts),
        **real.accuracy(pictures, rows, itself=False),
        **{name: r_precision(critic, pictures, prompts, others) for name, critic in judge.critics.items()},
        "distance between styles": real.between_styles(),
    }
    return found


def judge_scenes(judge: Judge, asked: argparse.Namespace) -> dict[str, Any]:
    """Return how often each part of a scene is right, for one proposal and the best of 16."""
    rng = np.random.default_rng(2026)
    wanted = [scenes.random_scene(rng, unseen=True) for _ in range(asked.rows)]
    parts = ("colour", "shape", "number", "relation", "size")
    found: dict[str, Any] = {"model": GENERATOR, "weights": judge.weights, "prompts": len(wanted), "threads": 1}
    readings: dict[int, list[scenes.Reading]] = {1: [], FIRST: []}
    reached = []
    for number, scene in enumerate(wanted):
        prompt = scene.caption()
        images = judge.proposals(prompt, FIRST)
        values = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        best = int(judge.score(CHOOSES, images, prompt).argmax())
        readings[1].append(scenes.check(values[0], scene))
        readings[FIRST].append(scenes.check(values[best], scene))
        if asked.ceiling:
            reached.append(any(scenes.check(value, scene).right() for value in values))
        _progress("scenes", number, len(wanted))
    for n, of in readings.items():
        shares: dict[str, float] = {}
        for part in parts:
            known = [value for one in of if (value := getattr(one, part)) is not None]
            shares[part] = round(sum(known) / len(known), 3)
        found[f"best of {n}"] = {**shares, "all": round(sum(one.right() for one in of) / len(of), 3)}
    if reached:
        found["all right in any of 16"] = round(sum(reached) / len(reached), 3)
    return found


def figure(judge: Judge, figures: Mapping[str, Any], output: Path, prompt: str) -> None:
    """Draw proposals with their scores, steps of refining the best, and the curve of the best of N."""
    from matplotlib.figure import Figure

    images = judge.proposals(prompt, 8)
    scores = judge.score(CHOOSES, images, prompt)
    steps: list[tuple[int, float, Tensor]] = []

    def on_step(event: StepEvent) -> None:
        best = event.losses.get("best")
        if best is not None and event.step >= 8 and (not steps or best > steps[-1][1]):
            steps.append((event.step, best, event.preview().clone()))

    arguments: Any = {"count": 8, "keep": 1, "budget": 8 + 48, "on_step": on_step}
    imagine(judge.zoo, [prompt], model=judge.loaded, critics=judge.choice, **arguments)
    shown = [steps[round(k * (len(steps) - 1) / 7)] for k in range(8)] if len(steps) >= 8 else steps
    canvas = Figure(figsize=(11, 6.4), layout="constrained")
    parts: Any = canvas.subfigures(2, 1, height_ratios=(2.2, 1.6))
    top, bottom = parts
    grid = top.subplots(2, 8)
    best = int(scores.argmax())
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.axis("off")
    for column in range(8):
        axes = grid[0, column]
        axes.imshow(images[column].permute(1, 2, 0).numpy())
        weight = "bold" if column == best else "normal"
        axes.set_title(f"seed {column}: {float(scores[column]):.2f}", fontsize=9, weight=weight)
        if column < len(shown):
            step, score, picture = shown[column]
            grid[1, column].imshow(picture[0].permute(1, 2, 0).clamp(0, 1).numpy())
            grid[1, column].set_title(f"{step} scored: {score:.2f}", fontsize=9)
    top.suptitle(f'"{prompt}": eight proposals with their scores, and the best one refined', fontsize=11)
    curve = figures["best of N"]
    refined = "refining" in figures
    panels = bottom.subplots(1, 2 if refined else 1, squeeze=False)[0]
    left = panels[0]
    counts = [int(n) for n in curve if n.isdigit()]
    deepest = curve[str(counts[-1])]["prompts"]
    for name, label in ((CHOOSES, "the critic that chooses"), (REPORTS, "the critic that does not")):
        gains = [curve[str(n)]["gain over 1"][name] for n in counts]
        means, halves = ([gain[part] for gain in gains] for part in ("mean", "half"))
        left.errorbar(counts, means, halves, marker="o", capsize=3, label=label)
    left.set(xscale="log", xlabel="proposals", ylabel="gain over one (nats)", xticks=counts, xticklabels=counts)
    left.set_title(f"Best of N: {curve['prompts']} prompts, {deepest} beyond 16", fontsize=10)
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    if refined:
        _draw_refining(panels[1], figures["refining"])
    canvas.savefig(output, dpi=90)


def _draw_refining(axes: Any, found: Mapping[str, Any]) -> None:
    """Draw what each method gains over random search."""
    methods = [method for method in METHODS if method in found]
    places = np.arange(len(methods))
    for shift, what in ((-0.2, "evaluations"), (0.2, "CPU seconds")):
        if not all(f"gain over random search of equal {what}" in found[method] for method in methods):
            continue
        gains = [found[method][f"gain over random search of equal {what}"][REPORTS] for method in methods]
        axes.bar(
            places + shift,
            [gain["mean"] for gain in gains],
            0.38,
            yerr=[gain["half"] for gain in gains],
            capsize=3,
            label=f"equal {what}",
        )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xticks=places, xticklabels=methods, ylabel="gain (nats)")
    axes.set_title(
        f"Refining against random search, by the critic that does not choose, {found['prompts']} prompts", fontsize=10
    )
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3, axis="y")


def _progress(what: str, number: int, total: int) -> None:
    if (number + 1) % 10 == 0 or number + 1 == total:
        print(f"{what}: {number + 1} of {total}", flush=True)


def _write(path: Path, found: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure emoji or scenes, or draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("emoji", "scenes", "figure"):
        command = verbs.add_parser(verb)
        command.add_argument("--cache", type=Path, required=True)
        command.add_argument("-o", "--output", type=Path, required=True)
        command.add_argument("--weights", default="scenes" if verb == "scenes" else "emoji")
        if verb == "emoji":
            command.add_argument("--data", type=Path, required=True)
            command.add_argument("--captions", type=Path, required=True)
            command.add_argument("--rows", type=int, default=200, help="Prompts for accuracy.")
            command.add_argument("--prompts", type=int, default=100, help="Prompts for the best of N.")
            command.add_argument("--deep", type=int, default=100, help="Prompts with more than 16 proposals.")
            command.add_argument("--refined", type=int, default=25, help="Prompts for refining.")
            command.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="Of refining.")
            command.add_argument("--budget", type=int, default=64, help="Evaluations with refining.")
            command.add_argument("--most", type=int, default=192, help="Proposals for as many CPU seconds, at most.")
        elif verb == "scenes":
            command.add_argument("--rows", type=int, default=1000, help="Prompts.")
            command.add_argument("--ceiling", action="store_true", help="Also read all 16 pictures of each.")
        else:
            command.add_argument("--figures", type=Path, required=True, help="What `emoji` wrote.")
            command.add_argument("--prompt", default="red apple")
    asked = parser.parse_args(arguments)
    judge = Judge(asked.weights, asked.cache)
    if asked.verb == "emoji":
        _write(asked.output, judge_emoji(judge, LateEmoji(judge.zoo, asked.data, asked.captions, asked.cache), asked))
    elif asked.verb == "scenes":
        _write(asked.output, judge_scenes(judge, asked))
    else:
        figure(judge, json.loads(asked.figures.read_text(encoding="utf-8")), asked.output, asked.prompt)


if __name__ == "__main__":
    main()
