"""Messages between a program and an isolated process: pickles over a pipe, tensors in shared memory.

A message is a pickle in a frame of its length. Its tensors are laid into a file that both sides have mapped, of which
each direction has one; where it is too small, a larger one takes its place, which the message names. Both sides copy:
neither sees what the other writes later. The side of the program opens answers with a list of what they may hold, so
that an answer runs no code.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import pickle
import shutil
import struct
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ganart_zoo.contract.errors import GanartError, ModelError

__all__ = ["Inbox", "Outbox", "RefusedError", "make_folders", "read_frame", "remove_folders", "write_frame"]

_LENGTH = struct.Struct("<Q")
_ALIGNED = 64
_LEAST = 1 << 20
_ANSWERS: Mapping[str, frozenset[str]] = {
    "ganart_zoo.contract.condition": frozenset({"Condition"}),
    "ganart_zoo.contract.fault": frozenset({"Fault"}),
    "ganart_zoo.contract.models": frozenset({"CriticOutput"}),
}
"""Modules and the names in them that an answer may hold besides tensors and plain data."""


class RefusedError(Exception):
    """An answer holds something that it may not hold."""


def write_frame(stream: IO[bytes], data: bytes) -> None:
    """Write a frame.

    Raises:
        OSError, ValueError: The other side is gone.
    """
    stream.write(_LENGTH.pack(len(data)) + data if len(data) < 1 << 16 else _LENGTH.pack(len(data)))
    if len(data) >= 1 << 16:
        stream.write(data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes:
    """Read a frame.

    Raises:
        EOFError: The other side is gone.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def make_folders() -> list[str]:
    """Return new folders for shared files that only this user can open, the better place first."""
    places: list[str | None] = ["/dev/shm"] if Path("/dev/shm").is_dir() else []  # memory that is no disk, on Linux
    found = []
    for place in [*places, None]:
        with suppress(OSError):
            found.append(tempfile.mkdtemp(prefix="ganart-isolated-", dir=place))
    if not found:
        raise ModelError(f"no folder for temporary files can be made; {tempfile.gettempdir()} must be writable")
    return found


def remove_folders(folders: Sequence[str]) -> None:
    """Remove the folders of `make_folders`, with what is left in them."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


class Outbox:
    """Makes messages of one direction.

    Args:
        folders: Of `make_folders`.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders
        self._file: Tensor | None = None
        self._announced: tuple[str, int] | None = None

    def pack(self, content: Any, *, generators: list[torch.Generator] | None = None) -> bytes:
        """Return a message. Its tensors are in the shared file until the next is made.

        Args:
            content: Plain data with tensors and generators in it.
            generators: Is filled with the generators in the content, each once.

        Raises:
            ModelError: There is no room for the tensors.
            Exception: Something cannot be pickled.
        """
        body = io.BytesIO()
        packer = _Packer(body, [] if generators is None else generators)
        packer.dump(content)
        if packer.size:
            self._make_room(packer.size)
            assert self._file is not None
            for offset, tensor in packer.tensors:
                _part(self._file, offset, tensor.dtype, tensor.shape).copy_(tensor)
        announced, self._announced = self._announced, None
        return pickle.dumps((announced, body.getvalue()), protocol=5)

    def _make_room(self, size: int) -> None:
        if self._file is not None and len(self._file) >= size:
            return
        size = max(_LEAST, 1 << (size - 1).bit_length())
        failure: OSError | None = None
        for folder in self._folders:
            path = Path(folder) / uuid.uuid4().hex
            try:
                _reserve(path, size)
            except OSError as error:
                failure = error
                with suppress(OSError):
                    path.unlink()
                continue
            self._file = _mapped(path, size)
            self._announced = str(path), size
            return
        raise ModelError(f"no room to share {size} bytes with an isolated process: {failure}")


class Inbox:
    """Opens messages of one direction.

    Args:
        guarded: Whether a message may hold tensors, plain data and the results of models alone.
    """

    def __init__(self, guarded: bool) -> None:
        self._guarded = guarded
        self._file: Tensor | None = None

    def open(self, message: bytes) -> tuple[Any, list[torch.Generator]]:
        """Return the content of a message, and the generators in it.

        Raises:
            RefusedError: A guarded message holds something else, or is damaged.
        """
        if not self._guarded:
            return self._open(message, _Opener)
        try:
            return self._open(message, _GuardedOpener)
        except RefusedError:
            raise
        except Exception as error:  # a damaged pickle may raise anything
            raise RefusedError(f"a damaged message: {type(error).__name__}: {error}") from error

    def _open(self, message: bytes, opener_class: type[_Opener]) -> tuple[Any, list[torch.Generator]]:
        announced, body = opener_class(message, None).load()
        if announced is not None:
            path, size = announced
            self._file = _mapped(Path(path), size)
            with suppress(OSError):  # nothing is left behind when both are killed; Windows refuses while it is open
                Path(path).unlink()
        opener = opener_class(body, self._file)
        return opener.load(), opener.generators


class _Packer(pickle.Pickler):
    """Puts references in place of tensors and generators."""

    def __init__(self, body: io.BytesIO, generators: list[torch.Generator]) -> None:
        super().__init__(body, protocol=5)
        self.tensors: list[tuple[int, Tensor]] = []
        self.size = 0
        self._generators = generators

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, torch.Generator):
            known = next((number for number, one in enumerate(self._generators) if one is value), None)
            if known is None:
                self._generators.append(value)
                return "generator", len(self._generators) - 1, value.get_state().numpy().tobytes()
            return "generator", known, None
        return None

    def _tensor(self, value: Tensor) -> tuple[Any, ...]:
        if value.requires_grad and torch.is_grad_enabled():
            raise GanartError("no gradient reaches a model in a process of its own; detach its inputs")
        flat = value.detach()
        last = flat.ndim == 4 and not flat.is_contiguous() and flat.is_contiguous(memory_format=torch.channels_last)
        flat = flat.permute(0, 2, 3, 1) if last else flat
        offset = self.size
        bytes_ = flat.numel() * flat.element_size()
        if bytes_:
            self.tensors.append((offset, flat))
            self.size += -(-bytes_ // _ALIGNED) * _ALIGNED
        return "tensor", offset, tuple(flat.shape), str(flat.dtype).removeprefix("torch."), last


class _Opener(pickle.Unpickler):
    """Puts tensors and generators in place of references."""

    def __init__(self, body: bytes, file: Tensor | None) -> None:
        super().__init__(io.BytesIO(body))
        self._file = file
        self.generators: list[torch.Generator] = []

    def persistent_load(self, reference: Any) -> Any:
        kind, *more = reference
        if kind == "generator":
            number, state = more
            if number == len(self.generators):
                made = torch.Generator(device="cpu")
                made.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
                self.generators.append(made)
            return self.generators[number]
        offset, shape, dtype_name, last = more
        dtype = getattr(torch, dtype_name)
        if not isinstance(dtype, torch.dtype):
            raise RefusedError(f"a tensor of {dtype_name}")
        if 0 in shape:
            value = torch.empty(shape, dtype=dtype, device="cpu")
        else:
            if self._file is None:
                raise RefusedError("a tensor without a shared file")
            value = _part(self._file, offset, dtype, shape).clone()
        return value.permute(0, 3, 1, 2) if last else value


class _GuardedOpener(_Opener):
    """Opens nothing but tensors, plain data and the classes in `_ANSWERS`."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _ANSWERS.get(module, ()):
            return super().find_class(module, name)
        raise RefusedError(f"{module}.{name}")


def _part(file: Tensor, offset: int, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    count = dtype.itemsize
    for extent in shape:
        count *= extent
    return file[offset : offset + count].view(dtype).view(tuple(shape))


def _reserve(path: Path, size: int) -> None:
    """Make a file whose bytes exist: writing to a mapped hole of a full disk would end the program."""
    with path.open("xb") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some file systems cannot do it
                    raise
        zeros = bytes(1 << 20)
        for start in range(0, size, len(zeros)):
            file.write(zeros[: size - start])


def _mapped(path: Path, size: int) -> Tensor:
    with path.open("r+b") as file:
        return torch.frombuffer(mmap.mmap(file.fileno(), size), dtype=torch.uint8)
