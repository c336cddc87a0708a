"""Standard output and error for the command line, where printing never ends the work that it reports on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

__all__ = ["TolerantStream", "tolerant_streams"]


class TolerantStream:
    """A text stream that replaces characters its encoding lacks, and remembers errors of writing instead of raising.

    Args:
        stream: The stream to write to; None (as when the descriptor is closed) drops all text.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.error: OSError | None = None
        """The first error of writing: a reader that is gone, a full disk."""

    def write(self, text: str) -> int:
        """Write text as far as that is possible, and return its length."""
        if self.stream is not None and self.error is None:
            try:
                self._write(self.stream, text)
            except OSError as error:
                self.error = error
            except ValueError:  # a plugin closed it
                self.stream = None
        return len(text)

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream."""
        if self.stream is not None and self.error is None:
            try:
                self.stream.flush()
            except OSError as error:
                self.error = error
            except ValueError:
                self.stream = None

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        try:
            return self.stream is not None and self.stream.isatty()
        except ValueError:
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def tolerant_streams() -> Iterator[TolerantStream]:
    """Replace `sys.stdout` and `sys.stderr` until the block ends, and return the former."""
    before = sys.stdout, sys.stderr
    output, errors = map(TolerantStream, before)
    sys.stdout, sys.stderr = output, errors
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before
        for stream in (output, errors):
            if stream.error is not None and stream.stream is not None:
                _discard_the_rest(stream.stream)


def _discard_the_rest(stream: TextIO) -> None:
    """Point the descriptor elsewhere, since the interpreter flushes what is left at its end and would fail again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
