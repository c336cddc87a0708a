"""`ganart evaluate` as a user meets it: a table, JSON, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import ganart_wishes
import numpy as np
import pytest
import torch
from ganart_shapes.runs import save_run
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.contract.digest import file_sha256

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def arguments(shapes: Zoo, tmp_path: Path) -> list[str]:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "real.npz", images=images)
    plain = ["--samples", "20", "--backbone", "pool", "--side", "16"]
    return ["evaluate", str(run), "--data", str(tmp_path / "real.npz"), *plain]


def test_a_table_and_what_it_stands_on(shapes: Zoo, arguments: list[str], capsys: Capture) -> None:
    assert main([*arguments, "--seed", "3"], zoo=shapes) == 0
    captured = capsys.readouterr()
    assert "frechet_distance" in captured.out
    assert "fid" not in captured.out.lower().replace("no fid", "")
    assert "20 generated, 20 real; ganart-tiny/pool blocks at 16 px; seed 3" in captured.out
    assert "generated pictures" in captured.err


def test_json_is_all_that_stdout_gets_and_says_the_seed_and_the_counts(
    shapes: Zoo, arguments: list[str], capsys: Capture
) -> None:
    assert main([*arguments, "--json", "--truncation", "0.5"], zoo=shapes) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["samples"], found["reals"], found["seed"], found["options"]) == (20, 20, 0, {"truncation": 0.5})
    assert found["metrics"]["frechet_distance"] > 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--samples", "3"], "samples is 3, expected at least 10"),
        (["--backbone", "pol"], "did you mean"),
        (["--data", "none.npz"], "none.npz: there is no such file"),
        (["--crop", "middle"], "crop is 'middle'"),
    ],
)
def test_errors_are_one_line(shapes: Zoo, arguments: list[str], capsys: Capture, more: list[str], message: str) -> None:
    assert main([*arguments, "-q", *more], zoo=shapes) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_backbone_takes_a_user_s_weights_and_settings(
    shapes: Zoo, arguments: list[str], tmp_path: Path, capsys: Capture
) -> None:
    mine = tmp_path / "mine.safetensors"
    save_file({"scale": torch.full((1,), 2.0)}, mine)
    assert main([*arguments, "--json", "-q"], zoo=shapes) == 0
    plain = json.loads(capsys.readouterr().out)
    more = ["--backbone-weights", str(mine), "--backbone-set", "block=4"]
    assert main([*arguments, "--json", "-q", *more], zoo=shapes) == 0
    found = json.loads(capsys.readouterr().out)
    # the weight doubles each feature; blocks of any size have the picture's mean colour
    assert found["metrics"]["frechet_distance"] == pytest.approx(4 * plain["metrics"]["frechet_distance"], rel=1e-3)
    assert found["features"]["config"] == {"block": 4}
    assert found["features"]["weights"] == {"model": file_sha256(mine)}
    for wrong, message in {
        ("--backbone-weights", "none.pt"): "weights 'none.pt' of ganart-tiny/pool: no such variant, file or folder",
        ("--backbone-set", "block"): "--backbone-set 'block' is not of the form NAME=VALUE",
        ("--backbone-set", "blok=4"): "has no setting 'blok'; did you mean 'block'",
        ("--prompt", "a hat"): "takes no text; leave the prompt out",
    }.items():
        assert main([*arguments, "-q", *wrong], zoo=shapes) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_a_generator_that_needs_a_text_is_given_one(
    shapes: Zoo, arguments: list[str], tmp_path: Path, capsys: Capture
) -> None:
    told = str(save_run(tmp_path / "told", generator=shapes.create("lettered", weights=None)))
    rest = ["-q", *arguments[2:]]
    assert main(["evaluate", told, *rest], zoo=shapes) == 2
    assert "paints from a text; give a prompt" in capsys.readouterr().err
    assert main(["evaluate", told, *rest, "--prompt", "green hat", "--json"], zoo=shapes) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "green hat"


def test_prompts_from_a_file_give_prompt_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wishes = Zoo(plugins=[ganart_wishes])
    (tmp_path / "list.txt").write_text("red\nblue\ngrey\n")
    arguments = ["evaluate", "flat", "--prompts", str(tmp_path / "list.txt"), "--critic", "wish"]
    assert main(arguments, zoo=wishes) == 0
    out = capsys.readouterr().out
    assert "r_precision" in out
    assert "3 prompts, each among 3" in out
    assert main([*arguments, "--json"], zoo=wishes) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["chance"] == pytest.approx(1 / 3)
    for wrong in (["evaluate", "flat"], [*arguments, "--data", "x.npz"]):
        assert main(wrong, zoo=wishes) == 2
        assert "give --data to compare with real pictures, or --prompts" in capsys.readouterr().err
