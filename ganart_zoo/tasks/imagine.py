"""The verb `imagine`: a generator proposes pictures of a prompt, critics score them, and the best are kept and refined.

from ganart_zoo import Zoo
from ganart_zoo.tasks.imagine import imagine

imagine(Zoo(), ["red apple"], "apple.png")
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.imaging.animation import check_animation, save_animation
from ganart_zoo.imaging.files import write_text
from ganart_zoo.imaging.grid import to_grid
from ganart_zoo.imaging.images import resize, save
from ganart_zoo.imaging.record import Record
from ganart_zoo.registry import Zoo
from ganart_zoo.running.defaults import default_generator
from ganart_zoo.running.generators import LoadedGenerator, check_seeds
from ganart_zoo.running.interrupts import interruptible
from ganart_zoo.running.outputs import check_folder, check_pictures, is_folder, make_folder
from ganart_zoo.running.panel import CriticChoice, Panel, default_critics, load_critics
from ganart_zoo.running.pictures import Picture, describe, read
from ganart_zoo.running.prompts import Prompt, read_prompt
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.search import Candidate, Goal, Refinement, Search
from ganart_zoo.running.showing import Shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ganart_zoo.running.loaded import LoadOptions

__all__ = ["Imagined", "PromptJob", "Result", "imagine", "imagine_all", "plan_all", "rerun"]

_log = logging.getLogger("ganart_zoo")

_SHEET = "sheet.png"
_RESULTS = "results.json"
_ASKED = "asked.json"
"""Written once a prompt of many is done: what was asked for it."""
_SHEET_SIDE = 256
_SLUG = 40
_LARGEST = 8192
_FPS = 8


@dataclass(frozen=True, eq=False)
class Result:
    """One picture that was kept."""

    image: Tensor
    """`[1, 3, H, W]` in 0..1 on the CPU."""
    score: float
    """The critics' score; higher is better. 0 without critics."""
    votes: Mapping[str, float]
    """Each critic's own score, by its name."""
    seed: int
    refined: bool
    """Whether its latents are no longer those of the seed."""
    record: Record
    path: Path | None
    """Where it is saved."""


@dataclass(frozen=True, eq=False)
class Imagined(Shown):
    """The result of a call."""

    results: tuple[Result, ...]
    """The best first."""
    evaluations: int
    """Pictures that were scored."""
    critics: tuple[str, ...]
    """Canonical names; none where pictures are in the order of their seeds."""
    refinement: Refinement
    seconds: float
    stopped: bool
    """`on_step` ended the work early."""
    sheet: Path | None
    """The contact sheet, if one is saved."""

    @property
    def record(self) -> Record:
        """The record of the best picture."""
        return self.results[0].record


@interruptible
def imagine(
    zoo: Zoo,
    prompt: str | Sequence[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    model: str | Path | LoadedGenerator | None = None,
    critics: Sequence[CriticChoice | str | Path] | None = None,
    reference: Picture | None = None,
    label: int | str | None = None,
    count: int = 16,
    keep: int | None = None,
    seed: int = 0,
    budget: int | None = None,
    seconds: float | None = None,
    target: float | None = None,
    patience: int | None = None,
    refine: Refinement = "auto",
    size: int | None = None,
    animation: str | os.PathLike[str] | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
    **how: Unpack[LoadOptions],
) -> Imagined:
    """Propose pictures, score them, refine the best, and keep them.

    Args:
        zoo: Where models come from.
        prompt: What to paint: one text, or parts `"TEXT:WEIGHT"` of one prompt. The generator is given all parts with a
            positive weight, joined; the weights count in the score. Parts with a negative weight are what the picture
            should not show.
        output: A `.png`, `.jpg`, `.jpeg` or `.webp` file for the best picture; or a folder for all that are kept, a
            contact sheet and `results.json`. None saves nothing.
        model: The generator: a name, the `Path` of a run, or one that is loaded. None: `default_generator`.
        critics: What scores the pictures. None: the critics of `ganart-text-critic` that fit, if it is installed. An
            empty sequence, or none that fit: pictures stay in the order of their seeds.
        reference: A picture to resemble, for critics (and generators) that take one.
        label: A class, for a generator or a critic with classes.
        count: How many pictures to propose.
        keep: How many to keep, near-duplicates left out; None: 1 for a file, else 4 or fewer.
        seed: Seed of the first proposal; each following proposal uses the next seed.
        budget: Pictures to score in all, proposals included; there are fewer proposals where it is less than `count`.
            What is left after them is spent on refining. None: as many as `count`, and nothing is refined.
        seconds: Stop after about this long.
        target: Stop at this score.
        patience: While refining, stop after so many evaluations without a better score.
        refine: How: by `"gradient"` through generator and critics, `"cma"`, `"resample"`, `"none"`; `"auto"` takes the
            first of these that fits.
        size: Side of the saved pictures in pixels; None: as the generator paints them.
        animation: A `.gif` or `.mp4` file for the best pictures on the way.
        force: Replace files that ganart did not make.
        on_step: Called after each batch of pictures, and after each step of an iterative generator, with the best
            picture so far. Returning False ends the work with the best so far.
        **how: How the generator is loaded; see `LoadOptions`.

    Raises:
        SettingsError: A number, the prompt or the reference does not fit, or a model lacks what was asked for.
        ImageError: The reference cannot be read, or the output cannot be written.
        ModelError: A model broke or diverged, or memory ran out.
    """
    if budget is not None and budget >= 1:
        count = min(count, budget)
    to_file = output is not None and not is_folder(output)
    keep = keep if keep is not None else 1 if to_file else min(4, max(1, count))
    goal = Goal(count, keep, budget, seconds, target, patience)
    given = _Given(prompt, model, critics, reference, label, seed, refine, size, on_step, how)
    return _imagine(zoo, given, goal, output, animation, force)


@dataclass(frozen=True, eq=False)
class _Given:
    """Arguments of `imagine`, as it documents them."""

    prompt: str | Sequence[str] | None
    model: str | Path | LoadedGenerator | None
    critics: Sequence[CriticChoice | str | Path] | None
    reference: Picture | None
    label: int | str | None
    seed: int
    refine: Refinement
    size: int | None
    on_step: OnStep | None
    how: LoadOptions


def _imagine(
    zoo: Zoo,
    given: _Given,
    goal: Goal,
    output: str | os.PathLike[str] | None = None,
    animation: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Imagined:
    prompt, reference, label, size, seed = given.prompt, given.reference, given.label, given.size, given.seed
    texts = None if prompt is None else read_prompt([prompt] if isinstance(prompt, str) else prompt)
    goal.check()
    check_seeds(seed, goal.proposals)
    if size is not None and not 1 <= size <= _LARGEST:
        raise SettingsError(f"size is {size}, expected 1 to {_LARGEST} pixels")
    files = _Files(output, animation, goal.keep, texts, force)
    picture = None if reference is None else read(reference)
    generator = _generator(zoo, given.model, given.how)
    generator, final_options = _options(generator, texts, size)
    condition = _condition(generator, texts, label, picture)
    device, fetch = generator.model.device, given.how.get("fetch", False)
    if given.critics is None:
        chosen = default_critics(zoo, prompt=texts is not None, reference=picture is not None)
    else:
        chosen = tuple(one if isinstance(one, CriticChoice) else CriticChoice(one) for one in given.critics)
    chosen = load_critics(zoo, chosen, device=device, fetch=fetch)
    if not chosen:
        _log.warning("no critic scores the pictures, so they stay in the order of their seeds")
    panel = Panel.of(chosen, prompt=texts, label=label, reference=picture)
    inputs = [] if reference is None else [describe(reference, "reference")]
    details = {"prompt": None if texts is None else texts.text, "count": goal.proposals, "seed": seed}
    with generator.work("imagine", details, path=files.target, on_step=given.on_step) as work:
        search = Search(generator, condition, panel, goal, seed, given.refine, work)
        found = search.run()
        request = {
            "prompt": None if prompt is None else [prompt] if isinstance(prompt, str) else list(prompt),
            "critics": [choice.to_json() for choice in chosen],
            "label": label,
            "keep": goal.keep,
            # work that was stopped, or ran out of time, is repeated only as far as it got
            "proposals": min(goal.proposals, search.evaluations),
            "budget": goal.evaluations,
            "evaluations": search.evaluations,
            "refine": search.refinement,
            "size": size,
        }
        results = []
        for place, candidate in enumerate(found):
            image = _painted(search, generator, candidate, final_options, size)
            record = generator.record("imagine", seed, {**request, "place": place}, inputs)
            results.append(_result(candidate, image, panel, record, files.path(place, candidate)))
        sheet = files.save(results, search.frames, scored=bool(panel.judges))
        if files.target is not None:
            work.saved()
        work.results["evaluations"] = search.evaluations
    if len(found) < goal.keep <= search.evaluations:
        _log.warning("only %d of %d pictures differ enough to be kept", len(found), search.evaluations)
    names = tuple(judge.critic.entry.canonical for judge in panel.judges)
    return Imagined(tuple(results), search.evaluations, names, search.refinement, work.seconds, work.stopped, sheet)


def imagine_all(
    zoo: Zoo,
    prompts: Sequence[str],
    output: str | os.PathLike[str],
    *,
    model: str | Path | None = None,
    critics: Sequence[CriticChoice | str | Path] | None = None,
    on_step: OnStep | None = None,
    **asked: Any,
) -> Iterator[tuple[Path, Imagined | None]]:
    """Do `imagine` for many prompts with models that are loaded once; each gets a folder `NNNN-words` in `output`.

    A folder that holds the results of the same request is left as it is, so work that was stopped goes on where it
    stopped. All other arguments are those of `imagine`; `budget` and `seconds` are for each prompt.

    Yields:
        Each prompt's folder and result; None for a result that was there already. None follow a result that was
        stopped.
    """
    generator, chosen, jobs = _plan_all(zoo, prompts, output, model, critics, asked)
    for job in jobs:
        if job.done:
            yield job.folder, None
            continue
        result = imagine(zoo, [job.prompt], job.folder, model=generator, critics=chosen, on_step=on_step, **asked)
        job.keep(result)
        yield job.folder, result
        if result.stopped:
            return


@dataclass(frozen=True)
class PromptJob:
    """One prompt of many."""

    prompt: str
    folder: Path
    """Where its pictures go."""
    facts: Mapping[str, Any]
    """What decides its results."""
    done: bool
    """Whether the folder holds the results already."""

    def keep(self, result: Imagined) -> None:
        """Note that the prompt is done, unless its work was stopped."""
        if not result.stopped:
            _write_json(self.folder / _ASKED, self.facts)


def plan_all(
    zoo: Zoo,
    prompts: Sequence[str],
    output: str | os.PathLike[str],
    *,
    model: str | Path | None = None,
    critics: Sequence[CriticChoice | str | Path] | None = None,
    **asked: Any,
) -> tuple[PromptJob, ...]:
    """Return what `imagine_all` would do, for programs that have it done elsewhere; arguments are the same."""
    return _plan_all(zoo, prompts, output, model, critics, asked)[2]


def _plan_all(
    zoo: Zoo,
    prompts: Sequence[str],
    output: str | os.PathLike[str],
    model: str | Path | None,
    critics: Sequence[CriticChoice | str | Path] | None,
    asked: dict[str, Any],
) -> tuple[LoadedGenerator, Sequence[CriticChoice], tuple[PromptJob, ...]]:
    """Return generator, critics and the jobs; `asked` loses what says how to load the generator."""
    for prompt in prompts:
        read_prompt([prompt])  # a prompt that does not fit is refused before the first is painted
    folder = Path(output)
    make_folder(folder)
    check_folder(folder)
    how: Any = {name: asked.pop(name) for name in ("settings", "weights", "device", "dtype", "fetch") if name in asked}
    generator = _generator(zoo, model, how)
    if critics is None:
        critics = default_critics(zoo, prompt=True, reference=asked.get("reference") is not None)
    chosen = load_critics(
        zoo,
        [one if isinstance(one, CriticChoice) else CriticChoice(one) for one in critics],
        device=generator.model.device,
        fetch=how.get("fetch", False),
    )
    jobs = []
    for number, prompt in enumerate(prompts, start=1):
        target = folder / f"{number:04d}-{_slug(read_prompt([prompt]).text)}"
        facts = _facts(generator, chosen, prompt, asked)
        jobs.append(PromptJob(prompt, target, facts, _is_done(target, facts)))
    return generator, chosen, tuple(jobs)


def rerun(again: Rerun) -> Imagined:
    """Make a recorded picture again; errors as those of `imagine`."""
    request = again.record.request
    model, how = again.model()
    given = _Given(
        request["prompt"],
        model,
        [CriticChoice.from_json(data) for data in request["critics"]],
        again.files.get("reference"),
        request["label"],
        again.record.seed,
        request["refine"],
        request["size"],
        again.on_step,
        how,
    )
    # records of 0.1 before this key have what was done as their budget
    done = request.get("evaluations", request["budget"])
    keep = min(request["keep"], request["proposals"])
    result = _imagine(again.zoo, given, Goal(request["proposals"], keep, request["budget"], repeated=done))
    kept = result.results[min(request["place"], len(result.results) - 1)]
    save(kept.image, again.output, record=kept.record)
    return Imagined(
        (kept,), result.evaluations, result.critics, result.refinement, result.seconds, result.stopped, None
    )


# -- what the models are given


def _generator(zoo: Zoo, model: str | Path | LoadedGenerator | None, how: LoadOptions) -> LoadedGenerator:
    if isinstance(model, LoadedGenerator):
        return model
    return LoadedGenerator.load(zoo, default_generator(zoo) if model is None else model, **how)


def _options(generator: LoadedGenerator, prompt: Prompt | None, size: int | None) -> tuple[LoadedGenerator, Any]:
    """Return the generator as it proposes, and the options of the pictures that are saved."""
    options = generator.options
    known = type(options).model_fields
    if prompt is not None and prompt.negative:
        if "negative_prompt" in known:
            # recorded options have these words already when a picture is made again
            if prompt.negative not in options.negative_prompt:
                texts = [text for text in (options.negative_prompt, prompt.negative) if text]
                options = options.model_copy(update={"negative_prompt": ", ".join(texts)})
        else:
            _log.warning("%s takes no negative prompt; it counts in the score alone", generator.entry.canonical)
    if "size" not in known:
        return LoadedGenerator(generator.zoo, generator.entry, generator.model, options), options
    proposing = options.model_copy(update={"size": known["size"].default})
    final = (
        options
        if size is None
        else generator.zoo.options(generator.entry.canonical, **{**options.model_dump(), "size": size})
    )
    return LoadedGenerator(generator.zoo, generator.entry, generator.model, proposing), final


def _condition(
    generator: LoadedGenerator, prompt: Prompt | None, label: int | str | None, reference: Tensor | None
) -> Condition | None:
    can = generator.entry.spec.capabilities
    text = prompt.text if prompt is not None and "prompt" in can else None
    picture = reference if "reference" in can else None
    generator.check_reference(picture is not None)
    labelled = "labels" in can
    condition = generator.one_condition(label, text, picture) if labelled else generator.condition(None, text, picture)
    if condition is None:
        return None
    with generator.calls("imagine"), torch.no_grad():
        return generator.model.embed(condition)


def _painted(
    search: Search, generator: LoadedGenerator, candidate: Candidate, options: Any, size: int | None
) -> Tensor:
    """Return a candidate's picture in the size that is saved."""
    image = candidate.picture
    if options != generator.options:
        image = search.paint(candidate, options).clamp(0, 1)
    if size is not None and max(image.shape[-2:]) != size:
        image = resize(image, size).clamp(0, 1)
    return image


def _result(candidate: Candidate, image: Tensor, panel: Panel, record: Record, path: Path | None) -> Result:
    names = [judge.critic.entry.canonical for judge in panel.judges]
    votes = dict(zip(names, candidate.votes, strict=True))
    return Result(image, candidate.score, votes, candidate.seed, candidate.refined, record, path)


# -- what is saved


class _Files:
    """The files of a call, checked before the work.

    Raises:
        ImageError: One cannot be written, or exists and was not made by ganart.
    """

    def __init__(
        self,
        output: str | os.PathLike[str] | None,
        animation: str | os.PathLike[str] | None,
        keep: int,
        prompt: Prompt | None,
        force: bool,
    ) -> None:
        self.target = None if output is None else Path(output)
        self.folder = None if output is None or not is_folder(output) else Path(output)
        self._slug = _slug(prompt.text if prompt is not None else "picture")
        self._keep = keep
        self._animation = None if animation is None else Path(animation)
        if self._animation is not None:
            check_animation(self._animation)
            check_folder(self._animation.parent)
        if self.folder is not None:
            check_pictures([self.folder / _SHEET], self.folder, force=force)
        elif self.target is not None:
            check_pictures([self.target], force=force)

    def path(self, place: int, candidate: Candidate) -> Path | None:
        """Return where the picture of a place from 0 goes."""
        if self.folder is None:
            return self.target if place == 0 else None
        width = max(2, len(str(self._keep)))
        return self.folder / f"{place + 1:0{width}d}-{self._slug}-seed{candidate.seed:04d}.png"

    def save(self, results: Sequence[Result], frames: Sequence[Tensor], *, scored: bool) -> Path | None:
        """Save pictures, sheet, results and animation; return the sheet."""
        for result in results:
            if result.path is not None:
                save(result.image, result.path, record=result.record)
        if self._animation is not None:
            last = [frames[-1]] * _FPS
            save_animation(iter([*frames, *last]), self._animation, fps=_FPS, loop=True)
        if self.folder is None:
            return None
        sheet = self.folder / _SHEET
        shown = [resize(result.image, _SHEET_SIDE) for result in results]
        texts = [f"{result.score:.3g}  seed {result.seed}" if scored else f"seed {result.seed}" for result in results]
        save(to_grid(shown, columns=min(4, len(shown)), captions=texts).clamp(0, 1), sheet, record=results[0].record)
        _write_json(self.folder / _RESULTS, [_described(result) for result in results])
        return sheet


def _described(result: Result) -> dict[str, Any]:
    return {
        "file": None if result.path is None else result.path.name,
        "score": result.score,
        "votes": dict(result.votes),
        "seed": result.seed,
        "refined": result.refined,
        "request": {name: value for name, value in result.record.request.items() if name != "place"},
    }


def _write_json(path: Path, data: Any) -> None:
    try:
        write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ImageError(f"{path}: not written: {error.strerror or error}") from None


def _slug(text: str) -> str:
    """Return a text as part of a file name: letters and digits of any script, joined by hyphens."""
    slug = re.sub(r"[\W_]+", "-", text.casefold()).strip("-")
    return slug[:_SLUG].strip("-") or "picture"


def _facts(
    generator: LoadedGenerator, critics: Sequence[CriticChoice], prompt: str, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what decides the results of a prompt, as JSON data."""
    facts = {name: value for name, value in asked.items() if name not in ("force", "animation", "reference")}
    reference = asked.get("reference")
    assert generator.model.provenance is not None
    facts |= {
        "prompt": prompt,
        "model": generator.model.provenance.to_json(),
        "options": generator.options.model_dump(mode="json"),
        "critics": [choice.to_json() for choice in critics],
        "reference": None if reference is None else describe(reference, "reference").sha256,
    }
    return dict(json.loads(json.dumps(facts, default=str)))


def _is_done(folder: Path, facts: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads((folder / _ASKED).read_text(encoding="utf-8")) == facts)
    except (OSError, ValueError):
        return False
