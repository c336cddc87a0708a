"""The command line `ganart`: it parses, calls a task, and shows the result. Each command is one file in `commands`."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import click

from ganart_zoo.cli.group import cli
from ganart_zoo.cli.show import BROKEN, INTERRUPTED, MISUSED, note
from ganart_zoo.cli.streams import tolerant_streams
from ganart_zoo.contract.errors import GanartError
from ganart_zoo.native import tune_threads

if TYPE_CHECKING:
    from ganart_zoo.registry import Zoo

__all__ = ["cli", "main"]


def main(arguments: Sequence[str] | None = None, *, zoo: Zoo | None = None) -> int:
    """Run one command and return its exit code: 0; 1 something is broken, 2 the input is wrong, 130 Ctrl-C.

    An error is one line on standard error; `GANART_DEBUG=1` adds the traceback.

    Args:
        arguments: The words after `ganart`; None for those of the process.
        zoo: The registry to use; None for one of the installed plugins, created when a command first needs it.
    """
    if "torch" not in sys.modules:  # called from another program, it is that program's to decide
        tune_threads()
    with tolerant_streams() as output:
        code = _run(arguments, zoo)
        output.flush()
        if output.error is None:
            return code
        if not isinstance(output.error, BrokenPipeError):  # that is `ganart list | head`
            note(f"standard output is incomplete: {output.error.strerror or output.error}")
        return code or BROKEN


def _run(arguments: Sequence[str] | None, zoo: Zoo | None) -> int:
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            _use_tuning()
            return int(cli.main(arguments, prog_name="ganart", standalone_mode=False, obj=zoo) or 0)
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            note("aborted; the work under way wrote nothing")
            return INTERRUPTED
        except GanartError as error:
            return _fail(str(error), MISUSED)
        except Exception as error:
            hint = "" if _debugging() else "; set GANART_DEBUG=1 to see where"
            return _fail(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}{hint}", BROKEN)


def _use_tuning() -> None:
    path = os.environ.get("GANART_TUNING")
    if path and "torch" not in sys.modules:  # called from another program, it is that program's to decide
        from pathlib import Path

        from ganart_zoo.tuning import use_tuning

        note(use_tuning(Path(path)))


def _fail(message: str, code: int) -> int:
    if _debugging():
        traceback.print_exc()
    note(message)
    return code


def _debugging() -> bool:
    return os.environ.get("GANART_DEBUG", "0") not in ("", "0")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    note(f"warning: {' '.join(str(message).split())}")
