"""`ganart sample` as a user meets it: names and runs, files, JSON, messages, Ctrl-C."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ganart_shapes.runs import save_run
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.imaging import read_record

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(shapes: Zoo, tmp_path: Path) -> Path:
    names = ["cat", "dog", "eel"]
    return save_run(tmp_path / "run", generator=shapes.create("flat", weights=None, class_names=names))


def sample(zoo: Zoo, *arguments: object) -> int:
    return main(["sample", *map(str, arguments)], zoo=zoo)


def test_a_run_gives_a_grid(shapes: Zoo, run: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "grid.png"
    assert sample(shapes, run, "-n", 6, "--seed", 4, "--classes", "0,dog", "-o", output) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{output}  6 × 8×8  ")
    assert "step 6/6" in captured.err
    record = read_record(output)
    assert (record.task, record.seed, record.request["classes"]) == ("sample", 4, [0, 1])
    assert main(["reproduce", str(output), "-q"], zoo=shapes) == 0


def test_a_name_gives_single_files_in_a_folder(shapes: Zoo, tmp_path: Path, capsys: Capture) -> None:
    arguments = ("bands", "--weights", "None", "-n", 2, "--truncation", 0, "-o", tmp_path / "out", "--json")
    assert sample(shapes, *arguments) == 2  # "None" is text here, and no file of that name is there
    capsys.readouterr()
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    assert sample(shapes, run, "-n", 2, "--truncation", 0, "-o", tmp_path / "out", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["pictures"], result["stopped"]) == (2, False)
    for path in result["paths"]:
        with Image.open(path) as image:
            assert image.getpixel((3, 3)) == (51, 102, 153)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "3"], "has no class '3'; it has cat, dog, eel"),
        (["--classes", ","], "classes is empty"),
        (["--truncation", "0.5"], "has no setting 'truncation'"),
        (["--set", "resolution=16"], "resolution cannot be changed, because the run was trained with its config"),
        (["--prompt", "a hat"], "takes no text"),
        (["-n", "0"], "n is 0, expected at least 1 picture"),
    ],
)
def test_errors_are_one_line(
    shapes: Zoo, run: Path, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert sample(shapes, run, "-o", tmp_path / "grid.png", "-q", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "grid.png").exists()


def test_a_folder_that_is_no_run_says_what_it_lacks(
    shapes: Zoo, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sample(shapes, tmp_path, "-o", tmp_path / "grid.png") == 2
    assert "has no config.json, so it is not a run" in capsys.readouterr().err
    (tmp_path / "flat").mkdir()  # a name goes before a folder that is no run
    monkeypatch.chdir(tmp_path)
    assert sample(shapes, "flta", "-o", tmp_path / "grid.png") == 2
    assert "did you mean" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_finished(
    shapes: Zoo, run: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    from ganart_shapes.model import Flat

    forward, calls = Flat.forward, []

    def interrupted(self, *arguments, **options):
        calls.append(None)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return forward(self, *arguments, **options)

    monkeypatch.setattr(Flat, "forward", interrupted)
    assert sample(shapes, run, "-n", 9, "-o", tmp_path / "grid.png") == 130
    assert "3 of 9 pictures are finished" in capsys.readouterr().err
    assert read_record(tmp_path / "grid.png").request["n"] == 3


def test_a_prompt_is_given_once(shapes: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "out.png")
    arguments = ["sample", "slow", "--weights", "none", "-o", output, "--prompt", "hat", "-n", "1"]
    assert main([*arguments, "--prompt", "cat"], zoo=shapes) == 2
    assert "more than once" in capsys.readouterr().err
    assert main(arguments, zoo=shapes) == 0
