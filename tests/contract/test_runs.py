"""A finished run is a model: its networks open by their folder and come back exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from toy_backbone.model import Tiny

from ganart_zoo import Zoo
from ganart_zoo.contract import (
    Condition,
    Model,
    ModelError,
    Provenance,
    Settings,
    SettingsError,
    WeightsError,
    WeightsMissingError,
    generator,
)
from ganart_zoo.registry.runs import describe_parts


def save_run(folder: Path, **parts: Model) -> Path:
    """Write what training leaves of its networks."""
    folder.mkdir()
    described = describe_parts({name: model.provenance for name, model in parts.items() if model.provenance})
    (folder / "config.json").write_text(json.dumps(described))
    for name, model in parts.items():
        save_file({key: value.contiguous() for key, value in model.own_state().items()}, folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def backbone(zoo: Zoo) -> Model:
    torch.manual_seed(0)
    return zoo.create("tiny")


def test_both_networks_open(zoo: Zoo, tmp_path: Path, backbone: Model) -> None:
    generated = zoo.create("styled", resolution=8, class_names=["sun", "moon", "star"])
    critic = zoo.create("projected", layers=["middle"], backbone=backbone)
    run = save_run(tmp_path / "run", generator=generated, critic=critic)
    again = zoo.create(run)
    latents, condition = torch.randn(2, 5), Condition(labels=torch.tensor([2]))
    torch.testing.assert_close(again(latents, condition), generated(latents, condition), rtol=0, atol=0)
    judge = zoo.create(run, part="critic", backbone=backbone)
    torch.testing.assert_close(judge.score(latents_to_images(latents)), critic.score(latents_to_images(latents)))  # type: ignore[operator]
    made = judge.provenance
    assert made is not None
    assert (made.model, made.part, made.weights) == ("toy-critics/projected", "critic", str(run))
    assert made.config == {"layers": ["middle"]}
    assert set(made.files) == {"model"}


def latents_to_images(latents: torch.Tensor) -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=generator(int(latents.numel())))


def test_a_run_can_be_used_by_another_model(zoo: Zoo, tmp_path: Path, backbone: Model) -> None:
    """By its Path; and what is built on it can be made again from its provenance, through JSON."""
    run = save_run(tmp_path / "run", critic=backbone)
    with pytest.raises(ModelError, match="has no part 'generator'; it has critic"):
        zoo.create("projected", backbone=run)
    critic = zoo.create("projected", backbone={"model": run, "part": "critic"})
    assert critic.provenance is not None
    described = Provenance.from_json(json.loads(json.dumps(critic.provenance.to_json())))
    assert described == critic.provenance
    twin = zoo.create(**described.to_settings())
    images = torch.rand(1, 3, 16, 16)
    expected = backbone(images, ["deep"])["deep"]
    torch.testing.assert_close(twin.backbone(images, ["deep"])["deep"], expected, rtol=0, atol=0)


def test_another_backbone_may_be_given_and_no_other_config(zoo: Zoo, tmp_path: Path, backbone: Model) -> None:
    run = save_run(tmp_path / "run", critic=zoo.create("projected"))
    assert zoo.create(run, part="critic", backbone=backbone).backbone is backbone
    with pytest.raises(SettingsError, match="layers cannot be changed, because the run was trained with its config"):
        zoo.create(run, part="critic", layers=["deep"])
    with pytest.raises(SettingsError, match="has its own"):
        zoo.create(run, part="critic", weights="other")


def test_what_was_built_by_hand_must_be_given_again(zoo: Zoo, tmp_path: Path) -> None:
    by_hand = Tiny(Settings())
    run = save_run(tmp_path / "run", critic=zoo.create("projected", backbone=by_hand))
    with pytest.raises(ModelError, match="backbone of toy-critics/projected was built by hand; pass it as"):
        zoo.create(run, part="critic")
    assert zoo.create(run, part="critic", backbone=by_hand).backbone is by_hand


def test_a_run_without_its_file_says_so(zoo: Zoo, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", generator=zoo.create("styled"))
    (run / "generator.safetensors").unlink()
    with pytest.raises(
        WeightsMissingError, match=r"generator.safetensors is missing, and the run has no checkpoint; train"
    ):
        zoo.create(run)


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 64])
def test_a_run_with_a_damaged_checkpoint_says_so(zoo: Zoo, tmp_path: Path, damage: bytes) -> None:
    run = save_run(tmp_path / "run", generator=zoo.create("styled"))
    (run / "generator.safetensors").unlink()
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "step-00000007.safetensors").write_bytes(damage)
    with pytest.raises(WeightsError, match=r"step-00000007.safetensors is "):
        zoo.create(run)


def test_a_run_of_a_plugin_that_changed_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", generator=zoo.create("styled"))
    text = (run / "config.json").read_text().replace('"w_dim"', '"style_length"')
    (run / "config.json").write_text(text)
    with pytest.raises(SettingsError, match="has no setting 'style_length'"):
        zoo.create(run)
