"""New pictures with the patches of a reference picture."""

from __future__ import annotations

import torch
from torch import Tensor

from ganart_patches.config import GeneratorOptions
from ganart_patches.matching import match_patches
from ganart_patches.pyramid import levels
from ganart_zoo.contract import Condition, Generator, OnStep, Rng, Settings, SettingsError, per_row, randn
from ganart_zoo.imaging import resize
from ganart_zoo.perceptual import Progress, check_pictures

__all__ = ["Patches"]

_NOISE_SIDE = 32
_MOST_PIXELS = 64_000_000


class Patches(Generator):
    """Makes pictures that look like a reference: variations of it, the same in another shape, or a texture.

    The latents are the noise of the smallest picture, `[n, 3, 32, 32]`; they are scaled to its size.
    """

    latent_shape = (3, _NOISE_SIDE, _NOISE_SIDE)

    def sample_latents(self, n: int, *, rng: Rng = None, options: Settings | None = None) -> Tensor:
        """Return noise `[n, 3, 32, 32]`."""
        return randn((n, *self.latent_shape), rng, self.device, self.picture_dtype)

    def forward(
        self,
        latents: Tensor,
        condition: Condition | None = None,
        *,
        rng: Rng = None,
        options: GeneratorOptions | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, H, W]`, one after the other, not clamped.

        Args:
            latents: `[n, 3, 32, 32]`.
            condition: `images`, 1 or n references `[n, 3, h, w]` in 0..1 of at least 16 pixels a side.
            rng: For the directions and positions of patches; None uses torch's global generator.
            options: None for the defaults.
            on_step: Gets the loss `patches` of each step; after False, the picture so far is finished and returned.

        Raises:
            SettingsError: There is no reference, or the size is too small or too large.
            ImageError: The reference is too small, or not a picture.
        """
        options = options or GeneratorOptions()
        if condition is None or condition.images is None:
            raise SettingsError("patches needs a reference picture to take patches from; give one with --reference")
        references = condition.rows(len(latents)).images
        assert references is not None
        check_pictures("the reference", references)
        references = references.detach().to(latents.device, self.picture_dtype)
        size = _size(options, references.shape[-2:])
        plan = levels(
            size,
            (references.shape[-2], references.shape[-1]),
            coarsest=options.coarsest,
            ratio=options.ratio,
            patch=options.patch,
        )
        with torch.inference_mode(False), torch.no_grad():
            result = resize(references.clone(), size)
            progress = Progress(result, options.total(len(plan)) * len(latents), on_step)
            drawn = per_row(rng, len(latents))
            rows = [None] * len(latents) if drawn is None else drawn
            for row, source in enumerate(rows):
                progress.begin(row)
                reference = references[row : row + 1].clone()
                result[row : row + 1] = match_patches(
                    _start(latents[row : row + 1].clone(), reference, plan[0].size, options),
                    [(reference, 1.0)],
                    plan,
                    options,
                    source,
                    lambda loss, picture, side: progress.step(
                        {"patches": loss}, lambda: resize(picture(), size), f"{side} px"
                    ),
                )
                if progress.stopped:
                    break
        return result


def _size(options: GeneratorOptions, reference: torch.Size) -> tuple[int, int]:
    height, width = reference
    if options.size is None:
        return height, width
    if "x" in options.size:
        width, height = map(int, options.size.split("x"))
    else:
        side = int(options.size)
        height, width = (max(1, round(each * side / max(reference))) for each in reference)
    least = options.patch + 1
    if min(height, width) < least or height * width > _MOST_PIXELS:
        raise SettingsError(
            f"size is {options.size}, which is {width}x{height} pixels; expected at least {least} pixels a side "
            f"and at most {_MOST_PIXELS:,} pixels"
        )
    return height, width


def _start(latents: Tensor, reference: Tensor, size: tuple[int, int], options: GeneratorOptions) -> Tensor:
    noise = resize(latents.to(reference), size, mode="nearest") * options.noise
    if options.start == "reference":
        return resize(reference, size) + noise
    return reference.mean(dim=(2, 3), keepdim=True) + noise
