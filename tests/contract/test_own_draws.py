"""Draws of plugin code from a generator of its own: nothing global moves, and threads do not meet."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from ganart_zoo.contract.own_draws import OwnDraws, copy_of_global
from ganart_zoo.contract.rng import generator

DRAWS = {
    "rand": lambda: torch.rand(5),
    "randn": lambda: torch.randn((2, 3)),
    "randint": lambda: torch.randint(100, (5,)),
    "randperm": lambda: torch.randperm(50),
    "normal": lambda: torch.normal(0.0, 1.0, (5,)),
    "rand_like": lambda: torch.rand_like(torch.empty(4, dtype=torch.float64)),
    "randn_like": lambda: torch.randn_like(torch.empty(2, 4)),
    "normal_": lambda: torch.empty(5).normal_(1, 2),
    "uniform_": lambda: torch.empty(5).uniform_(-1, 1),
    "bernoulli": lambda: torch.bernoulli(torch.full((40,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(50), 10),
    "init.normal_": lambda: nn.init.normal_(torch.empty(4, 4)),
    "init.kaiming_uniform_": lambda: nn.init.kaiming_uniform_(torch.empty(4, 4)),
    "init.xavier_normal_": lambda: nn.init.xavier_normal_(torch.empty(4, 4)),
    "init.trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(4, 4)),
    "init.orthogonal_": lambda: nn.init.orthogonal_(torch.empty(4, 4)),
    "Linear": lambda: nn.Linear(3, 2).weight.detach(),
    "Conv2d": lambda: nn.Conv2d(3, 2, 3).bias.detach(),
    "Embedding": lambda: nn.Embedding(6, 3).weight.detach(),
    "MultiheadAttention": lambda: nn.MultiheadAttention(4, 2).in_proj_weight.detach(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_generator_decides_and_the_global_one_stays(name: str) -> None:
    before = torch.get_rng_state()
    with OwnDraws(generator(3)):
        first = DRAWS[name]()
    with OwnDraws(generator(3)):
        again = DRAWS[name]()
    with OwnDraws(generator(4)):
        other = DRAWS[name]()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_generator_that_the_code_gives_is_kept() -> None:
    with OwnDraws(generator(3)):
        drawn = torch.randn(5, generator=generator(9))
    assert torch.equal(drawn, torch.randn(5, generator=generator(9)))


def test_likeness_keeps_the_dtype() -> None:
    with OwnDraws(generator(3)):
        assert torch.rand_like(torch.empty(4, dtype=torch.float64)).dtype == torch.float64
        assert torch.randn_like(torch.empty(4), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_other_threads_are_left_alone() -> None:
    inside, done = threading.Event(), threading.Event()
    drawn = []

    def other() -> None:
        inside.wait(10)
        drawn.append(torch.rand(3))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    torch.manual_seed(5)
    expected = torch.rand(3, generator=generator(5))
    with OwnDraws(generator(3)):
        inside.set()
        assert done.wait(10)
    thread.join()
    assert torch.equal(drawn[0], expected)


def test_a_copy_draws_what_the_global_one_would() -> None:
    torch.manual_seed(1)
    with OwnDraws(copy_of_global()):
        first = nn.Linear(4, 3).weight.detach()
    again = nn.Linear(4, 3).weight.detach()
    assert torch.equal(first, again)
