"""Models as functions of tensors, with inputs to trace and to check them with: what `export` writes as ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import ModelError
from ganart_zoo.contract.models import Generator, StyleTransfer
from ganart_zoo.running.generators import LoadedGenerator
from ganart_zoo.running.stylists import LoadedStyleTransfer
from ganart_zoo.tasks.onnx_file import FreeAxes

__all__ = ["LEAST_SIDE", "GeneratorNetwork", "Network", "StylistNetwork", "network_of"]

LEAST_SIDE = 64
"""Pixels: the least side of a photo or of a style picture that the ONNX of a stylist takes."""

Inputs = dict[str, Tensor]


class Network(nn.Module):
    """A model as a function of tensors that returns pictures."""

    role: str
    """What its files are called."""

    def check(self) -> None:
        """Raise ModelError where tensors alone cannot say what the model is asked for."""

    def traced(self) -> Inputs:
        """Return inputs for the export, whose free axes have lengths of 2 or more."""
        raise NotImplementedError

    def free(self) -> FreeAxes:
        """Return which axes of which inputs may have other lengths."""
        raise NotImplementedError

    def checked(self) -> Iterator[Inputs]:
        """Yield inputs of other lengths."""
        raise NotImplementedError


class GeneratorNetwork(Network):
    """A generator as a function of latents, and of labels and the embedding of prompts where it has them."""

    role = "generator"

    def __init__(self, loaded: LoadedGenerator) -> None:
        super().__init__()
        self.model: Any = loaded.model
        assert isinstance(self.model, Generator)
        self._loaded = loaded
        self._names = tuple(self.inputs(1))[1:]

    def forward(self, latents: Tensor, first: Tensor | None = None, second: Tensor | None = None) -> Tensor:
        """Return pictures `[n, 3, H, W]`."""
        parts = dict(zip(self._names, (first, second), strict=False))
        condition = Condition(labels=parts.get("labels"), embedding=parts.get("embedding")) if parts else None
        images: Tensor = self.model(latents, condition, options=self._loaded.options)
        return images

    def check(self) -> None:
        """Refuse a model that reads a text and makes no embedding of it."""
        if self._reads_text and "embedding" not in self._names:
            raise ModelError(
                f"{self._loaded.entry.canonical} reads a text and has no embedding of it to give to ONNX; "
                "leave ONNX out"
            )

    def inputs(self, n: int) -> Inputs:
        """Return the inputs of the first n seeds by name.

        More rows have longer prompts, so that a length of the embedding that follows from the prompts changes with
        them.
        """
        loaded = self._loaded
        inputs = {"latents": loaded.latents(range(n))}
        if known := loaded.labels(None):
            inputs["labels"] = torch.tensor([known[row % len(known)] for row in range(n)])
        if self._reads_text:
            prompts = tuple(" ".join(["word"] * (row + 1)) for row in range(n))
            with torch.no_grad():
                embedding = loaded.model.embed(Condition(prompts=prompts)).embedding
            if embedding is not None:
                inputs["embedding"] = embedding
        return inputs

    def traced(self) -> Inputs:
        """Return the inputs of two seeds."""
        return self.inputs(2)

    def free(self) -> FreeAxes:
        """Return the rows, and what else follows from the prompts."""
        inputs, more, rows = self.inputs(2), self.inputs(3), torch.export.Dim("n")
        return {
            name: {0: rows}
            | {
                axis: torch.export.Dim(f"{name}_{axis}")
                for axis in range(1, tensor.ndim)
                if tensor.shape[axis] != more[name].shape[axis]
            }
            for name, tensor in inputs.items()
        }

    def checked(self) -> Iterator[Inputs]:
        """Yield the inputs of one seed, and of three."""
        yield self.inputs(1)
        yield self.inputs(3)

    @property
    def _reads_text(self) -> bool:
        return "prompt" in self._loaded.entry.spec.capabilities


class StylistNetwork(Network):
    """A model of one pass as a function of photos, and of shares of its styles or of style pictures."""

    role = "stylist"

    def __init__(self, loaded: LoadedStyleTransfer) -> None:
        super().__init__()
        self.model: Any = loaded.model
        assert isinstance(self.model, StyleTransfer)
        can = loaded.entry.spec.capabilities
        self._named, self._pictured = "named_styles" in can, "image_styles" in can

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Return pictures `[n, 3, H, W]`."""
        images: Tensor = self.model.one_pass(content, style)
        return images

    def traced(self) -> Inputs:
        """Return two photos."""
        return self._inputs(2, (96, 120), (88, 104))

    def free(self) -> FreeAxes:
        """Return the rows, and the sides of pictures."""
        rows = torch.export.Dim("n")
        free = {"content": {0: rows, **_sides("")}}
        if self._named:
            free["style"] = {0: rows}
        elif self._pictured:
            free["style"] = {0: rows, **_sides("style_")}
        return free

    def checked(self) -> Iterator[Inputs]:
        """Yield a photo of the least size, and three of sides that are odd."""
        yield self._inputs(1, (LEAST_SIDE, LEAST_SIDE), (LEAST_SIDE, LEAST_SIDE))
        yield self._inputs(3, (75, 133), (101, 67))

    def _inputs(self, n: int, size: tuple[int, int], style: tuple[int, int]) -> Inputs:
        draws = torch.Generator().manual_seed(0)
        dtype = self.model.picture_dtype

        def pictures(sides: tuple[int, int]) -> Tensor:
            return torch.rand(n, 3, *sides, generator=draws, dtype=dtype)

        inputs = {"content": pictures(size)}
        if self._named:
            shares = torch.rand(n, len(self.model.style_names), generator=draws, dtype=dtype)
            inputs["style"] = shares / shares.sum(dim=1, keepdim=True)
        elif self._pictured:
            inputs["style"] = pictures(style)
        return inputs


def network_of(loaded: LoadedGenerator | LoadedStyleTransfer) -> Network:
    """Return a loaded model as a function of tensors."""
    network = GeneratorNetwork(loaded) if isinstance(loaded, LoadedGenerator) else StylistNetwork(loaded)
    return network.eval()


def _sides(what: str) -> dict[int, Any]:
    return {axis: torch.export.Dim(f"{what}{side}", min=LEAST_SIDE) for axis, side in ((2, "height"), (3, "width"))}
