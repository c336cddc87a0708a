"""The verb `imagine`: the best of the proposals, refinement towards a known optimum, records, files and errors."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import ganart_wishes
import pytest
import torch
from ganart_wishes.model import COLOURS, Flat
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, ModelError, SettingsError, StepEvent, generator
from ganart_zoo.imaging import load
from ganart_zoo.running.panel import CriticChoice
from ganart_zoo.running.prompts import read_prompt, read_prompts
from ganart_zoo.tasks.imagine import Imagined, imagine, imagine_all
from ganart_zoo.tasks.reproduce import reproduce


@pytest.fixture
def zoo() -> Zoo:
    return Zoo(plugins=[ganart_wishes])


def wish(zoo: Zoo, prompt: Any = "red", output: Any = None, **more: Any) -> Imagined:
    return imagine(zoo, prompt, output, **{"model": "flat", "critics": ["wish"], **more})


def colour(seed: int) -> torch.Tensor:
    """The colour that `flat` paints for a seed."""
    return torch.sigmoid(torch.randn(16, generator=generator(seed))[:3])


def distance(seed: int, name: str) -> float:
    return float((colour(seed) - torch.tensor(COLOURS[name])).square().sum())


def test_the_best_proposals_are_kept_in_order(zoo: Zoo) -> None:
    result = wish(zoo, count=40, keep=3, seed=5)
    expected = sorted(range(5, 45), key=lambda seed: distance(seed, "red"))
    assert result.results[0].seed == expected[0]
    assert [one.score for one in result.results] == sorted((one.score for one in result.results), reverse=True)
    assert result.results[0].score == pytest.approx(-distance(expected[0], "red"), abs=1e-5)
    assert result.evaluations == 40
    assert {one.seed for one in result.results} <= set(expected[:12])


def test_near_duplicates_of_better_pictures_are_left_out(zoo: Zoo) -> None:
    result = wish(zoo, count=200, keep=4)
    colours = [one.image.mean(dim=(2, 3))[0] for one in result.results]
    for row, one in enumerate(colours):
        assert all(float((one - other).abs().mean()) >= 0.008 for other in colours[:row])


def test_what_is_found_does_not_depend_on_how_many_more_are_tried(zoo: Zoo) -> None:
    few, many = wish(zoo, count=8, keep=1, seed=3), wish(zoo, count=60, keep=8, seed=3)
    votes = {one.seed: one.score for one in many.results}
    best = few.results[0]
    if best.seed in votes:
        assert votes[best.seed] == pytest.approx(best.score, abs=1e-6)
    assert many.results[0].score >= best.score


@pytest.mark.parametrize("refine", ["gradient", "cma", "resample"])
def test_refinement_comes_nearer_than_as_many_proposals(zoo: Zoo, refine: Any) -> None:
    alone = wish(zoo, "grey", count=120, keep=1)
    refined = wish(zoo, "grey", count=16, keep=1, budget=120, refine=refine)
    assert refined.refinement == refine
    assert refined.evaluations <= 120 + 16
    assert refined.results[0].score > alone.results[0].score or refined.results[0].score > -1e-5


def test_refining_uses_the_gradient_where_there_is_one(zoo: Zoo) -> None:
    assert wish(zoo, count=4, budget=8).refinement == "gradient"
    assert (
        wish(zoo, None, count=4, budget=8, critics=["likeness"], reference=torch.rand(1, 3, 8, 8)).refinement == "cma"
    )
    assert wish(zoo, count=4).refinement == "none"
    with pytest.raises(SettingsError, match="not differentiable; refine with cma or resample"):
        wish(zoo, count=4, budget=8, model="stone", refine="gradient")


def test_a_reference_picture_is_matched(zoo: Zoo, tmp_path: Path) -> None:
    Image.new("RGB", (10, 10), (51, 102, 204)).save(tmp_path / "like.png")
    result = wish(
        zoo, None, count=16, keep=1, budget=200, critics=["likeness"], reference=tmp_path / "like.png", refine="cma"
    )
    found = result.results[0].image.mean(dim=(2, 3))[0]
    torch.testing.assert_close(found, torch.tensor([0.2, 0.4, 0.8]), rtol=0, atol=0.02)
    assert [one.role for one in result.record.inputs] == ["reference"]


def test_parts_of_a_prompt_count_by_their_weights(zoo: Zoo) -> None:
    result = wish(zoo, ["red:3", "blue:1"], count=16, keep=1, budget=600)
    # the weighted sum of squared distances is least at the weighted mean
    found = result.results[0].image.mean(dim=(2, 3))[0]
    torch.testing.assert_close(found, torch.tensor([0.75, 0.0, 0.25]), rtol=0, atol=0.06)
    Flat.asked.clear()
    wish(zoo, ["red:3", "blue:-1"], count=2, keep=1)
    _, condition, options = Flat.asked[-1]
    assert condition.prompts == ("red",)
    assert options.negative_prompt == "blue"


def test_scores_of_several_critics_are_standardised(zoo: Zoo) -> None:
    like = torch.tensor(COLOURS["blue"]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    both = wish(zoo, "red", count=16, keep=16, critics=["wish", CriticChoice("likeness")], reference=like)
    votes = torch.tensor([list(one.votes.values()) for one in both.results], dtype=torch.float64)
    everything = wish(zoo, "red", count=16, keep=16, critics=["wish"]).results
    assert len(everything) >= len(both.results) - 1
    scores = torch.tensor([one.score for one in both.results], dtype=torch.float64)
    # the score is linear in the votes, with the same slope per standard deviation for both
    design = torch.cat([votes, torch.ones(len(votes), 1, dtype=torch.float64)], dim=1)
    slopes = torch.linalg.lstsq(design, scores[:, None]).solution[:2, 0]
    spread = torch.tensor(
        [
            torch.tensor([-distance(seed, "red") for seed in range(16)], dtype=torch.float64).std(),
            torch.tensor(
                [-100 * float((colour(seed) - torch.tensor(COLOURS["blue"])).abs().sum()) for seed in range(16)],
                dtype=torch.float64,
            ).std(),
        ]
    )
    torch.testing.assert_close(slopes, 0.5 / spread, rtol=1e-3, atol=0)


def test_files_sheet_and_records(zoo: Zoo, tmp_path: Path) -> None:
    result = wish(zoo, "red", tmp_path / "out", count=12, keep=3, animation=tmp_path / "loop.gif")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted([*(one.path.name for one in result.results if one.path), "results.json", "sheet.png"])
    listed = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["score"] for one in listed] == [one.score for one in result.results]
    with Image.open(tmp_path / "loop.gif") as loop:
        assert getattr(loop, "n_frames", 1) > 1
    again = reproduce(zoo, result.results[1].path or "", output=tmp_path / "again.png")
    assert again.pixels.differing == 0


@pytest.mark.parametrize("refine", ["gradient", "cma", "resample"])
def test_refined_pictures_are_made_again_exactly(zoo: Zoo, tmp_path: Path, refine: Any) -> None:
    wish(zoo, ["red", "blue:-0.5"], tmp_path / "a.png", count=6, budget=40, refine=refine, size=16)
    assert load(tmp_path / "a.png").shape == (1, 3, 16, 16)
    assert reproduce(zoo, tmp_path / "a.png").pixels.differing == 0


def test_no_critic_keeps_the_order_of_seeds(zoo: Zoo, caplog: pytest.LogCaptureFixture) -> None:
    result = wish(zoo, critics=[], count=5, keep=3, seed=9)
    assert [one.seed for one in result.results] == [9, 10, 11]
    assert "stay in the order of their seeds" in caplog.text


def test_a_stop_returns_the_best_so_far(zoo: Zoo, tmp_path: Path) -> None:
    events: list[StepEvent] = []

    def stop_later(event: StepEvent) -> bool | None:
        events.append(event)
        return False if event.step >= 24 else None

    result = wish(zoo, "red", tmp_path / "out.png", count=200, on_step=stop_later)
    assert result.stopped
    assert 24 <= result.evaluations < 60
    assert (tmp_path / "out.png").exists()
    assert events[-1].losses["best"] == result.results[0].score
    assert torch.equal(events[-1].preview(), result.results[0].image)
    assert reproduce(zoo, tmp_path / "out.png").pixels.differing == 0


def test_goals_end_the_search(zoo: Zoo) -> None:
    assert wish(zoo, "grey", count=1000, target=-0.5).evaluations < 100
    tired = wish(zoo, "grey", count=8, keep=1, budget=4_000, refine="resample", patience=200)
    assert tired.evaluations < 3_900
    assert wish(zoo, count=5000, seconds=0.05).evaluations < 5000


def test_memory_does_not_grow_with_the_proposals(zoo: Zoo) -> None:
    Flat.asked.clear()
    wish(zoo, count=1024, keep=2)
    assert max(rows for rows, *_ in Flat.asked) <= 16


@pytest.mark.parametrize(
    ("critic", "message"),
    [
        ("asleep", "asleep gives all of the first 17 pictures the score 0, so it cannot choose"),
        ("lost", "lost scores the picture of seed 0 with nan"),
        ("wide", r"wide scores the picture of seed 0 with \[1, 3\] values, expected \[1\]"),
    ],
)
def test_a_critic_that_cannot_judge_is_named(zoo: Zoo, critic: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        wish(zoo, critics=[critic], count=20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ""}, "has no word in it"),
        ({"prompt": "\x00\x07"}, "has no word in it"),
        ({"prompt": "red " * 4000}, "has 16000 characters, expected at most 10000"),
        ({"prompt": ["red:-1"]}, "no part of the prompt has a weight above 0"),
        ({"prompt": ["red:0"]}, "the weight of the prompt 'red:0' is 0"),
        ({"count": 0}, "count is 0, expected at least 1"),
        ({"count": 2, "keep": 3}, "keep is 3, expected at most 2, as many"),
        ({"budget": 0}, "budget is 0, expected at least 1"),
        ({"size": 0}, "size is 0, expected 1 to 8192 pixels"),
        ({"critics": [CriticChoice("wish", 0.0)]}, "the weight of critic wish is 0.0"),
        ({"critics": ["likeness"]}, "likeness scores pictures against a reference picture; give one"),
        ({"refine": "magic"}, "refinement is 'magic'"),
        ({"model": "wish"}, "is a critic, expected a generator"),
        ({"model": None}, "pip install ganart-latent-flow"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(zoo: Zoo, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        wish(zoo, **arguments)


def test_outputs_are_checked_before_the_work(zoo: Zoo, tmp_path: Path) -> None:
    Flat.asked.clear()
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    for output in (tmp_path / "mine.png", tmp_path / "a.bmp", tmp_path / "no" / "a.png", tmp_path / "mine.png" / "x"):
        with pytest.raises(ImageError):
            wish(zoo, "red", output)
    with pytest.raises(ImageError):
        wish(zoo, "red", tmp_path / "a.png", animation=tmp_path / "a.png")
    assert not Flat.asked
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.png"]


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ImageError, match="not written as PNG: No space left on device"):
        wish(zoo, "red", tmp_path / "out", count=4, keep=2)
    assert not list((tmp_path / "out").iterdir())


def test_a_budget_below_the_count_proposes_fewer(zoo: Zoo, tmp_path: Path) -> None:
    result = wish(zoo, "red", tmp_path / "a.png", count=16, budget=5)
    assert (result.evaluations, result.refinement) == (5, "none")
    with pytest.raises(SettingsError, match="keep is 6, expected at most 5"):
        wish(zoo, "red", count=16, budget=5, keep=6)


@pytest.mark.parametrize("refine", ["gradient", "cma", "resample"])
def test_refining_that_was_stopped_is_made_again(zoo: Zoo, tmp_path: Path, refine: Any) -> None:
    # how many pictures are refined follows from the budget, not from where the work was stopped
    result = wish(
        zoo,
        "grey",
        tmp_path / "out",
        count=16,
        keep=4,
        budget=400,
        refine=refine,
        on_step=lambda event: False if event.step >= 50 else None,
    )
    assert result.stopped
    for one in result.results:
        assert reproduce(zoo, one.path or "", output=tmp_path / "again.png").pixels.differing == 0


def test_many_prompts_go_on_where_they_stopped(zoo: Zoo, tmp_path: Path) -> None:
    more: dict[str, Any] = {"model": "flat", "critics": ["wish"], "count": 20, "keep": 1}
    stop = iter([None, False, False, False, False])
    first = list(imagine_all(zoo, ["red", "blue", "grey"], tmp_path / "out", on_step=lambda _: next(stop), **more))
    assert [result.stopped for _, result in first if result] == [True]
    second = list(imagine_all(zoo, ["red", "blue", "grey"], tmp_path / "out", **more))
    assert [folder.name for folder, _ in second] == ["0001-red", "0002-blue", "0003-grey"]
    assert all(result is not None for _, result in second)
    third = list(imagine_all(zoo, ["red", "blue", "grey"], tmp_path / "out", **more))
    assert all(result is None for _, result in third)
    changed = list(imagine_all(zoo, ["red", "blue", "grey"], tmp_path / "out", **{**more, "seed": 1}))
    assert all(result is not None for _, result in changed)


def test_prompts_are_read_as_written(tmp_path: Path) -> None:
    prompt = read_prompt(["red apple: 2", "at 10: 30", "leaf:.5", "شجرة:1.5", "worm:-1"])
    assert [(part.text, part.weight) for part in prompt.parts] == [
        ("red apple: 2", 1.0),
        ("at 10: 30", 1.0),
        ("leaf:.5", 1.0),
        ("شجرة", 1.5),
        ("worm", -1.0),
    ]
    assert prompt.negative == "worm"
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffred apple\r\n\r\n# not this\nline\u2028separator\n".encode())
    assert read_prompts(path) == ["red apple", "line\u2028separator"]
    path.write_text("# nothing\n")
    with pytest.raises(SettingsError, match="holds no prompt"):
        read_prompts(path)
    path.write_bytes(
        "red apple\r\rpear".encode("utf-16")
    )  # and carriage returns alone, as old programs for the Mac wrote
    assert read_prompts(path) == ["red apple", "pear"]
    path.write_bytes(b"\xffred apple")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        read_prompts(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_prompts(tmp_path / "none.txt")
