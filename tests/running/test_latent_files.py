"""Files of latents: sampled and passed through, and refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ganart_shapes.runs import save_run
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.contract import SettingsError, WeightsError
from ganart_zoo.imaging import read_record
from ganart_zoo.tasks.generating import LoadedGenerator, load_generator
from ganart_zoo.tasks.interpolate import frames, interpolate
from ganart_zoo.tasks.reproduce import reproduce
from ganart_zoo.tasks.sample import sample


@pytest.fixture
def bands(shapes: Zoo, tmp_path: Path) -> LoadedGenerator:
    return load_generator(shapes, save_run(tmp_path / "run", generator=shapes.create("bands", weights=None)))


def styles(path: Path, n: int = 3) -> torch.Tensor:
    ws = torch.rand(n, 4, 3, generator=torch.Generator().manual_seed(n))
    save_file({"ws": ws}, path)
    return ws


def test_each_row_is_a_picture_and_each_file_of_a_folder_can_be_made_again(
    bands: LoadedGenerator, tmp_path: Path
) -> None:
    ws = styles(tmp_path / "found.safetensors")
    made = sample(bands, output=tmp_path / "out", latents=tmp_path / "found.safetensors")
    assert torch.equal(made.images, bands.model.synthesize(ws))
    assert [path.name for path in made.paths] == ["latent0000.png", "latent0001.png", "latent0002.png"]
    for path in made.paths:
        assert reproduce(bands.zoo, path, inputs=[tmp_path]).pixels.agree
    grid = sample(bands, 2, tmp_path / "grid.png", latents=tmp_path / "found.safetensors", first=1)
    assert torch.equal(grid.images, made.images[1:])
    assert [one.role for one in read_record(tmp_path / "grid.png").inputs] == ["latents"]
    assert reproduce(bands.zoo, tmp_path / "grid.png").pixels.agree


def test_a_way_goes_from_a_seed_through_the_rows_of_files(bands: LoadedGenerator, tmp_path: Path) -> None:
    ws = styles(tmp_path / "a.safetensors", 2)
    other = styles(tmp_path / "b.safetensors", 1)
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    total, made = frames(bands, [5], latents=files, steps=3)
    images = torch.cat(list(made))
    assert len(images) == total == 10
    ends = torch.cat([sample(bands, 1, seed=5).images, bands.model.synthesize(torch.cat([ws, other]))])
    assert torch.equal(images[::3], ends)
    interpolate(bands, [], tmp_path / "way", latents=files, steps=2)
    assert reproduce(bands.zoo, tmp_path / "way" / "frame0003.png", inputs=[tmp_path]).pixels.agree


def test_latents_of_a_plain_generator_lie_on_the_way_in_z(shapes: Zoo, tmp_path: Path) -> None:
    flat = load_generator(shapes, "flat", weights=None)
    save_file({"z": torch.tensor([[0.25], [0.75]])}, tmp_path / "z.safetensors")
    images = torch.cat(list(frames(flat, [], latents=[tmp_path / "z.safetensors"], steps=1)[1]))
    assert images[:, 0, 0, 0].tolist() == [0.25, 0.75]
    assert len(images[:, 2, 0, 0].unique()) == 1  # one noise


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"ws": torch.zeros(1, 1, 3)}, r"ws is \[1, 1, 3\], expected finite \[n, 4, 3\]"),
        ({"z": torch.zeros(1, 4)}, r"z is \[1, 4\], expected finite \[n, 3\]"),
        ({"z": torch.zeros(0, 3)}, r"z is \[0, 3\]"),
        ({"z": torch.full((1, 3), torch.nan)}, "expected finite"),
        ({"w": torch.zeros(1, 3)}, "holds w, expected z or ws"),
        ({"z": torch.zeros(1, 3), "ws": torch.zeros(1, 4, 3)}, "holds ws, z, expected z or ws"),
    ],
)
def test_files_that_do_not_fit_are_refused(bands: LoadedGenerator, tmp_path: Path, tensors: dict, message: str) -> None:
    save_file(tensors, tmp_path / "found.safetensors")
    for call in (
        lambda: sample(bands, latents=tmp_path / "found.safetensors"),
        lambda: frames(bands, [0], latents=[tmp_path / "found.safetensors"]),
    ):
        with pytest.raises(SettingsError, match=message):
            call()


def test_what_styles_cannot_be_told_is_refused(bands: LoadedGenerator, shapes: Zoo, tmp_path: Path) -> None:
    file = tmp_path / "found.safetensors"
    styles(file)
    for more, message in (
        ({"classes": [0]}, "leave classes out"),
        ({"prompt": "a hat"}, "leave a prompt out"),
        ({"n": 4}, "holds 3 latents, and 4 rows from row 0 on"),
        ({"first": 3}, "holds 3 latents, and row 3"),
        ({"first": -1}, "row -1"),
        ({"n": 0}, "n is 0"),
    ):
        with pytest.raises(SettingsError, match=message):
            sample(bands, latents=file, **more)  # type: ignore[arg-type]
    pulled = load_generator(shapes, tmp_path / "run", settings={"truncation": 0.5})
    with pytest.raises(SettingsError, match="leave truncation out"):
        sample(pulled, latents=file)
    with pytest.raises(SettingsError, match="flat has no styles"):
        sample(load_generator(shapes, "flat", weights=None), latents=file)
    with pytest.raises(SettingsError, match="holds ws, and the path is in z"):
        frames(bands, [0], latents=[file], space="z")
    with pytest.raises(WeightsError, match="does not exist"):
        sample(bands, latents=tmp_path / "none.safetensors")
