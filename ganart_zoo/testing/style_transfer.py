"""What every style transfer must do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from ganart_zoo.contract import Previous, SettingsError, Style, StyleTransfer, generator
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["CHECKS"]


def keeps_the_size(subject: Subject) -> None:
    """Pictures have the size of the content, odd or not, one for each content."""
    model = cast(StyleTransfer, subject.create())
    height, width = subject.size
    for size in ((height, width), (width + 1, height)):
        resized = replace(subject, size=size)
        (pictures,) = resized.call(model, 2)
        assert tuple(pictures.shape) == (2, 3, *size), f"content 2x3x{size} gave {list(pictures.shape)}"


def only_shares_of_styles_count(subject: Subject) -> None:
    """For `image_styles`: weights 1 and 3 blend as 2 and 6, 0 adds nothing, and a negative weight is refused."""
    model = cast(StyleTransfer, subject.create())
    one, other = (Style(image=subject.images(1, seed=seed)) for seed in (100, 200))
    blend, scaled = (
        _stylized(subject, model, [replace(one, weight=left), replace(other, weight=right)])
        for left, right in ((1.0, 3.0), (2.0, 6.0))
    )
    _assert_near(scaled, blend, subject.tolerance, "scaling all weights")
    alone = _stylized(subject, model, [one])
    _assert_near(
        _stylized(subject, model, [one, replace(other, weight=0.0)]), alone, subject.tolerance, "a weight of 0"
    )
    _assert_refused(subject, model, [replace(one, weight=-1.0)])


def names_are_known_and_checked(subject: Subject) -> None:
    """For `named_styles`: each of `style_names` works, and an unknown name is refused."""
    model = cast(StyleTransfer, subject.create())
    assert model.style_names, "style_names is empty"
    for name in model.style_names:
        _stylized(subject, model, [Style(name=name)])
    _assert_refused(subject, model, [Style(name="no such style")])


def works_without_style(subject: Subject) -> None:
    """For `no_style`: a call with an empty list of styles works."""
    model = cast(StyleTransfer, subject.create())
    picture = _stylized(subject, model, [])
    assert tuple(picture.shape) == (1, 3, *subject.size), f"without a style the picture is {list(picture.shape)}"


def keeps_what_was_painted(subject: Subject) -> None:
    """For `temporal`: the result is nearer to `previous` where its mask is 1, and as without it where that is 0."""
    model = cast(StyleTransfer, subject.create())
    styles = list(subject.chosen_styles())
    image, everywhere = subject.images(1, seed=300), torch.ones(1, 1, *subject.size)
    free = _stylized(subject, model, styles)
    kept = _stylized(subject, model, styles, previous=Previous(image, everywhere))
    apart, before = (float((picture - image).abs().mean()) for picture in (kept, free))
    assert apart < 0.8 * before, (
        f"with previous the result is {apart:.3g} from it on average, and {before:.3g} without; it is not kept"
    )
    hidden = _stylized(subject, model, styles, previous=Previous(image, 0 * everywhere))
    _assert_near(hidden, free, subject.tolerance, "a previous picture whose mask is 0")
    _stylized(subject, model, styles, previous=None)
    for wrong in (Previous(image[..., 1:], everywhere), Previous(image, everywhere[..., 1:])):
        _assert_refused(subject, model, styles, previous=wrong)


def _stylized(subject: Subject, model: StyleTransfer, styles: list[Style], **more: Any) -> Tensor:
    options = subject.zoo.options(subject.name, **subject.options)
    return model.stylize(subject.images(1), styles, rng=generator(1), options=options, **more)


def _assert_near(one: Tensor, other: Tensor, tolerance: float, what: str) -> None:
    difference = float((one - other).abs().max())
    assert difference <= tolerance * max(1.0, float(other.abs().max())), (
        f"{what} changed the picture by {difference:.3g}"
    )


def _assert_refused(subject: Subject, model: StyleTransfer, styles: list[Style], **more: Any) -> None:
    try:
        _stylized(subject, model, styles, **more)
    except SettingsError:
        return
    shapes = {name: [list(each.shape) for each in value] for name, value in more.items()}
    raise AssertionError(f"{shapes or styles} were accepted, expected a SettingsError")


CHECKS: tuple[Check, ...] = (keeps_the_size,)
