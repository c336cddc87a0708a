"""A backbone whose published weights are a state dict with torchvision's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ganart_backbones.photo import PhotoBackbone

__all__ = ["TorchvisionBackbone"]

_PARTS = ("weight", "bias")
_HEAD = "classifier."


class TorchvisionBackbone(PhotoBackbone):
    """Loads `features.*` and `classifier.*`; a model built without its class head loads files with or without one."""

    def torchvision_modules(self) -> Mapping[str, str]:
        """Return our module for each of torchvision's, including those of the class head."""
        raise NotImplementedError

    def published_names(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names of the tensors that a published file must hold, and of those that it may hold too."""
        names = frozenset(f"{module}.{part}" for module in self.torchvision_modules() for part in _PARTS)
        head = frozenset(name for name in names if name.startswith(_HEAD))
        return (names, frozenset()) if "logits" in self.layers else (names - head, head)

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return `own_state()`: the same tensors under our names."""
        required, _ = self.published_names()
        return {
            f"{own}.{part}": tensors[f"{module}.{part}"]
            for module, own in self.torchvision_modules().items()
            for part in _PARTS
            if f"{module}.{part}" in required
        }
