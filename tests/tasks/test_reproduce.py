"""The verb `reproduce`: the same pixels from the record alone, and a plain word where they differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError
from ganart_zoo.imaging import compare_pixels, load, read_record, save
from ganart_zoo.tasks.reproduce import reproduce
from ganart_zoo.tasks.stylize import StyleInput, stylize


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_all_pixels_agree_when_the_inputs_lie_beside_the_picture(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"out.{suffix}"
    stylize(
        zoo,
        photo,
        [StyleInput(image=painting, weight=2, region=photo), StyleInput(image=photo, source_region=painting)],
        output,
        model="blend",
        init=painting,
        seed=11,
        size=32,
        settings={"alpha": 0.75, "backbone": {"model": "pool", "block": 4}, "title": "x"},
    )
    photo.rename(tmp_path / "renamed.png")
    made = reproduce(zoo, output)
    assert made.pixels.agree
    assert made.changes == ()
    assert made.path is None


def test_a_stopped_picture_is_stopped_again_at_the_same_step(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path
) -> None:
    stylize(zoo, photo, [painting], tmp_path / "out.png", model="blend", on_step=lambda event: event.step < 2)
    assert reproduce(zoo, tmp_path / "out.png").pixels.agree


def test_named_styles_need_no_input_but_the_content(zoo: Zoo, photo: Path, tmp_path: Path) -> None:
    stylize(zoo, photo, [StyleInput(name="light")], tmp_path / "out.png", model="named")
    assert reproduce(zoo, tmp_path / "out.png").pixels.agree


def test_inputs_elsewhere_must_be_named(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    output = tmp_path / "made" / "out.png"
    output.parent.mkdir()
    stylize(zoo, photo, [painting], output, model="blend")
    with pytest.raises(ImageError, match=r"content 'photo\.png' .*style 1 'painting\.png' .* is not beside"):
        reproduce(zoo, output)
    kept = tmp_path / "again.png"
    made = reproduce(zoo, output, inputs=[tmp_path], output=kept)
    assert made.pixels.agree
    assert compare_pixels(kept, output).agree
    photo.write_bytes(photo.read_bytes() + b" ")  # another file now, whatever its name
    with pytest.raises(ImageError, match=r"content 'photo\.png'"):
        reproduce(zoo, output, inputs=[tmp_path / "nowhere", tmp_path])


def test_a_changed_pixel_is_seen(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    record = stylize(zoo, photo, [painting], output, model="blend").record
    images = load(output)
    images[0, 0, 3, 5] = 1 - images[0, 0, 3, 5].round()
    save(images, output, record=record)
    pixels = reproduce(zoo, output).pixels
    assert not pixels.agree
    assert pixels.differing == 1


def test_what_changed_since_is_told(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    record = stylize(zoo, photo, [painting], output, model="blend").record
    pool = replace(record.model.uses["backbone"], version="0.0.9", files={"model": "a" * 64})
    then = replace(
        record,
        model=replace(record.model, version="0.0.8", uses={"backbone": pool}),
        versions={**record.versions, "torch": "2.0.0"},
        ops={**record.ops, "ganart::style_loss": "native by hand"},
    )
    save(load(output), output, record=then)
    made = reproduce(zoo, output)
    assert made.pixels.agree
    assert set(made.changes) == {
        "ganart-tiny/blend: 0.0.8 then, 0.1.0 now",
        "ganart-tiny/pool: 0.0.9 then, 0.1.0 now",
        "weights 'model' of ganart-tiny/pool: sha256 aaaaaaaaaaaa… then, none now",
        f"torch: 2.0.0 then, {torch.__version__} now",
        f"ganart::style_loss: native by hand then, {record.ops['ganart::style_loss']} now",
    }


def test_it_runs_with_the_threads_of_then(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    output = tmp_path / "out.png"
    record = stylize(zoo, photo, [painting], output, model="blend").record
    save(load(output), output, record=replace(record, threads=before + 1))
    seen: set[int] = set()
    reproduce(zoo, output, on_step=lambda event: seen.add(torch.get_num_threads()))
    assert seen == {before + 1}
    assert torch.get_num_threads() == before


def test_pictures_that_cannot_be_made_again(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="carries no ganart record"):
        reproduce(zoo, photo)
    output = tmp_path / "out.png"
    stylize(zoo, photo, [painting], output, model="blend")
    with pytest.raises(ImageError, match=r"again\.jpg: expected a name that ends with \.png"):
        reproduce(zoo, output, output=tmp_path / "again.jpg")
    save(load(output), output, record=replace(read_record(output), task="knit"))
    with pytest.raises(ImageError, match=r"was made by 'knit', and reproduce knows .*stylize"):
        reproduce(zoo, output)


def test_a_model_that_is_gone_is_named_with_its_distribution_and_version(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    stylize(zoo, photo, [painting], output, model="blend")
    with pytest.raises(LookupError, match=r"blend of ganart-tiny 0\.1\.0, which is not installed; pip install"):
        reproduce(Zoo(plugins=[]), output)
