"""The record survives in every format, inputs are found by content, and pixels are compared honestly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo import imaging
from ganart_zoo.contract.errors import ImageError
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.imaging.record import RECORD_VERSION, InputFile, Record, compare_pixels, find_inputs, read_record

BACKBONE = Provenance("zoo/net", "1.2", config={"width": 1.5}, weights="default", files={"net.safetensors": "ab" * 32})
RECORD = Record(
    task="stylize",
    model=Provenance("zoo/gatys", "0.1", uses={"backbone": BACKBONE, "handmade": None}),
    options={"steps": 150, "strength": 0.1 + 0.2, "layers": ["a", "b"], "preserve_colour": None},
    seed=2**63 - 1,
    device="cpu",
    threads=2,
    versions={"python": "3.11", "torch": "2.13"},
    ops={"gram": "native avx2"},
    inputs=(InputFile("content", "Straße 🎨.jpg", "cd" * 32, 12345),),
    request={"styles": [{"weight": 1.0, "name": "Großstadt – “night”\n"}]},
)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_the_record_survives_saving(name: str, tmp_path: Path) -> None:
    imaging.save(torch.rand(1, 3, 8, 8), tmp_path / name, record=RECORD)
    assert read_record(tmp_path / name) == RECORD


def test_other_programs_find_plain_json_in_a_png(tmp_path: Path) -> None:
    imaging.save(torch.rand(1, 3, 8, 8), tmp_path / "a.png", record=RECORD)
    with Image.open(tmp_path / "a.png") as image:
        values = json.loads(image.text["ganart"])
    assert values["record_version"] == RECORD_VERSION
    assert values["model"]["uses"]["backbone"]["files"] == {"net.safetensors": "ab" * 32}
    assert values["inputs"][0]["name"] == "Straße 🎨.jpg"


def test_a_png_rewritten_by_another_program_still_carries_it(tmp_path: Path) -> None:
    imaging.save(torch.rand(1, 3, 8, 8), tmp_path / "a.png", record=RECORD)
    image = Image.open(tmp_path / "a.png")
    image.load()
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("ganart", image.text["ganart"], zip=True)
    image.save(tmp_path / "b.png", pnginfo=info)
    assert read_record(tmp_path / "b.png") == RECORD


def test_a_long_record_fits_a_png_and_not_a_jpeg(tmp_path: Path) -> None:
    long = dataclasses.replace(RECORD, request={"prompt": "x" * 2_000_000})
    imaging.save(torch.rand(1, 3, 8, 8), tmp_path / "a.png", record=long)
    assert read_record(tmp_path / "a.png") == long
    with pytest.raises(ImageError, match=r"a\.jpg: not written"):
        imaging.save(torch.rand(1, 3, 8, 8), tmp_path / "a.jpg", record=long)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg.png", "a.png"]
    assert read_record(tmp_path / "a.jpg.png") == long  # work is not lost for its format


def test_infinite_options_survive() -> None:
    endless = dataclasses.replace(RECORD, options={"tolerance": math.inf})
    assert Record.from_text(endless.to_text()) == endless


def test_the_same_picture_and_record_give_the_same_bytes(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 8, 8)
    for name in ("a.png", "b.png"):
        imaging.save(images, tmp_path / name, record=RECORD)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_value_that_is_not_json_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        imaging.save(torch.rand(1, 3, 8, 8), tmp_path / "a.png", record=dataclasses.replace(RECORD, request={"x": {1}}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif"])
def test_a_picture_without_a_record(name: str, tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / name)
    with pytest.raises(ImageError, match=f"{name}: carries no ganart record"):
        read_record(tmp_path / name)


def test_someone_elses_user_comment_is_no_record(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"ASCII\0\0\0holiday"}
    Image.new("RGB", (2, 2)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(ImageError, match="carries no ganart record"):
        read_record(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the record is damaged"),
        ("{", "the record is damaged"),
        ("[1]", "the record is damaged"),
        ('{"seed": 1}', "the record is damaged"),
        (f'{{"record_version": {RECORD_VERSION}}}', "the record is damaged"),
        ('{"record_version": 999}', f"version 999, this ganart-zoo reads {RECORD_VERSION}; use the release"),
        (RECORD.to_text().replace('"seed"', '"sead"'), "the record is damaged .*sead"),
        (RECORD.to_text().replace('"uses": {}', '"uses": 3'), "the record is damaged"),
    ],
)
def test_damaged_and_foreign_records(text: str, message: str, tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("ganart", text)
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(ImageError, match=f"a.png: .*{message}"):
        read_record(tmp_path / "a.png")


def test_an_input_is_described_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert InputFile.of(tmp_path / "a.jpg", "style") == InputFile("style", "a.jpg", digest, 3)
    with pytest.raises(ImageError, match=r"none\.jpg: cannot be read \(No such file"):
        InputFile.of(tmp_path / "none.jpg", "style")


def described(content: bytes, name: str) -> InputFile:
    return InputFile("content", name, hashlib.sha256(content).hexdigest(), len(content))


def test_inputs_are_found_by_content_whatever_their_name(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "renamed.jpg").write_bytes(b"one")
    (tmp_path / "one.jpg").write_bytes(b"eno")  # same name and size, other content
    (tmp_path / "sub" / "two.jpg").write_bytes(b"two")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    inputs = [described(b"one", "one.jpg"), described(b"two", "two.jpg"), described(b"gone", "gone.jpg")]
    one, two = inputs[0].sha256, inputs[1].sha256
    assert find_inputs(inputs, [tmp_path]) == {one: tmp_path / "renamed.jpg"}
    expected = {one: tmp_path / "renamed.jpg", two: tmp_path / "sub" / "two.jpg"}
    assert find_inputs(inputs, [tmp_path / "none", tmp_path], recursive=True) == expected
    assert find_inputs([], [tmp_path]) == {}


def test_of_copies_the_one_with_the_recorded_name_is_taken(tmp_path: Path) -> None:
    for name in ("a.jpg", "one.jpg"):
        (tmp_path / name).write_bytes(b"one")
    wanted = described(b"one", "one.jpg")
    assert find_inputs([wanted], [tmp_path]) == {wanted.sha256: tmp_path / "one.jpg"}


def test_equal_pixels_agree_whatever_the_file(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 8, 8)
    imaging.save(images, tmp_path / "a.png", record=RECORD)
    Image.open(tmp_path / "a.png").save(tmp_path / "b.bmp")
    for other in (tmp_path / "b.bmp", imaging.to_pil(images)):
        difference = compare_pixels(tmp_path / "a.png", other)
        assert difference.agree
        assert str(difference) == "all 64 pixels agree"


def test_a_difference_is_measured() -> None:
    a = np.full((4, 5, 3), 100, dtype=np.uint8)
    b = a.copy()
    b[0, 0] = (97, 100, 101)
    b[3, 4, 2] = 110
    difference = compare_pixels(Image.fromarray(a), Image.fromarray(b))
    assert not difference.agree
    assert (difference.differing, difference.largest) == (2, 10)
    assert difference.mean == pytest.approx(14 / 60)
    assert str(difference) == "2 of 20 pixels differ, by up to 10 of 255 levels, 0.233 on average"


def test_sixteen_bits_are_compared_too() -> None:
    a = Image.fromarray(np.array([[1000]], dtype=np.uint16))
    b = Image.fromarray(np.array([[1001]], dtype=np.uint16))
    assert compare_pixels(a, b).largest == pytest.approx(255 / 65535, rel=1e-3)


def test_pictures_of_other_sizes_never_agree() -> None:
    difference = compare_pixels(Image.new("RGB", (4, 5)), Image.new("RGB", (5, 4)))
    assert not difference.agree
    assert str(difference) == "the sizes differ: 4×5 and 5×4"


def test_reading_a_record_needs_no_torch() -> None:
    code = "import sys, ganart_zoo.imaging.record; assert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_resolves() -> None:
    assert all(getattr(imaging, name) is not None for name in imaging.__all__)
    assert set(imaging.__all__) <= set(dir(imaging))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = imaging.lode


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_other_programs_read_that_a_model_made_the_picture(name: str, tmp_path: Path) -> None:
    imaging.save(torch.rand(1, 3, 8, 8), tmp_path / name, record=RECORD)
    with Image.open(tmp_path / name) as image:
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    text = packet if isinstance(packet, str) else packet.decode()
    (described,) = ElementTree.fromstring(text).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert described.attrib["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"] == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    )
    assert read_record(tmp_path / name) == RECORD
    imaging.save(torch.rand(1, 3, 8, 8), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert "xmp" not in image.info
        assert "XML:com.adobe.xmp" not in image.info
