"""The verb `sample`: one picture a seed, whatever is made beside it; classes, truncation, files, records, stopping."""

from __future__ import annotations

from pathlib import Path

import ganart_tiny
import numpy as np
import pytest
import torch
from ganart_shapes.runs import save_run
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, PluginFaultError, SettingsError, StepEvent, generator
from ganart_zoo.imaging import read_record, save
from ganart_zoo.tasks.generating import load_generator
from ganart_zoo.tasks.reproduce import reproduce
from ganart_zoo.tasks.sample import sample

NAMES = ["cat", "dog", "eel"]


def classed(zoo: Zoo):
    return load_generator(zoo, "flat", weights=None, settings={"class_names": NAMES})


def test_picture_k_is_that_of_seed_plus_k_however_many_are_made(shapes: Zoo) -> None:
    model = load_generator(shapes, "flat", weights=None)
    images = sample(model, 5, seed=7).images
    for k in range(5):
        rng = generator(7 + k)
        latent, noise = torch.randn(16, generator=rng)[0], torch.randn(16, generator=rng)[0]
        assert images[k, :, 0, 0].tolist() == [latent, 0, noise]
    assert torch.equal(sample(model, 2, seed=9).images, images[2:4])


def test_classes_are_taken_in_turn_by_number_or_name(shapes: Zoo) -> None:
    def greens(classes):
        return (sample(classed(shapes), 5, classes=classes).images[:, 1, 0, 0] * 10).round().int().tolist()

    assert greens(None) == [0, 1, 2, 0, 1]
    assert greens([2, "dog"]) == [2, 1, 2, 1, 2]


@pytest.mark.parametrize(
    ("model", "settings", "request_", "message"),
    [
        ("flat", {"class_names": NAMES}, {"classes": ["dgo"]}, "no class 'dgo'; did you mean 'dog'"),
        ("flat", {"class_names": NAMES}, {"classes": [3]}, "no class 3; it has cat, dog, eel"),
        ("flat", {"class_names": NAMES}, {"classes": [-1]}, "no class -1"),
        ("flat", {}, {"classes": [0]}, "has no classes to choose from"),
        ("bands", {}, {"classes": [0]}, "has no classes to choose from"),
        ("bands", {}, {"prompt": "a hat"}, "takes no text"),
        ("slow", {}, {}, "paints from a text; give a prompt"),
        ("echo", {}, {}, "paints from a reference picture; give one"),
        ("flat", {}, {"reference": torch.rand(1, 3, 8, 8)}, "takes no reference picture"),
        ("flat", {}, {"n": 0}, "n is 0"),
        ("flat", {}, {"seed": -1}, "seed is -1"),
        ("flat", {}, {"columns": 0}, "columns is 0"),
    ],
)
def test_what_it_cannot_do_is_said(shapes: Zoo, model: str, settings: dict, request_: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        sample(load_generator(shapes, model, weights=None, settings=settings), **request_)


def test_a_reference_reaches_the_generator_and_its_file_the_record(shapes: Zoo, tmp_path: Path) -> None:
    save(torch.full((1, 3, 6, 9), 0.2), tmp_path / "like.png")
    made = sample(
        load_generator(shapes, "echo", weights=None), 2, f"{tmp_path}/out/", reference=tmp_path / "like.png", seed=4
    )
    for k in range(2):
        latent = float(torch.randn(16, generator=generator(4 + k))[0])
        torch.testing.assert_close(made.images[k], torch.full((3, 6, 9), 0.2 + latent))
    assert [one.role for one in read_record(made.paths[1]).inputs] == ["reference"]
    assert reproduce(shapes, made.paths[1], inputs=[tmp_path]).pixels.agree


def test_only_generators_are_taken(shapes: Zoo) -> None:
    with pytest.raises(SettingsError, match="reddest is a critic, expected a generator"):
        load_generator(shapes, "reddest", weights=None)


def test_truncation_pulls_to_the_mean_and_is_refused_where_there_is_none(shapes: Zoo) -> None:
    whole = sample(load_generator(shapes, "bands", weights=None), 3).images
    half = sample(load_generator(shapes, "bands", weights=None, settings={"truncation": 0.5}), 3).images
    mean = torch.tensor([0.2, 0.4, 0.6])[None, :, None, None]
    torch.testing.assert_close(half, (whole + mean) / 2)
    with pytest.raises(SettingsError, match="no setting 'truncation'"):
        load_generator(shapes, "flat", weights=None, settings={"truncation": 0.5})


def test_the_grid_holds_the_pictures_in_rows_a_column_a_class(shapes: Zoo, tmp_path: Path) -> None:
    made = sample(classed(shapes), 6, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (2 + 2 * 10, 2 + 3 * 10, 3)
    for k in range(6):
        row, column = divmod(k, 3)
        expected = np.clip(made.images[k, :, 0, 0].numpy(), 0, 1) * 255
        found = pixels[2 + 10 * row : 10 + 10 * row, 2 + 10 * column : 10 + 10 * column].reshape(-1, 3)
        assert np.abs(found - expected).max() <= 0.51
    assert read_record(tmp_path / "grid.png").request == {
        "n": 6,
        "classes": [0, 1, 2],
        "prompt": None,
        "columns": 3,
    }


def test_a_folder_gets_single_files_that_can_each_be_made_again(shapes: Zoo, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", generator=classed(shapes).model)
    made = sample(load_generator(shapes, run), 4, tmp_path / "out", seed=3)
    assert [path.name for path in made.paths] == [f"seed{seed:04d}.png" for seed in (3, 4, 5, 6)]
    assert read_record(made.paths[2]).seed == 5
    assert read_record(made.paths[2]).request["classes"] == [2]
    with Image.open(made.paths[2]) as image:
        assert image.size == (8, 8)
    assert reproduce(shapes, made.paths[2]).pixels.agree
    sample(load_generator(shapes, run), 4, tmp_path / "grid.png", seed=3, classes=["eel"])
    assert reproduce(shapes, tmp_path / "grid.png").pixels.agree


def test_files_of_others_are_left_alone(shapes: Zoo, tmp_path: Path) -> None:
    model = load_generator(shapes, "flat", weights=None)
    Image.new("RGB", (4, 4)).save(tmp_path / "seed0001.png")
    with pytest.raises(ImageError, match=r"seed0001.png: exists and was not made by ganart"):
        sample(model, 2, f"{tmp_path}/")
    assert not (tmp_path / "seed0000.png").exists()
    assert len(sample(model, 2, f"{tmp_path}/", force=True).paths) == 2
    sample(model, 2, f"{tmp_path}/")  # our own are replaced
    with pytest.raises(ImageError, match=r"cannot write '\.gif'"):
        sample(model, 2, tmp_path / "grid.gif")


def test_stopping_keeps_the_finished_pictures_and_the_record_says_how_many(shapes: Zoo, tmp_path: Path) -> None:
    model = load_generator(shapes, "flat", weights=None)
    made = sample(model, 9, tmp_path / "grid.png", on_step=lambda event: event.step < 4)
    assert made.stopped
    assert torch.equal(made.images, sample(model, 4).images)
    assert read_record(tmp_path / "grid.png").request["n"] == 4
    assert reproduce(shapes, tmp_path / "grid.png").pixels.agree
    assert [event.stage for event in ganart_tiny.EVENTS[:3]] == ["started", "saved", "stopped"]


def test_an_iterative_generator_shows_its_steps_and_drops_an_unfinished_picture(shapes: Zoo, tmp_path: Path) -> None:
    model = load_generator(shapes, "slow", weights=None)
    seen: list[str] = []

    def on_step(event: StepEvent) -> bool:
        seen.append(f"{event.phase} {event.step}/{event.total}")
        return len(seen) < 6

    made = sample(model, 3, prompt="hat", on_step=on_step)
    assert seen[3:] == ["picture 1/3  denoise 4/4", "picture 2/3  denoise 1/4", "picture 2/3  denoise 2/4"]
    assert (len(made.images), made.stopped) == (1, True)
    nothing = sample(model, 3, tmp_path / "grid.png", prompt="hat", on_step=lambda event: False)
    assert (len(nothing.images), nothing.paths) == (0, ())
    assert not (tmp_path / "grid.png").exists()


def test_a_fault_of_the_model_is_told_as_its_own_and_one_of_the_caller_is_not(shapes: Zoo) -> None:
    def bad(event: StepEvent) -> None:
        raise KeyError("mine")

    with pytest.raises(PluginFaultError, match=r"ganart-shapes.*shapes do not fit"):
        sample(load_generator(shapes, "faulty", weights=None), 1)
    for model, prompt in (("flat", None), ("slow", "hat")):
        with pytest.raises(KeyError, match="mine"):
            sample(load_generator(shapes, model, weights=None), 2, prompt=prompt, on_step=bad)
