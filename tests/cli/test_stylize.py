"""`ganart stylize` and `ganart reproduce` as a user meets them: files, exit codes, messages, Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from ganart_tiny.fixtures import picture
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.imaging import read_record
from ganart_zoo.imaging.decode import decode

Capture = pytest.CaptureFixture[str]


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def run(zoo: Zoo, *arguments: object) -> int:
    return main(["stylize", *map(str, arguments)], zoo=zoo)


def test_a_picture_is_saved_and_told_on_stdout(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "out.png"
    assert run(zoo, photo, "--style", f"{painting}:2", "-m", "blend", "-o", output, "--steps", 3, "--seed", 5) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{output}  40×30  ")
    assert "step 3/3" in captured.err
    record = read_record(output)
    assert (record.seed, record.options["steps"], record.request["styles"]) == (5, 3, [{"name": None, "weight": 2.0}])


def test_json_is_all_that_stdout_gets(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "out.png"
    arguments = (photo, "--style", painting, "-m", "blend", "-o", output, "--json")
    assert run(zoo, *arguments) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["status"], result["output"], result["record"]["task"]) == ("saved", str(output), "stylize")
    assert run(zoo, *arguments) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["status"] == "skipped"


def test_quiet_says_nothing(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(zoo, photo, "--style", painting, "-m", "blend", "-o", tmp_path / "out.png", "--quiet") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_size_full_keeps_the_photo_s_own_size(zoo: Zoo, painting: Path, tmp_path: Path, capsys: Capture) -> None:
    wide = picture(tmp_path / "wide.png", 600, 20, seed=3)
    assert run(zoo, wide, "--style", painting, "-m", "blend", "-o", tmp_path / "a.png", "--size", "full") == 0
    assert run(zoo, wide, "--style", painting, "-m", "blend", "-o", tmp_path / "b.png") == 0
    assert (opened(tmp_path / "a.png").size, opened(tmp_path / "b.png").size) == ((600, 20), (512, 17))
    assert run(zoo, wide, "--style", painting, "-m", "blend", "-o", tmp_path / "c.png", "--size", "big") == 2
    assert "--size is 'big', expected a number of pixels or 'full'" in capsys.readouterr().err


def test_sixteen_bits_and_other_formats(zoo: Zoo, tmp_path: Path, capsys: Capture) -> None:
    imagecodecs, _ = pytest.importorskip("imagecodecs"), pytest.importorskip("tifffile")
    levels = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), dtype=np.uint16)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(levels))
    assert run(zoo, tmp_path / "deep.png", "-m", "negative", "-o", tmp_path / "out.tif", "--depth", 16) == 0
    assert np.abs(decode(tmp_path / "out.tif") + levels / 65535 - 1).max() < 2 / 65535
    assert read_record(tmp_path / "out.tif").request["depth"] == 16
    assert run(zoo, tmp_path / "deep.png", "-m", "negative", "-o", tmp_path / "out.tif", "--depth", 16) == 0
    assert "already done" in capsys.readouterr().out
    assert main(["reproduce", str(tmp_path / "out.tif")], zoo=zoo) == 0
    assert "all 1200 pixels agree" in capsys.readouterr().out
    assert run(zoo, tmp_path / "deep.png", "-m", "negative", "-o", tmp_path / "out.jpg", "--depth", 16) == 2
    assert "JPEG is written with 8 bits a channel; end the name with .png" in capsys.readouterr().err
    assert not (tmp_path / "out.jpg").exists()


def test_named_styles_and_models_without_style(zoo: Zoo, photo: Path, tmp_path: Path) -> None:
    assert run(zoo, photo, "--style", "light:3", "--style", "dark", "-m", "named", "-o", tmp_path / "grey.png") == 0
    assert opened(tmp_path / "grey.png").getpixel((0, 0)) == (191, 191, 191)
    assert run(zoo, photo, "-m", "negative", "-o", tmp_path / "negative.png") == 0
    before, after = opened(photo).getpixel((5, 5)), opened(tmp_path / "negative.png").getpixel((5, 5))
    assert [a + b for a, b in zip(before, after, strict=True)] == [255] * 3


def test_a_style_whose_name_has_a_colon(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    painting = painting.rename(tmp_path / "night:2")
    assert run(zoo, photo, "--style", painting, "-m", "blend", "-o", tmp_path / "out.png") == 0
    assert read_record(tmp_path / "out.png").request["styles"][0]["weight"] == 1.0


def test_a_contact_sheet_shows_each_style_by_itself(zoo: Zoo, photo: Path, tmp_path: Path, capsys: Capture) -> None:
    sheet = tmp_path / "sheet.png"
    assert run(zoo, photo, "-m", "named", "--contact-sheet", "-o", sheet, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"sheet": str(sheet)}
    cells = opened(sheet)
    assert cells.size == (2 * 40 + 3 * 8, 2 * (30 + 8 + 20) + 8)  # photo, dark; light, with names below
    assert [cells.getpixel(at) for at in ((60, 20), (20, 78))] == [(0, 0, 0), (255, 255, 255)]
    assert run(zoo, photo, photo, "-m", "named", "--style", "dark", "--contact-sheet", "-o", tmp_path / "two.png") == 0
    assert opened(tmp_path / "two.png").size == (104, 124)
    for more, words in {
        ("-m", "named", "-o", sheet): "exists and was not made by ganart",
        ("-m", "negative", "-o", tmp_path / "x.png"): "has learned no styles to show",
        ("-m", "named", "-o", "-"): "--contact-sheet goes with neither '-'",
    }.items():
        assert run(zoo, photo, "--contact-sheet", *more) == 2
        assert words in capsys.readouterr().err


def test_a_sheet_of_pictures_is_what_each_gives_alone(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    other = picture(tmp_path / "other.png", 20, 20, seed=9)
    options = ("-m", "blend", "--set", "noise=false")
    sheet = tmp_path / "sheet.png"
    assert run(zoo, photo, *options, "--style", painting, "--style", other, "--contact-sheet", "-o", sheet) == 0
    assert run(zoo, photo, *options, "--style", other, "-o", tmp_path / "alone.png") == 0
    assert opened(sheet).crop((8, 66, 48, 96)).tobytes() == opened(tmp_path / "alone.png").tobytes()


def test_pictures_go_through_standard_input_and_output(
    zoo: Zoo, photo: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(zoo, photo, "-m", "negative", "-o", tmp_path / "out.png") == 0
    expected = opened(tmp_path / "out.png").tobytes()
    capfdbinary.readouterr()

    def given() -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))

    given()
    assert run(zoo, "-", "-m", "negative", "-o", "-") == 0
    (tmp_path / "piped.png").write_bytes(capfdbinary.readouterr().out)
    assert opened(tmp_path / "piped.png").tobytes() == expected
    assert read_record(tmp_path / "piped.png").inputs[0].sha256 == read_record(tmp_path / "out.png").inputs[0].sha256
    given()
    assert run(zoo, "-", "-m", "negative", "-o", tmp_path / "file.png") == 0
    assert opened(tmp_path / "file.png").tobytes() == expected
    for arguments, words in {
        (photo, "-", "-o", tmp_path / "x"): b"'-' stands for one picture",
        (photo, "-o", "-", "--json"): b"-o - and --json both write",
        (tmp_path, "-o", "-"): b"'-' stands for one picture",
    }.items():
        assert run(zoo, *arguments, "-m", "negative") == 2
        assert words in capfdbinary.readouterr().err


def test_regions_go_with_their_styles(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture) -> None:
    black = tmp_path / "black.png"
    Image.new("L", (40, 30), 0).save(black)
    options = ("--style", painting, "-m", "blend", "-o", tmp_path / "out.png", "--set", "noise=false")
    assert run(zoo, photo, "--region", f"{black}:{black}", *options) == 0
    assert [one.role for one in read_record(tmp_path / "out.png").inputs] == [
        *("content", "style 1", "region 1", "source region 1")
    ]
    assert opened(tmp_path / "out.png").tobytes() == opened(photo).tobytes()
    assert run(zoo, photo, "--region", "-", *options, "--force") == 0
    assert [one.role for one in read_record(tmp_path / "out.png").inputs] == ["content", "style 1"]
    assert run(zoo, photo, "--region", "-", "--region", black, *options) == 2
    assert "2 --region for 1 --style" in capsys.readouterr().err


def test_a_folder_with_a_bad_picture_goes_on_reports_it_last_and_exits_with_1(
    zoo: Zoo, painting: Path, tmp_path: Path, capsys: Capture
) -> None:
    album = tmp_path / "album"
    album.mkdir()
    for seed, name in enumerate(("a.png", "c.png")):
        picture(album / name, 20, 20, seed)
    (album / "b.png").write_bytes(b"no picture at all")
    arguments = (album, "--style", painting, "-m", "blend", "-o", tmp_path / "out")
    assert run(zoo, *arguments) == 1
    captured = capsys.readouterr()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert captured.err.splitlines()[-2] == "ganart: 1 of 3 failed:"
    assert "b.png: not a picture" in captured.err.splitlines()[-1]
    (album / "b.png").unlink()
    assert run(zoo, *arguments) == 0
    assert capsys.readouterr().out.count("already done") == 2


def bomb(path: Path) -> Path:
    """A PNG of a few bytes that declares 50,000×50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def bad_content(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.jpg"
    match kind:
        case "text":
            path.write_text("this is no picture")
        case "truncated":
            picture(path, 200, 200, seed=4)
            path.write_bytes(path.read_bytes()[:3000])
        case "empty":
            path.touch()
        case "pixel":
            picture(path, 1, 1, seed=4)
        case "strip":
            Image.new("RGB", (20_000, 3), "red").save(path)
        case "bomb":
            bomb(path)
    return path  # "missing" stays so


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no such file"),
        ("text", "not a picture"),
        ("truncated", "damaged or cut short"),
        ("empty", "is empty (0 bytes)"),
        ("pixel", "1×1 pixels to work on, expected at least 16 a side"),
        ("strip", "512×1 pixels to work on, expected at least 16 a side"),
        ("bomb", "declares 50000×50000 pixels, more than the limit"),
    ],
)
@pytest.mark.parametrize("as_style", [False, True], ids=["content", "style"])
def test_bad_pictures_are_one_line_and_2(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture, kind: str, message: str, as_style: bool
) -> None:
    bad = bad_content(kind, tmp_path)
    content, style = (photo, bad) if as_style else (bad, painting)
    if as_style and kind == "strip":
        message = "20000×3"  # styles are not scaled by the task
    line = refusal(zoo, capsys, content, "--style", style, "-m", "blend", "-o", tmp_path / "out.png")
    assert bad.name in line
    assert message in line
    assert not (tmp_path / "out.png").exists()


def refusal(zoo: Zoo, capsys: Capture, *arguments: object) -> str:
    """Run a command line that must be refused, and return the one line that says why."""
    assert run(zoo, *arguments, "--quiet") == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    assert line.startswith("ganart: ")
    return line


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("-m", "blond"), "model 'blond' is unknown; did you mean 'blend'"),
        (("--set", "layers=blox"), "layer 'blox' is not in Pool; it has blocks"),
        (("--set", "stepz=3"), "ganart-tiny/blend has no setting 'stepz'; did you mean 'steps'"),
        (("--strength", "0.5"), "ganart-tiny/blend has no setting 'strength'"),
        (("--steps", "0"), "steps is 0, expected greater than or equal to 1"),
        (("--alpha", "nan"), "alpha is 'nan', expected a finite number"),
        (("--alpha", "much"), "alpha is 'much', expected a valid number"),
        (("--preserve-colour", "some"), "preserve_colour is 'some', expected 'off' or 'luminance'"),
        (("--size", "8"), "size is 8, expected at least 16 pixels"),
        (("--seed", "-1"), "seed is -1"),
        (("--device", "tpu"), "device is 'tpu'"),
        (("--weights", "nowhere.pt"), "weights 'nowhere.pt' of ganart-tiny/blend"),
        (("--init", "nowhere.png"), "nowhere.png: there is no such file"),
        (("--region", "nowhere.png"), "nowhere.png: there is no such file"),
        (("--style", "PAINTING:-1"), "style weight is -1"),
        (("--style", "dark"), "dark: there is no such file"),
    ],
)
def test_bad_options_are_one_line_and_2(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture, more: tuple[str, str], message: str
) -> None:
    more = tuple(word.replace("PAINTING", str(painting)) for word in more)
    output = tmp_path / "out.png"
    assert message in refusal(zoo, capsys, photo, "--style", painting, "-m", "blend", "-o", output, *more)
    assert not output.exists()


def test_bad_outputs_are_one_line_and_2(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture) -> None:
    def said(output: object) -> str:
        return refusal(zoo, capsys, photo, "--style", painting, "-m", "blend", "-o", output)

    assert "there is no such folder; create it first" in said(tmp_path / "missing" / "out.png")
    assert "there is no folder" in said(f"{tmp_path}/missing/deeper/")
    assert "cannot write '.gif'; end the name with one of .png" in said(tmp_path / "out.gif")
    assert "cannot be written to" in said("/proc/out.png")
    assert "is an input too and would be lost" in said(painting)
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    assert "was not made by ganart" in said(tmp_path / "mine.png")
    assert opened(tmp_path / "mine.png").size == (4, 4)


def test_the_style_is_not_the_content(zoo: Zoo, photo: Path, tmp_path: Path, capsys: Capture) -> None:
    line = refusal(zoo, capsys, photo, "--style", photo, "-m", "blend", "-o", tmp_path / "out.png")
    assert "photo.png: is the style too" in line


def test_a_broken_model_is_one_line(zoo: Zoo, photo: Path, tmp_path: Path, capsys: Capture) -> None:
    line = refusal(zoo, capsys, photo, "-m", "broken", "-o", tmp_path / "out.png")
    assert "failed at stylize for model 'broken': RuntimeError: shapes do not fit" in line
    assert not (tmp_path / "out.png").exists()


def test_ctrl_c_saves_the_best_picture_so_far_and_says_so(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = signal.getsignal(signal.SIGINT)
    options = ("--style", painting, "-m", "blend", "--steps", 9, "--set", "interrupt_at=3")
    output = tmp_path / "out.png"
    assert run(zoo, photo, *options, "-o", output) == 130
    captured = capsys.readouterr()
    assert "Ctrl-C again aborts" in captured.err
    assert "stopped at step 3: the best picture so far" in captured.out
    assert read_record(output).request["stopped_at"] == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_a_folder_saves_the_current_picture_and_begins_no_other(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture
) -> None:
    other = picture(tmp_path / "other.png", 20, 20, seed=6)
    options = ("--style", painting, "-m", "blend", "--set", "interrupt_at=2", "-o", f"{tmp_path}/out/")
    assert run(zoo, other, photo, *options) == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["other.png"]
    assert "1 of 2 not started" in capsys.readouterr().err


def test_a_second_ctrl_c_aborts_at_once_and_leaves_nothing(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "out"
    options = ("--style", painting, "-m", "blend", "--set", "interrupt_at=2", "-o", f"{folder}/")
    assert run(zoo, photo, *options, "--set", "interrupt_twice=true") == 130
    assert list(folder.iterdir()) == []
    assert "aborted" in capsys.readouterr().err


def test_reproduce_agrees_or_says_how_much_not(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "out.png"
    assert run(zoo, photo, "--style", painting, "-m", "blend", "-o", output) == 0
    capsys.readouterr()
    assert main(["reproduce", str(output)], zoo=zoo) == 0
    assert "all 1200 pixels agree" in capsys.readouterr().out
    again = tmp_path / "again.png"
    assert main(["reproduce", str(output), "--json", "-o", str(again), "--quiet"], zoo=zoo) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["agree"], data["changes"], data["output"]) == (True, [], str(again))
    assert main(["reproduce", str(photo)], zoo=zoo) == 2
    assert "carries no ganart record" in capsys.readouterr().err
    painting.unlink()
    assert main(["reproduce", str(output), "--inputs", str(tmp_path / "elsewhere")], zoo=zoo) == 2
    assert "style 1 'painting.png'" in capsys.readouterr().err


def test_the_program_itself_without_plugins(tmp_path: Path, photo: Path) -> None:
    """`python -m ganart_zoo` in a process of its own: exit code and streams, past every fixture."""
    done = subprocess.run(
        [sys.executable, "-m", "ganart_zoo", "stylize", photo, "-m", "no-such-model", "-o", tmp_path / "out.png"],
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ganart: model 'no-such-model' is unknown")
    assert done.stderr.count("\n") == 1
