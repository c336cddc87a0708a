"""`ganart tune`: finds what suits this machine, and keeps it in a file that is used only where it is asked for."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ganart_zoo.cli.options import json_option, output_option, quiet_option
from ganart_zoo.cli.show import emit_json, note, table
from ganart_zoo.contract.errors import SettingsError

__all__ = ["command"]


@click.command("tune")
@output_option(
    "The file to write.",
    metavar="FILE",
    required=False,
    default=Path("tuning.json"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
)
@click.option("--seconds", type=click.FloatRange(min=0), default=20.0, show_default=True, help="About so long.")
@quiet_option
@json_option
def command(output: Path, seconds: float, quiet: bool, as_json: bool) -> None:
    """Find the instruction set and the number of threads with which the ops run fastest on this machine.

    \b
    ganart tune -o tuning.json
    GANART_TUNING=tuning.json ganart stylize photo.jpg --style painting.jpg -o out.png

    The file names the machine and the versions it was made on. It is used only where GANART_TUNING names it, which
    each command then says; on another machine it is refused. Tune on an otherwise idle machine.
    """
    if not output.parent.is_dir():
        raise SettingsError(f"{output}: there is no folder {output.parent}; create it first")
    from ganart_zoo.bench.tune import tune

    found = tune(seconds=seconds, on_round=None if quiet else lambda done: note(f"round {done}"))
    found.save(output)
    if as_json:
        emit_json(asdict(found))
        return
    least = min(each["seconds"] for each in found.measured)
    table(
        ("instructions", "threads", "time", "chosen"),
        [
            (
                each["isa"],
                str(each["threads"]),
                f"{each['seconds'] / least:.2f}",
                "yes" if (each["isa"], each["threads"]) == (found.isa, found.threads) else "",
            )
            for each in found.measured
        ],
    )
    note(f"wrote {output}; GANART_TUNING={output} uses it")
