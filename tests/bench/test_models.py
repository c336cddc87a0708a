"""Models are timed at sizes that follow from their declarations, from a wheel as well as from a checkout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ganart_zoo import Zoo
from ganart_zoo.bench import Report, roofs
from ganart_zoo.bench.measure import Measured
from ganart_zoo.bench.models import LeftOutError, measure_models
from ganart_zoo.cli import main


def test_a_model_is_timed_at_two_sizes_and_one_that_cannot_be_made_is_named() -> None:
    zoo = Zoo()
    critic = zoo.entry("ganart-dcgan/dcgan_critic")
    nobody = replace(critic, spec=replace(critic.spec, name="nobody"))
    small, standard, left_out = measure_models(zoo, [critic, nobody], seconds=0.0)
    assert isinstance(small, Measured)
    assert isinstance(standard, Measured)
    assert (small.size, small.shape) == ("small", "16x16")
    assert (standard.size, standard.shape) == ("standard", "32x32")
    assert set(small.seconds) == {"op", "eager"}
    assert 0 < small.flops < standard.flops
    assert isinstance(left_out, LeftOutError)
    assert "ganart-dcgan/nobody" in str(left_out)


def test_the_command_times_ops_and_models_outside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(roofs, "_PROBE_SECONDS", 0.01)
    monkeypatch.setattr(roofs, "_COPY_BYTES", 1 << 20)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "dcgan_critic", "--size", "small", "--seconds", "0", "--json", "-o", "figures"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["name"], one["size"]) == ("ganart-dcgan/dcgan_critic", "small")
    (row,) = Report.load(Path("figures/results.json")).rows
    assert row.statistics["ganart"]["best"] == one["seconds"]["op"]["best"]
    assert main(["bench", "pixel_norm", "--size", "all", "--seconds", "0"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("ganart::pixel_norm") == 2
    assert "2 of 2: ganart::pixel_norm" in shown.err
    assert main(["bench", "pixel_nrm"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["bench", "--compare", "figures", "--before", "figures/results.json"]) == 0
    assert "0 of the ratios fell" in capsys.readouterr().err
