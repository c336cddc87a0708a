"""`--profile`: every command has it, ops are named in every thread, and what has nothing to profile says so."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner

from ganart_zoo import native, ops
from ganart_zoo.cli import cli, main
from ganart_zoo.cli.group import CORE_COMMANDS
from ganart_zoo.cli.profiling import with_profile


def leaves(command: click.Command) -> list[click.Command]:
    if isinstance(command, click.Group):
        return [leaf for inner in command.commands.values() for leaf in leaves(inner)]
    return [command]


@pytest.mark.parametrize("name", CORE_COMMANDS)
def test_every_command_has_it_once(name: str) -> None:
    with click.Context(cli) as ctx:
        for _ in range(2):
            command = cli.get_command(ctx, name)
    assert command is not None
    for leaf in leaves(command):
        assert sum("--profile" in each.opts for each in leaf.params) == 1


@with_profile
@click.command()
@click.option("--fail", is_flag=True)
def paint(fail: bool) -> None:
    """Call an op in another thread."""

    def work() -> None:
        ops.bias_act(torch.ones(1, 4, 5, 5), torch.ones(4))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    torch.ones(3).cumsum(0)
    if fail:
        raise RuntimeError("broken")


@pytest.mark.parametrize(("name", "arguments"), [("trace.json", []), ("trace.json.gz", []), ("trace.json", ["--fail"])])
def test_the_trace_names_the_ops_of_every_thread(name: str, arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / name
    done = CliRunner().invoke(paint, [*arguments, "--profile", str(path)])
    assert (done.exit_code != 0) == bool(arguments)
    text = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    names = {event.get("name") for event in json.loads(text)["traceEvents"]}
    assert "aten::cumsum" in names
    if native.ops_library() is not None:
        assert "ganart::bias_act" in names
    assert "most time went to" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_command_without_torch_says_that_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.json"
    assert main(["list", "--profile", str(path)]) == 0
    assert "nothing to profile: list ran no operation of torch" in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize(("path", "message"), [("trace.txt", r".json, .json.gz"), ("no/trace.json", "no folder no")])
def test_a_trace_that_cannot_be_written_is_refused_before_the_work(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(paint, ["--fail", "--profile", path])
    assert done.exit_code == 2
    assert message in done.stderr
