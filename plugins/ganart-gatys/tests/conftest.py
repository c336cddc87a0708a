"""A small backbone and small pictures, for tests that take milliseconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from ganart_zoo.contract import Backbone, LayerInfo


class TinyBackbone(Backbone):
    """Two convolutions with fixed random weights; the second halves the picture. Counts its calls."""

    taps = {"style": ("shallow", "deep"), "content": ("deep",)}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layers = {"shallow": LayerInfo(4, 1, 1), "deep": LayerInfo(6, 2, 2), "logits": LayerInfo(3, 2)}
        self.shallow = nn.Conv2d(3, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 6, 3, padding=1, stride=2)
        generator = torch.Generator().manual_seed(3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)
        self.calls = 0

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        self.calls += 1
        shallow = torch.relu(self.shallow(images.to(self.shallow.weight.dtype)))
        found = {"shallow": shallow}
        if "deep" in layers:
            found["deep"] = torch.relu(self.deep(shallow))
        return {name: found[name] for name in layers}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Pictures this small gain nothing from threads, and on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def backbone() -> TinyBackbone:
    """A new one for each test; its weights are always the same."""
    return TinyBackbone()


@pytest.fixture
def content() -> Tensor:
    """A smooth float32 picture, `[1, 3, 40, 48]`."""
    return _waves(40, 48, (0.11, 0.07, 0.05))


@pytest.fixture
def style() -> Tensor:
    """A busier picture, `[1, 3, 36, 30]`."""
    return _waves(36, 30, (0.9, 1.3, 0.6))


def _waves(height: int, width: int, frequencies: Sequence[float]) -> Tensor:
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = [0.5 + 0.4 * torch.sin(f * down + 1.7 * f * across + i) for i, f in enumerate(frequencies)]
    return torch.stack(planes)[None]
