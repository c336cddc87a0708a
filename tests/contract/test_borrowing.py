"""Models that are built on others: what is lent stays frozen, in eval mode and out of the borrower's state."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import nn
from toy_backbone.model import Tiny
from toy_critics.model import Projected

from ganart_zoo import Zoo
from ganart_zoo.contract import Critic, CriticOutput, Model, ModelError, Settings, SettingsError


class Twice(Critic):
    """Reaches one borrowed model by two ways, and another that itself borrows."""

    def __init__(self, backbone: Tiny, judge: Projected) -> None:
        super().__init__()
        self.backbone = backbone
        self.wrapped = nn.ModuleList([nn.Sequential(backbone), judge])
        self.own = nn.Linear(2, 2)


@pytest.fixture
def critic(zoo: Zoo) -> Projected:
    torch.manual_seed(0)
    return cast(Projected, zoo.create("projected"))


def test_own_state_leaves_out_what_is_borrowed(critic: Projected) -> None:
    assert set(critic.own_state()) == {f"vote.{tap}.{name}" for tap in ("stem", "deep") for name in ("weight", "bias")}
    assert list(critic.borrowed()) == ["backbone"]


def test_borrowed_models_are_found_at_every_place() -> None:
    backbone = Tiny(Settings())
    model = Twice(backbone, Projected(_config(), Tiny(Settings())))
    assert list(model.borrowed()) == ["backbone", "wrapped.0.0", "wrapped.1"]
    assert set(model.own_state()) == {"own.weight", "own.bias"}
    assert {id(parameter) for parameter in model.own_parameters()} == {id(p) for p in model.own.parameters()}
    model.train().requires_grad_()
    thawed = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert thawed == ["own.weight", "own.bias"]
    training = {name for name, module in model.named_modules() if module.training}
    assert training == {"", "own", "wrapped", "wrapped.0"}


def test_training_moves_own_parameters_and_nothing_borrowed(critic: Projected) -> None:
    critic.train().requires_grad_()
    before = {key: value.clone() for key, value in critic.state_dict().items()}
    real, fake = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16) * 0.3
    optimizer = torch.optim.SGD(critic.own_parameters(), lr=0.1)
    losses = []
    for _ in range(10):
        seen, made = critic(real), critic(fake)
        loss = (1 - seen.votes).relu().mean() + (1 + made.votes).relu().mean() + 0.01 * seen.losses["drift"]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1
    moved = {key for key, value in critic.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == set(critic.own_state())


def test_a_projected_critic_votes_at_each_place(critic: Projected) -> None:
    output = critic(torch.rand(2, 3, 16, 24))
    assert isinstance(output, CriticOutput)
    assert output.votes.shape == (2, 8 * 12 + 2 * 3)  # strides 2 and 8
    assert torch.equal(critic.score(torch.ones(1, 3, 8, 8)), critic(torch.ones(1, 3, 8, 8)).votes.mean(dim=1))


def test_a_state_that_does_not_fit_changes_nothing(critic: Projected) -> None:
    before = {key: value.clone() for key, value in critic.own_state().items()}
    zeros = {key: torch.zeros_like(value) for key, value in before.items()}
    wrong_shape = {**zeros, "vote.stem.weight": torch.zeros(1, 5, 1, 1)}
    with pytest.raises(ModelError, match=r"Projected: 'vote.stem.weight' is \[1, 5, 1, 1\], expected \[1, 4, 1, 1\]$"):
        critic.load_own_state(wrong_shape)
    with pytest.raises(ModelError, match=r"missing 'vote.stem.weight'.* and 2 more$"):
        critic.load_own_state({"a": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"unexpected 'backbone.head.bias'$"):
        critic.load_own_state({**zeros, "backbone.head.bias": torch.zeros(5)})
    assert all(torch.equal(value, before[key]) for key, value in critic.own_state().items())
    critic.load_own_state(zeros)
    assert not any(value.any() for value in critic.own_state().values())


@pytest.mark.parametrize(
    "backbone", ["tiny", "toy-backbone/tiny", {"model": "tiny"}, {"model": "tiny", "weights": None}], ids=str
)
def test_uses_take_a_name_or_a_mapping(zoo: Zoo, backbone: object) -> None:
    made = zoo.create("projected", backbone=backbone)
    assert isinstance(made.backbone, Tiny)
    assert made.provenance is not None
    assert made.provenance.uses["backbone"] == made.backbone.provenance
    assert made.provenance.to_settings()["backbone"] == {"model": "toy-backbone/tiny", "weights": None}


def test_a_live_model_is_lent_as_it_is(zoo: Zoo) -> None:
    backbone = zoo.create("tiny")
    one, other = (zoo.create("projected", backbone=backbone) for _ in range(2))
    assert one.backbone is other.backbone is backbone
    assert one.provenance is not None
    assert one.provenance.uses["backbone"] is backbone.provenance


def test_a_model_built_by_hand_is_lent_too_and_frozen(zoo: Zoo) -> None:
    backbone = Tiny(Settings()).train()
    made = zoo.create("projected", backbone=backbone)
    assert made.provenance is not None
    assert made.provenance.uses == {"backbone": None}
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    with pytest.raises(ModelError, match="backbone of toy-critics/projected was built by hand"):
        made.provenance.to_settings()


def test_lending_never_converts_a_model_under_its_other_users(zoo: Zoo) -> None:
    backbone = zoo.create("tiny")
    with pytest.raises(SettingsError, match=r"live model in torch.float32 on cpu, .* in torch.bfloat16 on cpu"):
        zoo.create("projected", backbone=backbone, dtype=torch.bfloat16)
    assert backbone.compute_dtype == torch.float32


def test_a_live_model_of_another_kind_is_refused(zoo: Zoo) -> None:
    with pytest.raises(SettingsError, match="backbone is a generator, expected a backbone"):
        zoo.create("projected", backbone=zoo.create("styled"))
    with pytest.raises(SettingsError, match="backbone is a generator, expected a backbone"):
        zoo.create("projected", backbone="styled")


def test_layers_of_the_borrowed_model_are_checked(zoo: Zoo) -> None:
    with pytest.raises(SettingsError, match=r"layer 'steam' is not in Tiny; it has stem.*did you mean 'stem'"):
        zoo.create("projected", layers=["steam"])


def test_a_model_says_where_it_is_and_what_it_computes_in(zoo: Zoo) -> None:
    assert {t: _types(zoo.create("styled", dtype=t)) for t in (torch.float32, torch.float64, torch.bfloat16)} == {
        torch.float32: (torch.float32, torch.float32),
        torch.float64: (torch.float64, torch.float64),
        torch.bfloat16: (torch.bfloat16, torch.float32),
    }
    assert zoo.create("styled").device == torch.device("cpu")
    assert _types(Critic()) == (torch.float32, torch.float32)


def _types(model: Model) -> tuple[torch.dtype, torch.dtype]:
    return model.compute_dtype, model.picture_dtype


def _config():  # type: ignore[no-untyped-def]
    from toy_critics.config import Config

    return Config()
