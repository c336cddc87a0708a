"""What a folder holds: links, runs, captions, and files that other programs wrote; what is left out is reported."""

from __future__ import annotations

import codecs
import json
import logging
import os
import resource
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo.contract import ImageError
from ganart_zoo.data import Data, open_data
from ganart_zoo.data.pictures import Crop, fit_square
from ganart_zoo.imaging import load

from .test_data import grey, png, write_folder, write_tar


def levels(data: Data) -> list[int]:
    """Return the grey levels of all pictures, sorted."""
    return sorted(int(sample.image[0, 0, 0]) for sample in data.once() if not isinstance(sample, ImageError))


def write_captions(path: Path, captions: dict[str, str], **options: object) -> None:
    lines = [json.dumps({"file_name": name, "text": text}, **options) for name, text in captions.items()]  # type: ignore[arg-type]
    path.write_bytes("\n".join(lines).encode())


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_characters_that_only_python_takes_for_line_ends_stay_in_captions(tmp_path: Path, separator: str) -> None:
    write_folder(tmp_path, 2)
    text = f"two{separator}lines"
    raw = json.dumps({"file_name": "000.png", "text": text}, ensure_ascii=ord(separator) < 0x20)
    (tmp_path / "metadata.jsonl").write_text(raw, encoding="utf-8")
    assert open_data(tmp_path, 8).prompts == [text, ""]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"", "utf-8"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_marks_and_windows_line_ends_are_no_part_of_captions(
    tmp_path: Path, mark: bytes, encoding: str, end: str
) -> None:
    write_folder(tmp_path, 2)
    lines = [json.dumps({"file_name": f"00{n}.png", "text": f"grün {n}"}, ensure_ascii=False) for n in range(2)]
    (tmp_path / "metadata.jsonl").write_bytes(mark + f"{end.join(lines)}{end}{end}".encode(encoding))
    assert open_data(tmp_path, 8).prompts == ["grün 0", "grün 1"]


def test_files_with_byte_order_marks_that_were_joined_are_read(tmp_path: Path) -> None:
    write_folder(tmp_path, 2)
    lines = [json.dumps({"file_name": f"00{n}.png", "text": str(n)}).encode("utf-8-sig") for n in range(2)]
    (tmp_path / "metadata.jsonl").write_bytes(b"\n".join(lines))
    assert open_data(tmp_path, 8).prompts == ["0", "1"]


def test_byte_order_marks_in_shards_are_no_part_of_texts_and_numbers(tmp_path: Path) -> None:
    mark = codecs.BOM_UTF8
    write_tar(tmp_path / "a.tar", {"0.png": png(3), "0.txt": mark + b"three", "0.cls": mark + b"1"})
    (tmp_path / "class_names.json").write_bytes(mark + b'["no", "yes"]')
    (sample,) = open_data(tmp_path, 8).once()
    assert not isinstance(sample, ImageError)
    assert (sample.prompt, sample.label) == ("three", 1)


@pytest.mark.parametrize(
    "line",
    ["[1]", '{"text": "x"}', '{"file_name": 3, "text": "x"}', "{", "null", "[" * 9999]
    + [f'{{"file_name": "000.png", "text": {value}}}' for value in ("NaN", '["x"]', "true")],
)
def test_a_line_that_is_no_caption_is_named(tmp_path: Path, line: str) -> None:
    write_folder(tmp_path, 1)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "000.png", "text": "x"}\n\n' + line, encoding="utf-8")
    with pytest.raises(ImageError, match=r"metadata\.jsonl, line 3: expected"):
        open_data(tmp_path, 8)


def test_captions_that_name_no_picture_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    write_captions(tmp_path / "metadata.jsonl", {f"00{n}.jpg": "x" for n in range(3)})
    with pytest.raises(ImageError, match=r"none of the 3 captions .* the 3 pictures; .*'000\.jpg'.*'000\.png'"):
        open_data(tmp_path, 8)


def test_captions_and_pictures_without_counterpart_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path, 5)
    write_captions(tmp_path / "metadata.jsonl", {"000.png": "a", "./sub/../001.png": "b", "x.jpg": "c", "y.jpg": "d"})
    with caplog.at_level(logging.WARNING, "ganart_zoo"):
        data = open_data(tmp_path, 8)
    assert data.prompts == ["a", "b", "", "", ""]
    assert data.notes == (
        f"{tmp_path}: 2 captions (x.jpg, y.jpg) name no picture that is there",
        f"{tmp_path}: 3 pictures (002.png, 003.png, 004.png) of 5 have no caption",
    )
    assert [record.message for record in caplog.records] == list(data.notes)


def test_captions_under_another_name_and_several_for_one_picture_are_said(tmp_path: Path) -> None:
    write_folder(tmp_path, 1)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "000.png", "caption": "x"}', encoding="utf-8")
    data = open_data(tmp_path, 8)
    assert data.prompts is None
    assert data.notes == (
        f'{tmp_path}/metadata.jsonl: no captions, for its lines have no "text", but file_name, caption',
    )
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in [("000.png", "x"), ("./000.png", "y")]]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = open_data(tmp_path, 8)
    assert data.prompts == ["y"]
    assert data.notes == (f"{tmp_path}: 1 picture (000.png) with several captions; the last counts",)


def test_samples_of_shards_without_captions_and_with_damaged_json_are_said(tmp_path: Path) -> None:
    files = {"0.png": png(0), "0.txt": b"zero", "1.png": png(1), "2.png": png(2), "2.json": b"[" * 9999}
    write_tar(tmp_path / "a.tar", files)
    write_tar(tmp_path / "._a.tar", {})  # as macOS adds
    grey(9).save(tmp_path / "9.png")
    data = open_data(tmp_path, 8)
    assert data.notes == (
        f"{tmp_path}: 2 of the first 3 samples have no caption",
        f"{tmp_path}: 1 picture (9.png) beside the shards left out; only shards are read",
    )
    found = list(data.once())
    assert [sample.prompt for sample in found[:2] if not isinstance(sample, ImageError)] == ["zero", ""]
    assert "2: .json is not a JSON object" in str(found[2])


@pytest.mark.parametrize("label", ["true", "0.5", "1e999", '"yes"', "2", "-1"])
def test_labels_of_shards_are_whole_numbers(tmp_path: Path, label: str) -> None:
    write_tar(tmp_path / "a.tar", {"0.png": png(0), "0.json": f'{{"label": {label}}}'.encode()})
    (tmp_path / "class_names.json").write_text('["no", "yes"]')
    (error,) = open_data(tmp_path, 8).once()
    assert "expected 0 to 1" in str(error)


def test_names_with_accents_agree_however_they_are_stored(tmp_path: Path) -> None:
    name = "ünïcödé.png"
    grey(1).save(tmp_path / unicodedata.normalize("NFD", name))
    write_captions(tmp_path / "metadata.jsonl", {unicodedata.normalize("NFC", name): "accents"})
    assert open_data(tmp_path, 8).prompts == ["accents"]


def test_links_to_folders_of_classes_are_followed(tmp_path: Path) -> None:
    pool = write_folder(tmp_path / "pool", 6, ("cats", "dogs", "cows"))
    root = tmp_path / "data"
    root.mkdir()
    for name in ("cats", "dogs"):
        (root / name).symlink_to(pool / name, target_is_directory=True)
    (root / "cows").symlink_to(os.path.relpath(pool / "cows", root), target_is_directory=True)
    data = open_data(root, 8)
    assert data.class_names == ("cats", "cows", "dogs")
    assert levels(data) == list(range(6))
    assert data.notes == (f"{root}: 3 classes by the names of folders: cats, cows, dogs",)


@pytest.mark.parametrize("target", [".", "..", "deeper/back"])
def test_links_that_lead_back_end(tmp_path: Path, target: str) -> None:
    root = write_folder(tmp_path / "data", 3)
    (root / "deeper").mkdir()
    (root / "deeper" / "back").symlink_to(root if target == "deeper/back" else target, target_is_directory=True)
    if target == "deeper/back":
        (root / "also").symlink_to(root / "deeper", target_is_directory=True)
    data = open_data(root, 8)
    assert set(levels(data)) == {0, 1, 2}
    assert any("leads back to a folder that contains it" in note for note in data.notes) or target == "."


def test_what_is_neither_file_nor_folder_is_left_out_with_a_note(tmp_path: Path) -> None:
    write_folder(tmp_path, 2)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    data = open_data(tmp_path, 8)
    assert levels(data) == [0, 1]
    assert data.notes == (
        f"{tmp_path}/gone: left out, the link leads to nothing",
        f"{tmp_path}/loop.png: left out, the link leads to nothing",
        f"{tmp_path}/pipe.png: left out, it is neither a file nor a folder",
    )


def test_folders_that_link_to_each_other_are_read_once_under_their_own_names(tmp_path: Path) -> None:
    """Along all ways through the links, these are more than a million folders."""
    pool = write_folder(tmp_path / "pool", 1)
    root = tmp_path / "data"
    write_folder(root, 11, tuple(map(str, range(11))))
    for number in range(11):
        for other in range(11):
            if other != number:
                (root / str(number) / f"l{other}").symlink_to(root / str(other), target_is_directory=True)
    (root / "a").symlink_to(pool)
    (root / "b").symlink_to(pool)
    data = open_data(root, 8)
    assert sorted(data.class_names) == sorted([*map(str, range(11)), "a"])
    assert levels(data) == sorted([0, *range(11)])
    assert any("111 links (l1, l10, l2, ...) to folders that are read anyway left out" in note for note in data.notes)


def test_the_folder_itself_as_a_class_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "flowers", 1)
    write_folder(tmp_path / "flowers" / "roses", 1)
    monkeypatch.chdir(tmp_path / "flowers")
    assert open_data(Path(), 8).class_names == ("flowers", "roses")


def test_runs_inside_the_data_are_left_out_and_their_pictures_too(tmp_path: Path) -> None:
    root = write_folder(tmp_path, 4)
    before = open_data(root, 8)
    run = root / "runs" / "first"
    write_folder(run / "samples", 9)
    (run / "config.json").write_text(json.dumps({"format": 1, "parts": {}}), encoding="utf-8")
    after = open_data(root, 8)
    assert levels(after) == [0, 1, 2, 3]
    assert after.notes == (f"{run}: left out, it is a run of ganart train",)
    assert after.describe() == before.describe()
    assert after.class_names == ()


def test_samples_of_a_run_are_left_out_where_the_run_itself_or_a_link_leads_to_them(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "run", 2)
    write_folder(root / "samples", 9)
    (root / "config.json").write_text(json.dumps({"format": 1, "parts": {}}), encoding="utf-8")
    data = open_data(root, 8)
    assert levels(data) == [0, 1]
    assert f"{root}/samples: left out, it holds samples of a run of ganart train" in data.notes
    other = write_folder(tmp_path / "other", 2)
    (other / "link").symlink_to(root / "samples")
    assert levels(open_data(other, 8)) == [0, 1]
    (tmp_path / "samples").mkdir()  # of no run
    assert levels(open_data(write_folder(tmp_path / "samples", 3), 8)) == [0, 1, 2]


def test_another_config_does_not_make_a_run(tmp_path: Path) -> None:
    write_folder(tmp_path / "pictures", 2)
    (tmp_path / "pictures" / "config.json").write_text('["format", "parts"]', encoding="utf-8")
    assert levels(open_data(tmp_path, 8)) == [0, 1]


def test_files_without_a_pictures_suffix_are_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, 1)
    for name in ("a.cr2", "b.psd", "c.cr2", "d.txt", ".hidden", "Thumbs.db"):
        (tmp_path / name).touch()
    (note,) = open_data(tmp_path, 8).notes
    assert note == f"{tmp_path}: 5 files (Thumbs.db, a.cr2, b.psd, ...) without a picture's suffix left out"


@pytest.mark.parametrize(
    "names", [("face v1.000", "face v1.001"), ("a.b.c", "a.b.d"), ("v1.5_x", "v1.5_y"), ("0", "1")]
)
def test_names_with_dots_are_samples_of_their_own(tmp_path: Path, names: tuple[str, str]) -> None:
    files: dict[str, bytes] = {}
    for level, name in enumerate(names):
        files |= {f"set/{name}.png": png(level), f"set/{name}.txt": str(level).encode()}
    write_tar(tmp_path / "a.tar", files)
    samples = [sample for sample in open_data(tmp_path, 8).once() if not isinstance(sample, ImageError)]
    assert sorted((int(sample.image[0, 0, 0]), sample.prompt) for sample in samples) == [(0, "0"), (1, "1")]


def test_labels_of_shards_without_names_are_left_out_with_a_note(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"0.png": png(5), "0.cls": b"1440764", "1.png": png(6), "1.cls": b"1443537"})
    data = open_data(tmp_path, 8)
    assert data.class_names == ()
    (note,) = data.notes
    assert "has labels such as 1440764, which are left out because there is no class_names.json" in note


def test_further_pictures_of_a_sample_stay_with_it(tmp_path: Path) -> None:
    names = {"0.jpg.json": b"{}", "0.png": png(5), "0.seg.png": png(6), "1.seg.png": png(8), "1.png": png(7)}
    write_tar(tmp_path / "a.tar", names)
    assert levels(open_data(tmp_path, 8)) == [5, 7]


@pytest.mark.parametrize("name", ["flat.zip", "pictures.tgz", "one.png", "table.parquet"])
def test_a_file_that_is_no_data_is_said_to_be_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4")
    with pytest.raises(ImageError, match=rf"{name} is a file; expected a folder of pictures, an \.npz file or \.tar"):
        open_data(tmp_path / name, 8)


@pytest.mark.parametrize("crop", ["centre", "random", "stretch", "pad"])
@pytest.mark.parametrize("shape", [(1, 30_000), (30_000, 1), (3, 5000)])
def test_a_strip_is_cut_before_it_is_enlarged(crop: Crop, shape: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *shape)
    before = peak()
    made = fit_square(image, 64, crop=crop, flip=False, seed=1)
    assert made.shape == (3, 64, 64)
    assert peak() - before < 200 * 2**20


def peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_the_middle_of_a_strip_is_what_it_was() -> None:
    strip = torch.rand(1, 3, 6, 60)
    whole = torch.nn.functional.interpolate(strip, (24, 240), mode="bicubic", antialias=True)
    expected = whole[0, :, :, 108:132].clamp(0, 1).mul(255).round()
    made = fit_square(strip, 24, crop="centre", flip=False, seed=0)
    assert (made - expected).abs().max() <= 1


def test_a_strip_among_training_pictures_costs_little(tmp_path: Path) -> None:
    write_folder(tmp_path, 2)
    Image.fromarray(np.full((1, 30_000), 9, dtype=np.uint8)).save(tmp_path / "strip.png")
    before = peak()
    assert levels(open_data(tmp_path, 64)) == [0, 1, 9]
    assert peak() - before < 200 * 2**20
    assert load(tmp_path / "strip.png").shape == (1, 3, 1, 30_000)
