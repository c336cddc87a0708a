"""What every critic must do."""

from __future__ import annotations

import copy
from typing import cast

import torch

from ganart_zoo.contract import Condition, Critic, CriticOutput
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["CHECKS"]


def votes_in_rows(subject: Subject) -> None:
    """Votes are `[n, k]`, additional losses are scalars, and a score is the mean vote."""
    model = cast(Critic, subject.create())
    images = subject.images(3)
    output = model(images, subject.condition)
    votes = output.votes if isinstance(output, CriticOutput) else output
    assert votes.ndim == 2, f"votes are {list(votes.shape)}, expected [n, k]"
    assert len(votes) == 3, f"votes are {list(votes.shape)} for 3 pictures"
    if isinstance(output, CriticOutput):
        for name, loss in output.losses.items():
            assert loss.ndim == 0, f"loss {name!r} is {list(loss.shape)}, expected a scalar"
    score = model.score(images, subject.condition)
    assert tuple(score.shape) == (3,), f"score returned {list(score.shape)} for 3 pictures, expected [3]"
    assert torch.allclose(score, votes.mean(dim=1), atol=subject.tolerance), "score is not the mean vote"


def judges_batches_apart(subject: Subject) -> None:
    """With `takes_batches`, in training, two batches in one call get the votes that each gets in a call of its own."""
    model = cast(Critic, subject.create())
    if not model.takes_batches:
        return
    batches = [subject.images(3), subject.images(3, seed=100)]
    condition = None if subject.condition is None else subject.condition.rows(3)
    # copies, since a network in training may change with each call
    expected = [copy.deepcopy(model).train()(batch, condition) for batch in batches]
    votes = copy.deepcopy(model).train()(torch.cat(batches), condition and condition.repeated(2), batches=2)
    assert isinstance(votes, torch.Tensor), f"forward returned a {type(votes).__name__} for two batches, expected votes"
    assert torch.allclose(votes, torch.cat(expected), atol=subject.tolerance), "two batches change each other's votes"


def prompts_embed_once(subject: Subject) -> None:
    """For `prompt`: `embed` fills the embedding, does so once, and changes no score."""
    model = cast(Critic, subject.create())
    images = subject.images(2)
    condition = Condition(prompts=("a red square", "a green circle"))
    embedded = model.embed(condition)
    assert embedded.embedding is not None, "embed left the embedding empty"
    assert len(embedded.embedding) == 2, f"{len(embedded.embedding)} rows for 2 prompts"
    again = model.embed(embedded)
    assert again.embedding is embedded.embedding, "embed recomputed an existing embedding"
    plain = model.score(images, condition)
    for other in (embedded, Condition(embedding=embedded.embedding)):
        same = torch.allclose(plain, model.score(images, other), atol=subject.tolerance)
        assert same, "the embedding of a prompt gives another score than the prompt"
    one = model.score(images, Condition(prompts=condition.prompts[:1]))  # type: ignore[index]  # set above
    assert torch.allclose(one[0], plain[0], atol=subject.tolerance), "one prompt for all pictures gives another score"


CHECKS: tuple[Check, ...] = (votes_in_rows, judges_batches_apart)
