"""What every generator must do, and every style-based one."""

from __future__ import annotations

from typing import cast

import torch

from ganart_zoo.contract import Condition, Generator, SettingsError, StyleGenerator, generator
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["CHECKS", "STYLE_CHECKS"]


def latents_are_shaped_and_seeded(subject: Subject) -> None:
    """Latents are `[n, *latent_shape]` on the model's device, and a seed gives the same rows for any batch size."""
    model = cast(Generator, subject.create())
    few, many = (model.sample_latents(n, rng=generator(3)) for n in (2, 5))
    assert tuple(many.shape) == (5, *model.latent_shape), f"latents are {list(many.shape)}"
    assert many.device == model.device, f"latents are on {many.device}, expected {model.device}"
    assert torch.equal(few, many[:2]), "the first rows of a larger draw differ"
    apart = model.sample_latents(2, rng=[generator(3), generator(3)])
    assert torch.equal(apart[0], apart[1]), "rows with generators of one seed are not the same"
    none = model.sample_latents(0, rng=generator(3))
    assert tuple(none.shape) == (0, *model.latent_shape), f"0 latents are {list(none.shape)}"


def makes_square_pictures_of_its_resolution(subject: Subject) -> None:
    """Pictures are `[n, 3, H, W]`; if the config has a `resolution`, both sides equal it."""
    model = cast(Generator, subject.create())
    for n in (1, 3):
        (pictures,) = subject.call(model, n)
        assert tuple(pictures.shape[:2]) == (n, 3), f"pictures are {list(pictures.shape)}"
        resolution = getattr(model.config, "resolution", None)
        if resolution is not None and "size" not in subject.options:
            assert tuple(pictures.shape[2:]) == (resolution, resolution), f"pictures are {list(pictures.shape)}"


def works_without_condition(subject: Subject) -> None:
    """For `unconditional` models: a call without a condition works, unless they were made with classes."""
    model = cast(Generator, subject.create())
    if "labels" in subject.spec.capabilities and getattr(model.config, "class_names", None):
        return
    latents = model.sample_latents(2, rng=generator(1))
    pictures = model(latents, rng=generator(2), options=subject.zoo.options(subject.name, **subject.options))
    assert len(pictures) == 2, f"2 latents gave {len(pictures)} pictures"


def one_label_serves_all_rows(subject: Subject) -> None:
    """For `labels`: one row of labels is the same as n equal ones."""
    model = cast(Generator, subject.create())
    latents = model.sample_latents(3, rng=generator(1))
    options = subject.zoo.options(subject.name, **subject.options)
    one, other = (
        model(latents, Condition(labels=torch.tensor(labels)), rng=generator(2), options=options)
        for labels in ([0], [0, 0, 0])
    )
    assert torch.equal(one, other), "one row of labels gives other pictures than n equal rows"


def one_reference_serves_all_rows(subject: Subject) -> None:
    """For `reference`: one row is the same as n equal ones; a call without one is refused, unless `unconditional`."""
    model = cast(Generator, subject.create())
    latents = model.sample_latents(2, rng=generator(1))
    options = subject.zoo.options(subject.name, **subject.options)
    pictures = subject.images(1, dtype=model.picture_dtype)
    condition = subject.condition or Condition()
    one, other = (
        model(latents, condition._replace(images=images), rng=generator(2), options=options)
        for images in (pictures, torch.cat([pictures, pictures]))
    )
    assert torch.equal(one, other), "one reference picture gives other pictures than n equal ones"
    if "unconditional" not in subject.spec.capabilities:
        try:
            model(latents, condition._replace(images=None), rng=generator(2), options=options)
        except SettingsError:
            return
        raise AssertionError("a call without a reference picture was accepted, expected a SettingsError")


def styles_map_mix_and_truncate(subject: Subject) -> None:
    """Ws are `[n, num_ws, w_dim]`, rows and layers of them can be mixed, and truncation 0 forgets the latents."""
    model = cast(StyleGenerator, subject.create())
    ws = model.map(model.sample_latents(2, rng=generator(1)), subject.condition)
    assert tuple(ws.shape) == (2, model.num_ws, model.w_dim), f"ws are {list(ws.shape)}"
    assert tuple(model.mean_w.shape) == (model.w_dim,), f"mean_w is {list(model.mean_w.shape)}"
    mixed = torch.cat([ws[:1, :1], ws[1:, 1:]], dim=1)
    alone, together = model.synthesize(mixed), model.synthesize(torch.cat([ws, mixed]))
    bound = subject.tolerance * max(1.0, float(alone.abs().max()))
    assert (alone - together[2:]).abs().max() <= bound, "mixed styles give another picture in a larger batch"
    assert torch.equal(model.truncate(ws, 1.0), ws), "truncation 1 changes the styles"
    forgotten = model.synthesize(model.truncate(ws, 0.0))
    bound = subject.tolerance * max(1.0, float(forgotten.abs().max()))
    assert (forgotten[0] - forgotten[1]).abs().max() <= bound, "truncation 0 still depends on the latents"


def stored_noise_repeats_and_rng_noise_follows_its_seed(subject: Subject) -> None:
    """`rng=None` uses the noise stored with the weights; with a generator, the noise follows its seed."""
    model = cast(StyleGenerator, subject.create())
    ws = model.map(model.sample_latents(2, rng=generator(1)), subject.condition)
    torch.manual_seed(1)
    one = model.synthesize(ws)
    torch.manual_seed(2)
    assert torch.equal(one, model.synthesize(ws)), "stored noise depends on the global generator"
    drawn, again = (model.synthesize(ws, rng=generator(5)) for _ in range(2))
    assert torch.equal(drawn, again), "noise of one seed gives two pictures"


CHECKS: tuple[Check, ...] = (
    latents_are_shaped_and_seeded,
    makes_square_pictures_of_its_resolution,
)
STYLE_CHECKS: tuple[Check, ...] = (styles_map_mix_and_truncate, stored_noise_repeats_and_rng_noise_follows_its_seed)
