"""A photo rebuilt from the patches of style pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_patches.config import StyleOptions
from ganart_patches.matching import match_patches
from ganart_patches.pyramid import levels
from ganart_zoo.contract import OnStep, Rng, SettingsError, Style, StyleTransfer, per_row
from ganart_zoo.imaging import match_covariance, resize
from ganart_zoo.perceptual import Progress, check_init, check_pictures

__all__ = ["PatchStyle"]


class PatchStyle(StyleTransfer):
    """Starts from a small copy of the photo and gives it the patches of the style pictures, size by size."""

    def stylize(
        self,
        content: Tensor,
        styles: Sequence[Style],
        *,
        init: Tensor | None = None,
        rng: Rng = None,
        options: StyleOptions | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, H, W]` of the content's size, type and device, one after the other, not clamped.

        Args:
            content: `[n, 3, H, W]` in 0..1, at least 16 pixels a side.
            styles: Pictures; each gives its share of the patches.
            init: `[n, 3, H, W]`: a picture to start from in place of the content.
            rng: For the directions and positions of patches; None uses torch's global generator.
            options: None for the defaults.
            on_step: Gets the loss `patches` of each step.

        Raises:
            ImageError: A picture is too small, or not a picture.
            SettingsError: There is no style, a style is a name, or a style has a region.
        """
        options = options or StyleOptions()
        check_pictures("content", content)
        check_init(init, content)
        references = self._references(styles)
        size = (content.shape[-2], content.shape[-1])
        first = references[0][0].shape[-2:]
        plan = levels(size, (first[0], first[1]), coarsest=options.coarsest, ratio=options.ratio, patch=options.patch)
        with torch.inference_mode(False), torch.no_grad():
            photos = content.detach().to(self.device, self.picture_dtype, copy=True)
            references = [(image.to(photos), share) for image, share in references]
            starts = photos if init is None else init.detach().to(photos, copy=True)
            result = starts.clone()
            if init is None and options.recolour:
                starts = torch.cat([_recoloured(photo[None], references) for photo in photos])
            progress = Progress(result, options.total(len(plan)) * len(photos), on_step)
            drawn = per_row(rng, len(photos))
            rows = [None] * len(photos) if drawn is None else drawn
            for row, source in enumerate(rows):
                progress.begin(row)
                photo = photos[row : row + 1]

                def blended(picture: Tensor, photo: Tensor = photo) -> Tensor:
                    return photo.lerp(resize(picture, size), options.alpha)

                result[row : row + 1] = blended(
                    match_patches(
                        resize(starts[row : row + 1], plan[0].size),
                        references,
                        plan,
                        options,
                        source,
                        lambda loss, picture, side: progress.step(
                            {"patches": loss}, lambda: blended(picture()), f"{side} px"
                        ),
                    )
                )
                if progress.stopped:
                    break
            return result.to(content)

    def _references(self, styles: Sequence[Style]) -> list[tuple[Tensor, float]]:
        if not styles:
            raise SettingsError("no style was given; patch_style takes one style picture or more")
        shares = self.shares(styles)
        references = []
        for number, (style, share) in enumerate(zip(styles, shares, strict=True), 1):
            if style.region is not None or style.source_region is not None:
                raise SettingsError("patch_style cannot confine styles to regions; leave the regions out")
            assert style.image is not None  # `shares` refuses names, for there are none
            check_pictures(f"style {number}", style.image)
            if share:
                references.append((style.image.detach().clone(), share))
        return references


def _recoloured(photo: Tensor, references: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Return `[1, 3, H, W]` in the colours of the references."""
    each = [share * match_covariance(photo, image) for image, share in references]
    return torch.stack(each).sum(dim=0).clamp(0, 1)
