"""`ganart imagine` as a user meets it: files, folders, JSON, prompts from a file, messages."""

from __future__ import annotations

import json
from pathlib import Path

import ganart_wishes
import pytest
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def wishes() -> Zoo:
    return Zoo(plugins=[ganart_wishes])


def imagine(zoo: Zoo, *arguments: object) -> int:
    return main(["imagine", *map(str, arguments)], zoo=zoo)


def test_a_file_gets_the_best_picture(wishes: Zoo, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "red.png"
    arguments = ("red:2", "blue:1", "-m", "flat", "--critic", "wish", "--count", 12, "--size", 20, "-o", output)
    assert imagine(wishes, *arguments) == 0
    captured = capsys.readouterr()
    assert str(output) in captured.out
    assert "12 pictures tried" in captured.out
    assert "best -" in captured.err
    with Image.open(output) as picture:
        assert picture.size == (20, 20)
    assert main(["reproduce", str(output), "-q"], zoo=wishes) == 0


def test_a_folder_gets_all_that_are_kept(wishes: Zoo, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "many"
    critics = ("--critic", "wish:0.5", "--critic", "likeness:2")
    Image.new("RGB", (8, 8), (0, 0, 255)).save(tmp_path / "like.png")
    arguments = (
        "red",
        "-m",
        "flat",
        *critics,
        "--reference",
        tmp_path / "like.png",
        "--keep",
        3,
        "--json",
        "-o",
        output,
    )
    assert imagine(wishes, *arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert [Path(one["path"]).exists() for one in result["pictures"]] == [True] * 3
    assert result["critics"] == ["ganart-wishes/wish", "ganart-wishes/likeness"]
    assert result["evaluations"] == 16
    assert Path(result["sheet"]).exists()


def test_a_file_of_prompts_is_resumed(wishes: Zoo, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "list.txt").write_text("red\nblue\n")
    arguments = (
        "--prompts",
        tmp_path / "list.txt",
        "-m",
        "flat",
        "--critic",
        "wish",
        "--keep",
        1,
        "-o",
        tmp_path / "out",
    )
    assert imagine(wishes, *arguments) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0001-red", "0002-blue"]
    capsys.readouterr()
    assert imagine(wishes, *arguments) == 0
    assert "2 of 2 prompts were done already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["red", "--critic", "wish:0"], "the weight of critic wish is 0.0"),
        (["red", "--critic", "flat"], "is a generator, expected a critic"),
        (["red", "--critic", "wsh"], "did you mean"),
        (["red", "--critic", "wish", "--critic-set", "other.x=1"], "expected CRITIC.NAME=VALUE"),
        (["red", "--critic-set", "wish.x=1"], "--critic-set needs the --critic"),
        (["red", "--prompts", "list.txt"], "a PROMPT and --prompts were both given"),
        (["--prompts", "none.txt"], "none.txt: cannot be read"),
        (["\t\n"], "has no word in it"),
        ([], "nothing says what to paint; give a PROMPT"),
        (["red", "--count", "0"], "count is 0"),
        (["red", "--guidance", "3"], "guidance"),
        (["red", "--reference", "none.png"], "none.png"),
    ],
)
def test_what_does_not_fit_ends_with_two(
    wishes: Zoo, tmp_path: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert imagine(wishes, *arguments, "-m", "flat", "-o", tmp_path / "a.png") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


def test_without_the_default_generator_its_package_is_named(tmp_path: Path, wishes: Zoo, capsys: Capture) -> None:
    assert imagine(wishes, "red", "-o", tmp_path / "a.png") == 2
    assert "pip install ganart-latent-flow" in capsys.readouterr().err


def test_one_picture_is_counted_in_the_singular(wishes: Zoo, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "red.png"
    assert imagine(wishes, "red:2", "-m", "flat", "--critic", "wish", "--count", 1, "--size", 20, "-o", output) == 0
    assert "1 picture tried" in capsys.readouterr().out
