"""The critics: the contract, calibrated votes, prompts of every kind, and comparison with a reference picture."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import ganart_backbones
import ganart_text_critic
import pytest
import torch
from ganart_text_critic.config import CriticConfig
from ganart_text_critic.critic import TextCritic
from ganart_text_critic.pictures import to_square
from ganart_text_critic.towers import TwoTowers

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, ImageError, SettingsError
from ganart_zoo.testing import Check, Subject, checks_for

ZOO = Zoo(plugins=[ganart_text_critic, ganart_backbones])
SMALL: dict[str, Any] = {"dimension": 16, "buckets": 512, "word_width": 8, "bank": 7, "vocabulary": 256}
TINY = {**SMALL, "resolution": 32, "width": 32, "text_width": 32, "text_layers": 1, "weights": None}
BACKBONE = {"model": "efficientnet_lite0", "weights": None, "classifier": False}
PROMPT = Condition(prompts=("a red apple",))
# the backbone is untrained, so features in bfloat16 differ little from those in float32, and rows in a batch likewise
SUBJECTS = {
    "text-critic": Subject(ZOO, "text-critic", settings=TINY, condition=PROMPT),
    "text-critic-report": Subject(
        ZOO,
        "text-critic-report",
        settings={**SMALL, "resolution": 32, "width": 16, "weights": None, "backbone": BACKBONE},
        condition=PROMPT,
    ),
    "reference": Subject(
        ZOO,
        "reference",
        settings={"resolution": 32, "backbone": BACKBONE},
        condition=Condition(images=torch.linspace(0, 1, 3 * 20 * 30).view(1, 3, 20, 30)),
    ),
    "reference of content": Subject(
        ZOO,
        "reference",
        settings={"resolution": 32, "backbone": BACKBONE, "compare": "content"},
        condition=Condition(images=torch.linspace(0, 1, 3 * 20 * 30).view(1, 3, 20, 30)),
    ),
}
CASES = [(name, check) for name, subject in SUBJECTS.items() for check in checks_for(subject)]


@pytest.mark.parametrize(("name", "check"), CASES, ids=[f"{name}-{check.__name__}" for name, check in CASES])
def test_conformance(name: str, check: Check) -> None:
    torch.manual_seed(0)
    check(SUBJECTS[name])


def test_declaring_imports_neither_torch_nor_pydantic() -> None:
    code = "import sys, ganart_text_critic as p; p.ganart_models(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture(params=["text-critic", "text-critic-report"])
def critic(request: pytest.FixtureRequest) -> TwoTowers:
    torch.manual_seed(1)
    model = SUBJECTS[request.param].create()
    assert isinstance(model, TwoTowers)
    return model


def test_votes_are_similarities_less_the_baselines_of_both_banks(critic: TwoTowers) -> None:
    images, prompts = torch.rand(3, 3, 32, 32), ("a red apple", "a lion", "lion, 3d")
    bank_images, bank_prompts = torch.rand(7, 3, 32, 32), [f"word{i} thing" for i in range(7)]
    critic.set_banks(bank_images, bank_prompts)
    votes = critic(images, Condition(prompts=prompts))
    scale = math.exp(critic.log_scale)
    pictures, texts = critic.picture_vectors(images).double(), critic.text_vectors(prompts).double()
    for row in range(3):
        of_picture = [math.exp(scale * float(pictures[row] @ t)) for t in critic.text_vectors(bank_prompts).double()]
        of_text = [math.exp(scale * float(p @ texts[row])) for p in critic.picture_vectors(bank_images).double()]
        expected = scale * float(pictures[row] @ texts[row])
        expected -= (math.log(sum(of_picture) / 7) + math.log(sum(of_text) / 7)) / 2
        assert float(votes[row, 0]) == pytest.approx(expected, abs=1e-4)


def test_a_constant_added_to_a_prompts_similarities_does_not_change_its_votes(critic: TwoTowers) -> None:
    # a bank that holds the text itself gives it a baseline at least as high as any other
    images = torch.rand(4, 3, 32, 32)
    critic.set_banks(images, ["a red apple"] * 4)
    votes = critic(images, PROMPT)
    assert float(votes.exp().mean()) == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize(
    "prompt",
    ["", "   ", "\x00\x1b", "\N{RED APPLE}\N{LION FACE}", "تفاحة", "zzzzqqq", "word " * 2000, "!" * 10_000, "\ud800"],
)
def test_any_prompt_is_scored(critic: TwoTowers, prompt: str) -> None:
    images = torch.rand(2, 3, 32, 32)
    score = critic.score(images, Condition(prompts=(prompt,)))
    assert score.isfinite().all()
    beside = critic.score(images, Condition(prompts=(prompt, "a much longer prompt of seven words")))
    torch.testing.assert_close(beside[0], score[0], rtol=1e-4, atol=1e-4)


def test_order_matters(critic: TwoTowers) -> None:
    one, other = critic.text_vectors(["a red circle left of a blue square", "a blue circle left of a red square"])
    assert not torch.allclose(one, other, atol=1e-4)


def test_misspellings_lie_nearer_than_other_words(critic: TwoTowers) -> None:
    right, wrong, other = critic.text_vectors(["strawberry", "strawbery", "motorcycle"])
    assert right @ wrong > right @ other


def test_unknown_words_are_reported(critic: TwoTowers) -> None:
    assert critic.unknown_words("a red apple") == ("a", "red", "apple")
    critic.set_vocabulary(["a", "red", "été", "x" * 300, "apple"])
    assert critic.vocabulary() == {"a", "red", "été", "apple"}
    assert critic.unknown_words("A red zorkmid, apple!") == ("zorkmid",)


def test_wrong_inputs_are_refused(critic: TwoTowers) -> None:
    images = torch.rand(3, 3, 32, 32)
    with pytest.raises(SettingsError, match=r"compares pictures with a text; give Condition\(prompts"):
        critic(images)
    with pytest.raises(SettingsError, match="2 rows of prompts for 3 pictures"):
        critic(images, Condition(prompts=("a", "b")))
    with pytest.raises(SettingsError, match="10,001 characters"):
        critic(images, Condition(prompts=("a" * 10_001,)))
    with pytest.raises(ImageError, match=r"images are \[3, 1, 32, 32\], expected \[n, 3, H, W\]"):
        critic(images[:, :1], PROMPT)


def test_pictures_of_any_size_are_scaled_and_padded_with_white() -> None:
    images = torch.zeros(1, 3, 40, 80)
    square = to_square(images, 20)
    assert square.shape == (1, 3, 20, 20)
    assert (square[:, :, :5] == 1).all()
    assert (square[:, :, 5:15] == 0).all()
    assert (square[:, :, 15:] == 1).all()
    same = torch.rand(1, 3, 20, 20)
    assert to_square(same, 20) is same


def test_a_reference_itself_scores_highest() -> None:
    critic = ZOO.create("reference", resolution=64, backbone=BACKBONE)
    images = torch.rand(3, 3, 64, 64)
    smooth = torch.nn.functional.avg_pool2d(images, 9, 1, 4)
    candidates = torch.cat([smooth[:1], smooth[:1] * 0.9 + 0.1 * images[:1], smooth[1:], torch.ones(1, 3, 64, 64)])
    scores = critic.score(candidates, Condition(images=smooth[:1]))
    assert float(scores[0]) == pytest.approx(0, abs=1e-5)
    assert scores.argmax() == 0
    assert scores[1] > scores[2]


def test_content_does_not_depend_on_the_place() -> None:
    torch.manual_seed(0)
    thing = torch.ones(1, 3, 64, 64)
    thing[:, :, 16:32, 16:32] = torch.rand(1, 3, 16, 16)
    moved = thing.roll(16, dims=3)
    drop = {}
    for compare in ("layout", "content"):
        critic = ZOO.create("reference", resolution=64, backbone=BACKBONE, compare=compare)
        drop[compare] = float(critic.score(moved, Condition(images=thing)))
    assert drop["content"] > drop["layout"]


def test_a_reference_is_needed() -> None:
    critic = SUBJECTS["reference"].create()
    images = torch.rand(3, 3, 32, 32)
    with pytest.raises(SettingsError, match=r"give Condition\(images=\.\.\.\)"):
        critic(images, PROMPT)
    with pytest.raises(SettingsError, match="2 references for 3 pictures"):
        critic(images, Condition(images=images[:2]))


def test_reference_features_are_computed_once() -> None:
    critic = SUBJECTS["reference"].create()
    images = torch.rand(2, 3, 32, 32)
    condition = critic.embed(Condition(images=images))
    assert critic.embed(condition).embedding is condition.embedding
    torch.testing.assert_close(
        critic.score(images, Condition(embedding=condition.embedding)), critic.score(images, Condition(images=images))
    )


def test_the_shipped_sizes() -> None:
    parameters = sum(p.numel() for p in TextCritic(CriticConfig()).parameters())
    assert parameters * 2 < 6e6


@pytest.mark.parametrize("name", ["text-critic", "text-critic-report"])
def test_the_shipped_weights_tell_shapes_and_colours_apart(name: str) -> None:
    critic = Zoo(plugins=[ganart_text_critic, ganart_backbones]).create(name)
    assert isinstance(critic, TwoTowers)
    picture = torch.ones(1, 3, 64, 64)
    picture[:, :, 24:40, 8:24] = torch.tensor([225, 35, 40]).view(3, 1, 1) / 255
    picture[:, :, 24:40, 40:56] = torch.tensor([35, 95, 215]).view(3, 1, 1) / 255
    asked = "a red square left of a blue square"
    wrong = ["a red circle left of a blue circle", "a green square left of a pink square", "grinning face, 3d"]
    right, *others = (float(critic.score(picture, Condition(prompts=(text,)))) for text in (asked, *wrong))
    assert right > max(others)
    assert right > 1
    assert critic.unknown_words("a red zorkmid") == ("zorkmid",)
