"""A small backbone and a small picture, for tests that take milliseconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from ganart_zoo.contract import Backbone, LayerInfo


class TinyBackbone(Backbone):
    """Two convolutions with fixed random weights, and a class head on the mean of the second."""

    taps = {"dream": ("deep",)}  # noqa: RUF012

    def __init__(self, classifier: bool = True) -> None:
        super().__init__()
        self.layers = {"shallow": LayerInfo(4, 1), "deep": LayerInfo(6, 2)}
        if classifier:
            self.layers["logits"] = LayerInfo(3, 2)
        self.shallow = nn.Conv2d(3, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 6, 3, padding=1, stride=2)
        self.head = nn.Linear(6, 3)
        generator = torch.Generator().manual_seed(3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        self.check_layers(layers)
        shallow = torch.relu(self.shallow(images.to(self.shallow.weight.dtype)))
        deep = torch.relu(self.deep(shallow))
        features = {"shallow": shallow, "deep": deep, "logits": self.head(deep.mean(dim=(2, 3)))}
        return {name: features[name] for name in layers}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Use one thread: pictures this small gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def backbone() -> TinyBackbone:
    """A new one for each test; its weights are always the same."""
    return TinyBackbone().requires_grad_(False)


@pytest.fixture
def content() -> Tensor:
    """A float32 picture, `[1, 3, 40, 48]`."""
    return 0.2 + 0.6 * torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(1))
