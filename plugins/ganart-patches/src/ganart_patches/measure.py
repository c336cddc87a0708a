"""How far the patches of a picture are from those of another."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_patches.nearest import Grid, Patches, exact_matches

__all__ = ["nearest_distance"]


def nearest_distance(picture: Tensor, reference: Tensor, patch: int = 7) -> float:
    """Return the root mean square difference of pixels between each patch of a picture and its nearest in a reference.

    0 means that each patch is copied. The search is exact and over all pixels of the patches: it takes about ten
    seconds for two pictures of 256x256 pixels.

    Args:
        picture: `[1, 3, H, W]`.
        reference: `[1, 3, h, w]`.
        patch: Side of the patches, in pixels.
    """
    mine, theirs = (
        Patches(
            F.unfold(image, patch)[0].T.contiguous(), Grid(image.shape[-2] - patch + 1, image.shape[-1] - patch + 1)
        )
        for image in (picture, reference)
    )
    return float((exact_matches(mine, theirs).distance.mean() / mine.features.shape[1]).sqrt())
