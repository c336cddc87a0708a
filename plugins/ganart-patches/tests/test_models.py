"""What the two models make of a picture, and what they refuse."""

from __future__ import annotations

import subprocess
import sys

import ganart_patches
import pytest
import torch
from ganart_patches.config import GeneratorOptions, StyleOptions
from ganart_patches.generator import Patches
from ganart_patches.measure import nearest_distance
from ganart_patches.pyramid import levels
from ganart_patches.style import PatchStyle
from torch import Tensor

from ganart_zoo.contract import Condition, ImageError, SettingsError, Style, generator
from ganart_zoo.imaging import resize

QUICK = {"nearest": {"steps": 4, "patch": 5}, "sliced": {"method": "sliced", "steps": 30, "patch": 5}}


def stripes(height: int, width: int, red: float = 0.9) -> Tensor:
    """A picture of diagonal stripes 8 pixels apart."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    wave = 0.5 + 0.4 * torch.sin((rows + columns) * 2 * torch.pi / 8)
    return torch.stack([red * wave, wave, 1 - wave])[None]


def painted(reference: Tensor, seed: int = 0, **options: object) -> Tensor:
    model, rng = Patches(), generator(seed)
    latents = model.sample_latents(1, rng=rng)
    return model(latents, Condition(images=reference), rng=rng, options=GeneratorOptions(**options))


@pytest.mark.parametrize("method", QUICK)
def test_a_texture_is_made_in_any_shape(method):
    made = painted(stripes(40, 40), size="70x33", start="noise", coarsest=12, **QUICK[method])
    assert made.shape == (1, 3, 33, 70)
    start = stripes(40, 40).mean(dim=(2, 3), keepdim=True) + 0.4 * torch.randn(
        1, 3, 33, 70, generator=torch.Generator().manual_seed(0)
    )
    limit = 0.08 if method == "nearest" else 0.16
    assert nearest_distance(made, stripes(40, 40), 5) < limit < nearest_distance(start, stripes(40, 40), 5)


def test_without_noise_and_in_its_own_shape_it_is_the_reference():
    reference = resize(torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(0)), (36, 42))
    made = painted(reference, noise=0.0, **QUICK["nearest"])
    assert (made - reference).abs().mean() < 0.01


def test_seeds_give_other_pictures_and_the_same_again():
    reference = stripes(40, 40) * torch.linspace(0.2, 1, 40)
    one, other = (painted(reference, seed, coarsest=20, **QUICK["nearest"]) for seed in (1, 2))
    assert torch.equal(one, painted(reference, 1, coarsest=20, **QUICK["nearest"]))
    assert (one - other).abs().mean() > 0.02


def test_small_reuse_brings_all_of_the_reference_into_the_picture():
    """A start in one colour of two: with completeness the other colour returns."""
    reference = torch.cat([torch.full((1, 3, 32, 24), 0.2), torch.full((1, 3, 32, 24), 0.8)], dim=3)
    photo = torch.full((1, 3, 32, 48), 0.2) + 0.02 * torch.rand(
        1, 3, 32, 48, generator=torch.Generator().manual_seed(0)
    )
    shares = []
    for reuse in (1e-5, None):
        options = StyleOptions(reuse=reuse, recolour=False, coarsest=16, **QUICK["nearest"])
        made = PatchStyle().stylize(photo, [Style(image=reference)], rng=generator(0), options=options)
        shares.append(float((made > 0.5).float().mean()))
    assert shares[0] > 0.1
    assert shares[1] == 0


@pytest.mark.parametrize("method", QUICK)
def test_a_style_takes_the_photos_place(method):
    photo = stripes(32, 48, red=0.2)
    style = torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0, 0]).view(
        1, 3, 1, 1
    )
    made = PatchStyle().stylize(photo, [Style(image=style)], rng=generator(0), options=StyleOptions(**QUICK[method]))
    assert made.shape == photo.shape
    assert made[:, 1:].mean().abs() < 0.2 * photo[:, 1:].mean()
    kept = PatchStyle().stylize(
        photo, [Style(image=style)], rng=generator(0), options=StyleOptions(alpha=0, **QUICK[method])
    )
    assert torch.equal(kept, photo)


@pytest.mark.parametrize("size", ["16x200", "200x16", "8x8", "300"])
@pytest.mark.parametrize("method", QUICK)
def test_odd_shapes(method, size):
    made = painted(stripes(16, 90), size=size, **{**QUICK[method], "steps": 1})
    assert made.isfinite().all()


def test_a_picture_of_one_colour_stays_one():
    assert (painted(torch.full((1, 3, 20, 24), 0.4), **QUICK["nearest"]) - 0.4).abs().max() < 1e-5


def test_rows_are_as_if_alone_and_a_shared_reference_serves_all():
    model = Patches()
    latents = model.sample_latents(2, rng=generator(0))
    options = GeneratorOptions(**QUICK["nearest"])
    both = model(latents, Condition(images=stripes(24, 30)), rng=generator(3), options=options)
    alone = model(latents[1:], Condition(images=stripes(24, 30)), rng=generator(3), options=options)
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize(
    ("reference", "options", "error", "message"),
    [
        (None, {}, SettingsError, "needs a reference picture"),
        (stripes(15, 40), {}, ImageError, "the reference is 1 x 40x15 pixels"),
        (stripes(20, 20) * torch.nan, {}, ImageError, "NaN or infinite"),
        (stripes(20, 20), {"size": "40x7"}, SettingsError, "size is 40x7, which is 40x7 pixels; expected at least 8"),
        (stripes(20, 20), {"size": "90000x90000"}, SettingsError, "at most 64,000,000 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(reference, options, error, message):
    model = Patches()
    with pytest.raises(error, match=message) as caught:
        model(model.sample_latents(1), Condition(images=reference), options=GeneratorOptions(**options))
    assert "\n" not in str(caught.value)


def test_styles_that_do_not_fit_are_refused():
    photo, mask = stripes(20, 24), torch.ones(1, 1, 20, 24)
    for styles, message in (
        ([], "no style was given"),
        ([Style(image=photo, region=mask)], "cannot confine styles to regions"),
        ([Style(name="wave")], "has no style 'wave'"),
    ):
        with pytest.raises(SettingsError, match=message):
            PatchStyle().stylize(photo, styles)


@pytest.mark.parametrize("size", ["12y3", "-5", "x9", "1.5", True])
def test_sizes_are_checked(size):
    with pytest.raises(ValueError, match="size"):
        GeneratorOptions(size=size)
    assert GeneratorOptions(size=96).size == "96"


def test_levels_end_at_the_full_size_and_begin_at_the_coarsest():
    plan = levels((256, 512), (300, 256), coarsest=16, ratio=0.75, patch=7)
    assert plan[-1] == (256, 512, 1.0)
    assert 16 <= plan[0].height < 16 / 0.75
    assert len(levels((16, 16), (16, 16), coarsest=40, ratio=0.5, patch=7)) == 1


def test_declaring_needs_neither_torch_nor_pydantic():
    assert all(spec.problems() == [] for spec in ganart_patches.ganart_models())
    code = "import sys, ganart_patches as g; g.ganart_models(); print(*({'torch', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
