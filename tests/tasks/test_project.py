"""The verb `project`: finds latents that are known, in each space; keeps the best; stops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ganart_shapes.runs import save_run
from safetensors.torch import load_file, save_file

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, SettingsError, StepEvent
from ganart_zoo.imaging import read_record, save
from ganart_zoo.tasks.generating import LoadedGenerator, load_generator
from ganart_zoo.tasks.project import ProjectionSpace, project
from ganart_zoo.tasks.reproduce import reproduce
from ganart_zoo.tasks.sample import sample

PLAIN = {"backbone": "pool", "side": 16, "steps": 100, "rate": 0.1}


@pytest.fixture
def bands(shapes: Zoo) -> LoadedGenerator:
    return load_generator(shapes, "bands", weights=None)


def striped(colours: list[list[float]]) -> torch.Tensor:
    """A picture of 16×16 with four bands."""
    return torch.tensor(colours).T[None, :, :, None].repeat_interleave(4, dim=2).expand(-1, -1, -1, 16)


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_the_latent_of_a_picture_that_the_generator_can_paint_is_found(bands: LoadedGenerator, space) -> None:
    """A band shows its style, `mean_w + latent / 4`, so the answer is the colour itself."""
    colour = [0.3, 0.5, 0.45]
    found = project(bands, striped([colour] * 4), space=space, **PLAIN)
    assert (found.image - torch.tensor(colour)[None, :, None, None]).abs().max() < 0.01
    if space == "z":
        wanted = (torch.tensor(colour) - torch.tensor([0.2, 0.4, 0.6])) / 0.25
        torch.testing.assert_close(found.latent, wanted[None], atol=0.04, rtol=0)
    else:
        assert found.latent.shape == (1, 4, 3)
        assert (space == "w+") != bool((found.latent == found.latent[:, :1]).all())


def test_w_plus_reaches_what_w_cannot(bands: LoadedGenerator) -> None:
    colours = [[0.6, 0.3, 0.4], [0.2, 0.5, 0.6], [0.4, 0.4, 0.4], [0.3, 0.6, 0.2]]
    picture = striped(colours)
    near, far = (project(bands, picture, space=space, **PLAIN) for space in ("w+", "w"))  # type: ignore[arg-type]
    torch.testing.assert_close(near.latent[0], torch.tensor(colours), atol=0.02, rtol=0)
    assert near.loss < 0.05 * far.loss


def test_a_plain_generator_is_searched_in_z_for_the_class(shapes: Zoo) -> None:
    flat = load_generator(shapes, "flat", weights=None, settings={"class_names": ["cat", "dog", "eel"]})
    found = project(flat, striped([[0.7, 0.2, 0.1]] * 4), label="eel", **PLAIN)
    assert found.image[0, 1, 0, 0] == pytest.approx(0.2)
    assert found.latent.shape == (1, 1)
    assert torch.equal(found.image, project(flat, striped([[0.7, 0.2, 0.1]] * 4), label=2, **PLAIN).image)


def test_picture_and_latent_are_saved_with_the_record(bands: LoadedGenerator, tmp_path: Path) -> None:
    save(striped([[0.3, 0.5, 0.45]] * 4), tmp_path / "target.png")
    found = project(bands, tmp_path / "target.png", tmp_path / "found.png", **PLAIN)
    record = read_record(tmp_path / "found.png")
    assert (record.task, [one.role for one in record.inputs]) == ("project", ["picture"])
    kept = load_file(tmp_path / "found.safetensors")["ws"]
    assert kept.shape == (1, 4, 3)
    assert torch.equal(kept, found.latent)
    assert torch.equal(bands.model.synthesize(kept), found.image)
    project(bands, tmp_path / "target.png", tmp_path / "found.png", **{**PLAIN, "steps": 1})  # ours is replaced
    (tmp_path / "found.png").unlink()
    with pytest.raises(ImageError, match=r"exists without found\.png"):
        project(bands, tmp_path / "target.png", tmp_path / "found.png", **PLAIN)


def test_stopping_keeps_the_best_and_previews_show_it(bands: LoadedGenerator) -> None:
    picture = striped([[0.3, 0.5, 0.45]] * 4)
    seen: list[StepEvent] = []
    previews: list[torch.Tensor] = []

    def on_step(event: StepEvent) -> bool:
        seen.append(event)
        previews.append(event.preview())
        return event.step < 30

    found = project(bands, picture, on_step=on_step, **PLAIN)
    assert (found.stopped, found.steps, len(seen)) == (True, 30, 30)
    assert found.loss <= min(event.losses["loss"] for event in seen)
    assert torch.equal(previews[-1], found.image.clamp(0, 1))


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ("bands", {"steps": 0}, "steps is 0"),
        ("bands", {"rate": -1.0}, "rate is -1.0"),
        ("bands", {"space": "x"}, "space is 'x'"),
        ("bands", {"label": 1}, "has no classes"),
        ("bands", {"backbone": "flat"}, "flat is a generator, expected a backbone"),
        ("flat", {"space": "w+"}, "flat has no styles"),
        ("slow", {}, "does not say that it is differentiable"),
    ],
)
def test_what_is_not_fit_is_said(shapes: Zoo, model: str, more: dict, message: str) -> None:
    generator = load_generator(shapes, model, weights=None)
    with pytest.raises(SettingsError, match=message.replace("+", r"\+")):
        project(generator, striped([[0.3, 0.5, 0.45]] * 4), **{**PLAIN, **more})


@pytest.mark.parametrize("space", ["w", "w+", "z"])
def test_what_was_found_is_sampled_again(bands: LoadedGenerator, tmp_path: Path, space: ProjectionSpace) -> None:
    found = project(bands, striped([[0.3, 0.5, 0.45]] * 4), tmp_path / "found.png", space=space, **PLAIN)
    assert torch.equal(sample(bands, latents=tmp_path / "found.safetensors").images, found.image)


def test_noise_of_a_generator_without_styles_is_found_again_by_its_seed(shapes: Zoo, tmp_path: Path) -> None:
    """Blue is noise, so the picture found is sampled again only with the noise of the search."""
    flat = load_generator(shapes, "flat", weights=None, settings={"class_names": ["cat", "dog", "eel"]})
    picture = striped([[0.7, 0.2, 0.1]] * 4)
    found = project(flat, picture, tmp_path / "found.png", label="eel", seed=6, **PLAIN)
    again = sample(flat, latents=tmp_path / "found.safetensors", seed=6, classes=["eel"])
    assert torch.equal(again.images, found.image)


def test_the_search_is_made_again_from_its_record(shapes: Zoo, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    save_file({"scale": torch.full((1,), 2.0)}, tmp_path / "scale.safetensors")
    judge = {"model": "pool", "weights": str(tmp_path / "scale.safetensors"), "block": 4}
    save(striped([[0.3, 0.5, 0.45]] * 4), tmp_path / "target.png")
    made = project(
        load_generator(shapes, run, settings={"truncation": 0.9}),
        tmp_path / "target.png",
        tmp_path / "found.png",
        **{**PLAIN, "backbone": judge, "seed": 3},
        on_step=lambda event: event.step < 20,
    )
    looked = made.record.request["backbone"]
    assert (looked["model"], looked["config"]["block"]) == ("ganart-tiny/pool", 4)
    assert reproduce(shapes, tmp_path / "found.png").pixels.agree
    # the record says by what was looked: other features lead elsewhere
    other = replace(made.record, request={**made.record.request, "backbone": "pool", "rate": 0.5})
    save(made.image, tmp_path / "found.png", record=other)
    assert not reproduce(shapes, tmp_path / "found.png").pixels.agree


def test_a_text_is_part_of_what_is_searched(shapes: Zoo) -> None:
    lettered = load_generator(shapes, "lettered", weights=None)
    with pytest.raises(SettingsError, match="give a prompt"):
        project(lettered, striped([[0.3, 0.5, 0.45]] * 4), **PLAIN)
    colour = torch.tensor([0.3, 0.5, 0.45])
    found = project(lettered, striped([colour.tolist()] * 4), space="z", prompt="green hat", **PLAIN)
    wanted = (colour - torch.tensor([0.2, 0.4, 0.6]) - 0.09) / 0.25  # nine letters, a hundredth each
    torch.testing.assert_close(found.latent, wanted[None], atol=0.04, rtol=0)
