"""What `ganart doctor` finds in declarations before anything is built, and what a wrong declaration says when it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from ganart_zoo import Weights, WeightsFile, Zoo
from ganart_zoo.contract import Condition, Critic, Field, PluginFaultError, Settings, WeightsError
from tests.registry.making import plugin, spec
from tests.sabotage.distributions import install

HERE = __name__


class Config(Settings):
    width: int = Field(4, ge=1, le=8, description="Channels.")
    classes: int = Field(description="There is no default.")


class Narrow(Settings):
    wide: int = 4


class Reads(Critic):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.width = config.width


class Votes(Critic):
    answer: Any = None

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        return cast(Tensor, self.answer)


CONTENT = b"weights"
SOUND: dict[str, Any] = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT), "license": "MIT"}


@pytest.mark.parametrize(
    ("config", "file", "says"),
    [
        ({"width": 8}, {}, None),
        ({"width": 9}, {}, "weights 'default' need width=9, which the config refuses: Input should be less than"),
        ({}, {"package": "carries-weights:carries_weights/gone.safetensors"}, "does not contain"),
        ({}, {"package": "never-installed:x.safetensors"}, None),
        ({}, {"size": 8}, "net.safetensors has 7 bytes, and 8 are declared"),
        ({}, {"sha256": 64 * "0"}, "net.safetensors has another sha256 than is declared"),
    ],
)
def test_weights_that_a_distribution_carries_are_as_declared(
    config: dict[str, Any], file: dict[str, Any], says: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "carries-weights", {"carries_weights/__init__.py": ""})
    (tmp_path / "carries_weights" / "net.safetensors").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    packaged = WeightsFile(**{"package": "carries-weights:carries_weights/net.safetensors", **SOUND, **file})
    declared = spec(
        "net",
        kind="critic",
        factory=f"{HERE}:Votes",
        config=f"{HERE}:Config",
        weights=[Weights("default", files=[packaged], config=config)],
    )
    zoo = Zoo(plugins=[plugin("carrying", declared)])
    found = [fault.cause for fault in zoo.check()]
    assert len(found) == (says is not None), found
    if says is not None:
        assert says in found[0]
    if "sha256" in file:
        with pytest.raises(WeightsError, match="is not the file that is declared"):
            zoo.create("net", classes=1)


def test_a_config_of_another_model_is_named() -> None:
    zoo = Zoo(plugins=[plugin("mixed", spec("net", kind="critic", factory=f"{HERE}:Reads", config=f"{HERE}:Narrow"))])
    with pytest.raises(PluginFaultError, match=r"reads 'width' of its config, but .*:Narrow has wide"):
        zoo.create("net")
    wrong = Zoo(plugins=[plugin("typo", spec("net", kind="critic", factory=f"{HERE}:Reads", config=f"{HERE}:Narow"))])
    with pytest.raises(PluginFaultError, match="has no 'Narow'; did you mean 'Narrow'"):
        wrong.settings("net")


@pytest.mark.parametrize(
    ("answer", "says"),
    [(None, "returned a NoneType"), (torch.zeros(2), r"returned votes \[2\]"), (torch.zeros(1, 1), r"votes \[1, 1\]")],
)
def test_a_critic_without_rows_of_votes_says_what_it_returned(answer: Any, says: str) -> None:
    critic = Votes()
    critic.answer = answer
    with pytest.raises(TypeError, match=f"{says} for 2 pictures, expected votes"):
        critic.score(torch.zeros(2, 3, 4, 4))
