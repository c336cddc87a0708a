"""Conditions have one row or n; a critic that scores prompts embeds them once and can be climbed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import toy_critics.model
from torch import Tensor

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, SettingsError


def test_one_row_becomes_n() -> None:
    rows = Condition(torch.tensor([4]), ("a",), torch.ones(1, 3, 2, 2), torch.zeros(1, 7)).rows(3)
    assert rows.labels is not None
    assert rows.labels.tolist() == [4, 4, 4]
    assert rows.prompts == ("a", "a", "a")
    assert rows.images is not None
    assert rows.images.shape == (3, 3, 2, 2)
    assert rows.embedding is not None
    assert rows.embedding.shape == (3, 7)


def test_n_rows_and_absent_parts_stay() -> None:
    condition = Condition(prompts=["a", "b"])
    assert condition.rows(2) == Condition(prompts=("a", "b"))
    assert Condition().rows(5) == Condition()


@pytest.mark.parametrize("part", [{"prompts": ("a", "b")}, {"labels": torch.tensor([1, 2])}, {"prompts": ()}])
def test_another_number_of_rows_is_refused(part: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"[02] rows of (prompts|labels) for 3 pictures; give 1 or 3"):
        Condition(**part).rows(3)  # type: ignore[arg-type]


def test_a_loop_pays_for_the_text_once(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    embed = toy_critics.model._word
    monkeypatch.setattr(toy_critics.model, "_word", lambda word: words.append(word) or embed(word))
    critic = zoo.create("prompted")
    condition = critic.embed(Condition(prompts=["a red square"]))
    for _ in range(5):
        critic.score(torch.rand(2, 3, 16, 16), condition)  # type: ignore[operator]
    assert words == ["a", "red", "square"]


def test_climbing_the_score_raises_it(zoo: Zoo) -> None:
    torch.manual_seed(0)
    critic = zoo.create("prompted")
    condition = critic.embed(Condition(prompts=["a red square", "the sea"]))
    start = picture = torch.rand(2, 3, 24, 24)
    for _ in range(20):
        picture = picture.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(_score(critic, picture, condition).sum(), picture)
        picture = picture + 0.05 * gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
    assert (_score(critic, picture, condition) > _score(critic, start, condition) + 0.05).all()


def test_prompts_tell_apart(zoo: Zoo) -> None:
    torch.manual_seed(0)
    critic = zoo.create("prompted")
    scores = [_score(critic, torch.full((1, 3, 16, 16), 0.3), Condition(prompts=[text])) for text in _TEXTS]
    assert len({float(score) for score in scores}) == len(_TEXTS)
    with pytest.raises(SettingsError, match="got none"):
        _score(critic, torch.rand(1, 3, 16, 16), None)


_TEXTS: Sequence[str] = ("sea", "sea at night", "night")


def _score(critic, images: Tensor, condition: Condition | None) -> Tensor:  # type: ignore[no-untyped-def]
    return critic.score(images, condition)
