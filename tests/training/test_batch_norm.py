"""Batch norm against torch's, and statistics computed anew against those of all pictures at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ganart_zoo.contract import Condition, Generator, randn
from ganart_zoo.data import open_data
from ganart_zoo.training import BatchNorm, TrainConfig, Trainer, recalibrate
from ganart_zoo.training.checkpoint import Checkpoints, under

from .networks import TinyCritic, TinyGenerator, write_npz


class Normalising(Generator):
    """Latents `[n, 3, 2, 2]` as pictures, through a batch norm and a dropout."""

    latent_shape = (3, 2, 2)

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.dropout = nn.Dropout(0.5)
        self.seen: list[Tensor] = []

    def sample_latents(self, n, *, rng=None, options=None) -> Tensor:
        return 3 * randn((n, *self.latent_shape), rng) + 1

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:
        self.seen.append(latents)
        return self.dropout(self.norm(latents))


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_is_torchs(affine: bool) -> None:
    ours, torchs = BatchNorm(3, affine=affine), nn.BatchNorm2d(3, affine=affine)
    if affine:
        for norm in (ours, torchs):
            norm.weight.data.copy_(torch.tensor([0.5, 2, -1]))
            norm.bias.data.copy_(torch.tensor([0, 1, 3]))
    for _ in range(3):
        features = torch.randn(4, 3, 5, 2) + 7
        assert torch.equal(ours(features), torchs(features))
    assert torch.equal(ours.running_mean, torchs.running_mean)
    assert torch.equal(ours.running_variance, torchs.running_var)
    assert torch.equal(ours.eval()(features), torchs.eval()(features))


@pytest.mark.parametrize("kind", [BatchNorm, nn.BatchNorm2d])
def test_statistics_computed_anew_are_the_means_over_batches(kind: type[nn.Module]) -> None:
    model = Normalising(kind(3)).eval()
    model.norm.running_mean.fill_(50)
    assert recalibrate(model, 5, seed=3, rows=8)
    assert len(model.seen) == 5
    expected = [torch.var_mean(batch, (0, 2, 3)) for batch in model.seen]
    variance = next(each for name, each in model.norm.named_buffers() if name.startswith("running_var"))
    torch.testing.assert_close(variance, torch.stack([each for each, _ in expected]).mean(0))
    torch.testing.assert_close(model.norm.running_mean, torch.stack([mean for _, mean in expected]).mean(0))
    assert not any(module.training for module in model.modules())
    assert model.norm.momentum == 0.1

    before = model.norm.running_mean.clone()
    recalibrate(model, 5, seed=3, rows=8)
    assert torch.equal(model.norm.running_mean, before), "the same seed gave other statistics"
    recalibrate(model, 5, seed=4, rows=8)
    assert not torch.equal(model.norm.running_mean, before)


def test_what_is_borrowed_or_has_no_batch_norm_stays() -> None:
    assert not recalibrate(Normalising(nn.Identity()).eval(), 5, seed=0)
    borrowing = Normalising(nn.Identity()).eval()
    borrowing.other = Normalising(BatchNorm(3)).eval()
    assert not recalibrate(borrowing, 5, seed=0)
    assert torch.equal(borrowing.other.norm.running_mean, torch.zeros(3))


class NormalisedGenerator(TinyGenerator):
    """The tiny generator with its hidden layer normalised."""

    def __init__(self) -> None:
        super().__init__(classes=3)
        self.norm = BatchNorm(16)
        self.hidden = nn.Sequential(self.hidden, nn.Unflatten(1, (16, 1, 1)), self.norm, nn.Flatten())


@pytest.mark.parametrize("batches", [0, 20])
def test_a_finished_run_holds_statistics_of_its_own_pictures(tmp_path: Path, batches: int) -> None:
    generator, critic = NormalisedGenerator(), TinyCritic(3)
    config = TrainConfig(steps=3, batch=8, workers=0, samples=2, recalibrate=batches)
    data = open_data(write_npz(tmp_path / "data.npz", classes=3), 8)
    Trainer(generator, critic, data, config, tmp_path / "run", conditions=["labels"]).fit()
    kept = load_file(tmp_path / "run" / "generator.safetensors")
    average = under("average", Checkpoints.load(tmp_path / "run/checkpoints/step-00000003.safetensors")[0])
    again = NormalisedGenerator().eval()
    again.load_own_state(average)
    recalibrate(again, batches, config.seed, Condition(labels=torch.arange(8) % 3), rows=8)
    assert torch.equal(kept["norm.running_mean"], again.norm.running_mean)
    assert torch.equal(kept["norm.running_mean"], average["norm.running_mean"]) == (not batches)
