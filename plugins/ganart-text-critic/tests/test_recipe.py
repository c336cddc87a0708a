"""The recipe `text-critic`: changes of captions and pictures, the loss by its formula, exact resume, and learning."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import ganart_backbones
import ganart_text_critic
import numpy as np
import pytest
import torch
from ganart_text_critic.changes import (
    CONTRASTS,
    allows,
    mention,
    mirrored,
    misspelled,
    vary,
    wear,
    without_style,
    wrong_captions,
)
from ganart_text_critic.critic import TextCritic
from ganart_text_critic.recipe import TextCriticRecipe, contrastive_loss
from ganart_text_critic.recipe_config import TextCriticRecipeConfig
from ganart_text_critic.retrieval import r_precision
from ganart_text_critic.towers import Vectors
from safetensors.torch import load_file

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, OnStep, generator
from ganart_zoo.data import open_data
from ganart_zoo.data.variations import HUES, PLACES, chroma
from ganart_zoo.training.run import Run

ZOO = Zoo(plugins=[ganart_text_critic, ganart_backbones])
TINY = {
    "dimension": 16,
    "buckets": 512,
    "word_width": 16,
    "bank": 8,
    "vocabulary": 256,
    "resolution": 16,
    "width": 32,
    "text_width": 32,
    "text_layers": 1,
}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Coloured squares at the left and at the right."""
    images, captions = [], []
    for colour, rgb in COLOURS.items():
        for side in ("left", "right"):
            image = np.full((16, 16, 3), 255, np.uint8)
            image[4:12, 1:7] = rgb
            images.append(image if side == "left" else image[:, ::-1])
            captions.append(f"a {colour} square on the {side}")
    np.savez(tmp_path / "squares.npz", images=np.stack(images), captions=np.array(captions))
    return tmp_path / "squares.npz"


def run(squares: Path, folder: Path, on_step: OnStep | None = None, **changes) -> Run:
    torch.manual_seed(0)
    critic = ZOO.create("text-critic", weights=None, **TINY)
    settings = {"steps": 4, "batch": 8, "checkpoint_every": 2, "sample_every": 4, "workers": 0, "measured": 8}
    config = TextCriticRecipeConfig(**{**settings, **changes})
    recipe = TextCriticRecipe(config, {"critic": critic})
    return Run(
        recipe,
        open_data(squares),
        folder,
        name="ganart-text-critic/text-critic",
        main="critic",
        conditions=("prompt",),
        on_step=on_step,
    )


def test_a_run_resumes_exactly_and_is_calibrated_at_its_end(squares: Path, tmp_path: Path) -> None:
    whole = run(squares, tmp_path / "whole").fit()
    run(squares, tmp_path / "parts", lambda event: event.step < 2).fit()
    parts = run(squares, tmp_path / "parts").fit(resume=True)
    one, other = (load_file(result.folder / "critic.safetensors") for result in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["picture_bank"].norm(dim=1).sub(1).abs().max() < 1e-5
    critic = TextCritic(ZOO.settings("text-critic").config(TINY))
    critic.load_own_state(one)
    assert {"a", "red", "square", "left", "on", "the"} <= critic.vocabulary()


def test_it_learns_colours_and_sides(squares: Path, tmp_path: Path) -> None:
    trained = run(
        squares, tmp_path / "run", steps=150, batch=32, rate=3e-3, recolour=0, place=0, misspell=0, ema_decay=0.9
    ).fit()
    critic = TextCritic(ZOO.settings("text-critic").config(TINY)).eval()
    critic.load_own_state(load_file(trained.folder / "critic.safetensors"))
    with np.load(squares) as file:
        images, captions = torch.from_numpy(file["images"]).permute(0, 3, 1, 2) / 255, list(file["captions"])
    with torch.no_grad():
        votes = torch.stack([critic.score(images, Condition(prompts=(text,))) for text in captions], dim=1)
    assert r_precision(votes, captions).double().mean() >= 0.75
    assert votes.diagonal().mean() > 0.5


def test_the_loss_is_infonce_in_both_directions_with_wrong_captions() -> None:
    torch.manual_seed(0)
    pictures = torch.nn.functional.normalize(torch.randn(3, 5, dtype=torch.float64), dim=1)
    texts = torch.nn.functional.normalize(torch.randn(5, 5, dtype=torch.float64), dim=1)
    scale = torch.tensor(7.0, dtype=torch.float64)
    true = torch.eye(3, dtype=torch.bool)
    true[0, 1] = True  # caption 1 is true of picture 0 as well
    loss, found = contrastive_loss(Vectors(pictures, texts, scale), true, [0, 2])
    weight = [[math.exp(7 * float(p @ t)) for t in texts] for p in pictures]
    of_pictures = [
        weight[0][0] / (weight[0][0] + weight[0][2] + weight[0][3]),
        weight[1][1] / sum(weight[1][:3]),
        weight[2][2] / (sum(weight[2][:3]) + weight[2][4]),
    ]
    of_texts = [
        weight[0][0] / (weight[0][0] + weight[1][0] + weight[2][0]),
        weight[1][1] / (weight[1][1] + weight[2][1]),
        weight[2][2] / (weight[0][2] + weight[1][2] + weight[2][2]),
    ]
    expected = -sum(map(math.log, of_pictures)) / 6 - sum(map(math.log, of_texts)) / 6
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(found) == pytest.approx(sum(share > 0.5 for share in of_pictures) / 3, abs=0.34)


def test_a_caption_that_says_less_is_true_too() -> None:
    captions = ["lion", "lion face, 3d", "blue square", "square blue"]
    true = mention(captions, captions)
    assert true.tolist() == [[allows(one, full) for one in captions] for full in captions]
    assert true[1, 0]
    assert not true[0, 1]
    assert not true[2, 3]


def test_wrong_captions_differ_in_one_detail() -> None:
    caption = "two red circles left of a blue square, 3d"
    wrong = {text for seed in range(300) for text in wrong_captions(caption, Random(seed), 1)}
    assert caption not in wrong
    assert "two red circles right of a blue square, 3d" in wrong
    assert "two blue circles left of a red square, 3d" in wrong
    assert "three red circles left of a blue square, 3d" in wrong
    assert "two red circles left of a blue square, flat" in wrong
    assert wrong_captions("lion", Random(0), 2) == []
    several = [wrong_captions(caption, Random(seed), 4) for seed in range(50)]
    assert all(len(texts) == len(set(texts)) for texts in several)


def test_the_one_relation_is_exchanged_as_often_as_any_of_the_other_words() -> None:
    caption = "two red circles left of two blue squares"  # of four contrasts
    texts = [text for seed in range(400) for text in wrong_captions(caption, Random(seed), 1)]
    assert CONTRASTS[0] == ("left", "right")
    assert 60 < sum("right of" in text for text in texts) < 140


def test_mirrored_pictures_say_the_other_side() -> None:
    assert mirrored("a Left arrow, right of it a lion") == "a right arrow, left of it a lion"
    assert mirrored("a bright, leftover pie") is None
    images = torch.rand(40, 3, 8, 8)
    captions = ["a red circle left of a blue square", "a red circle above a blue square"] * 20
    changed, texts = vary(images, captions, [Random(i) for i in range(40)], recoloured=0, placed=0, mirror=0.5)
    turned = [text == "a red circle right of a blue square" for text in texts]
    assert 3 < sum(turned) < 17
    for row, flipped in enumerate(turned):
        assert torch.equal(changed[row], images[row].flip(2) if flipped else images[row])
        assert flipped or texts[row] == captions[row]


def test_varied_captions_say_what_was_done() -> None:
    images = torch.ones(200, 3, 16, 16)
    images[:, 1:, 4:12, 4:12] = 0
    captions = ["apple, 3d"] * 150 + ["a red square"] * 50
    changed, texts = vary(images, captions, [Random(i) for i in range(200)], recoloured=0.5, placed=0.5)
    assert texts[150:] == captions[150:]
    assert torch.equal(changed[150:], images[150:])
    for before, after, text in zip(images[:150], changed[:150], texts[:150], strict=True):
        assert text.endswith(", 3d")
        assert (text == "apple, 3d") == torch.equal(before, after) or text.startswith("red")
        for place, (across, _) in PLACES.items():
            if place in text and across:
                half = after[..., :8] if across < 0 else after[..., 8:]
                assert (half < 1).sum() > (after < 1).sum() / 2
    assert {text.split()[0] for text in texts[:150]} & set(HUES)
    grey = torch.full((20, 3, 8, 8), 0.5)
    assert chroma(grey).sum() == 0
    assert vary(grey, ["stone"] * 20, [Random(i) for i in range(20)], recoloured=1, placed=0)[1] == ["stone"] * 20


def test_wear_depends_on_the_row_alone_and_keeps_white() -> None:
    images = torch.rand(4, 3, 16, 16)

    def worn(rows: list[int]) -> torch.Tensor:
        return wear(images[rows], [Random(row) for row in rows], [generator(row) for row in rows])

    torch.testing.assert_close(worn([0, 1, 2, 3])[2:], worn([2, 3]))
    assert not torch.allclose(worn([0]), images[:1], atol=1e-3)
    white = wear(torch.ones(8, 3, 16, 16), [Random(i) for i in range(8)], [generator(i) for i in range(8)])
    assert (white.mean(dim=(1, 2, 3)) > 0.93).all()


def test_spelling_and_styles_change_for_a_share() -> None:
    texts = [misspelled("strawberry pie", Random(seed), 0.5) for seed in range(400)]
    changed = [text for text in texts if text != "strawberry pie"]
    assert 120 < len(changed) < 280
    assert all(text.endswith(" pie") and abs(len(text) - 14) <= 1 for text in changed)
    kept = [without_style("red apple, 3d", Random(seed), 0.5) for seed in range(400)]
    assert set(kept) == {"red apple, 3d", "red apple"}
    assert without_style("lion", Random(0), 1) == "lion"


def test_r_precision_counts_captions_found_first() -> None:
    captions = [f"thing number{i}" for i in range(50)]
    scores = torch.eye(50)
    assert r_precision(scores, captions).all()
    scores[0] = 0  # a tie is not found
    assert r_precision(scores, captions).sum() == 49
    chance = r_precision(torch.rand(50, 50, generator=generator(0)), captions, candidates=2).double().mean()
    assert 0.25 < chance < 0.75
    same = r_precision(torch.ones(2, 2), ["lion", "lion"])
    assert same.all()  # nothing to be mistaken for
