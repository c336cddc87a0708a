"""A hash of the contents of files, by which a resumed run or a cache detects that its data have changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

__all__ = ["fingerprint"]

_MOST_READ = 2**30
"""The number of bytes up to which everything is hashed, in about a second or two."""
_LEAST_BLOCK, _MOST_BLOCK = 2**12, 2**18


def fingerprint(files: Mapping[str, Path], texts: Iterable[str] = ()) -> str:
    """Return a sha256 over the names, lengths and contents of files, as 64 lower-case hex digits.

    If the files have more than 1 GiB, about 1 GiB of them is hashed: blocks of 4 to 256 KiB spread evenly over each
    file, including its first and last bytes. A change between these blocks that keeps the length is then not detected.

    Args:
        files: The files by name; their order matters. For a file that cannot be read, only the name is hashed.
        texts: Further texts to include.
    """
    sizes = [_size(file) for file in files.values()]
    share = _MOST_READ // max(1, len(files))
    block = min(max(share // 2, _LEAST_BLOCK), _MOST_BLOCK)
    blocks = max(2, share // block)
    whole = sum(sizes) <= _MOST_READ
    digest = hashlib.sha256()
    for (name, file), size in zip(files.items(), sizes, strict=True):
        digest.update(os.fsencode(name) + f"\0{size}\n".encode())  # names may not be valid text
        try:
            with file.open("rb") as stream:
                for read in _all(stream) if whole or size <= blocks * block else _spread(stream, size, block, blocks):
                    digest.update(read)
        except OSError:
            digest.update(b"unreadable\n")  # it is skipped and reported when it is due
    for text in texts:
        digest.update(f"{text}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _all(stream: BinaryIO) -> Iterator[bytes]:
    while read := stream.read(2**20):
        yield read


def _spread(stream: BinaryIO, size: int, block: int, blocks: int) -> Iterator[bytes]:
    for number in range(blocks):
        stream.seek((size - block) * number // (blocks - 1))
        yield stream.read(block)
