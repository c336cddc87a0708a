"""Two processes that share a batch normalise by the statistics of all of it."""

from __future__ import annotations

from pathlib import Path

import torch
from ganart_dcgan.batch_norm import StyledBatchNorm
from torch import Tensor, distributed, multiprocessing

_ROWS = 6


def _gradients_and_statistics(rows: slice) -> dict[str, Tensor]:
    torch.manual_seed(0)
    norm = StyledBatchNorm(4, 3)
    features, weights = torch.randn(2, _ROWS, 4, 3, 5).unbind()
    style = torch.randn(_ROWS, 3)
    mine = (features[rows] * 3 + 1).requires_grad_()
    normalised = norm(mine, style[rows])
    (normalised.square() * weights[rows]).sum().backward()
    return {
        "normalised": normalised.detach(),
        "input": mine.grad,
        "scale": norm.scale.weight.grad,
        "mean": norm.running_mean,
        "variance": norm.running_variance,
    }


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    half = slice(0, 2) if rank == 0 else slice(2, _ROWS)  # uneven shares count by their rows
    torch.save(_gradients_and_statistics(half), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_are_one(tmp_path: Path) -> None:
    multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    whole = _gradients_and_statistics(slice(None))
    for name in ("normalised", "input"):
        torch.testing.assert_close(torch.cat([first[name], second[name]]), whole[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first["scale"] + second["scale"], whole["scale"], rtol=1e-4, atol=1e-5)
    for name in ("mean", "variance"):
        torch.testing.assert_close(first[name], whole[name])
        assert torch.equal(first[name], second[name])
