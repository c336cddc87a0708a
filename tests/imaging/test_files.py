"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging import save
from ganart_zoo.imaging.animation import check_animation
from ganart_zoo.imaging.clips import check_clip_output
from ganart_zoo.imaging.files import check_ordinary, whole_file, write_text
from ganart_zoo.running.outputs import check_pictures


@pytest.mark.parametrize("alone", [False, True])
def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path, alone: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path, alone=alone) as part:
            part.write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        fail()
    assert path.read_text() == "old"
    with whole_file(path, alone=alone) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.part").write_text("half")
    write_text(tmp_path / "a.txt", "whole", alone=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_the_file_behind_a_link_is_written_with_ordinary_rights(tmp_path: Path) -> None:
    target = tmp_path / "target.txt"
    target.write_text("old")
    (tmp_path / "link.txt").symlink_to(target)
    old = os.umask(0o022)
    try:
        write_text(tmp_path / "link.txt", "new \udcff")
    finally:
        os.umask(old)
    assert (tmp_path / "link.txt").is_symlink()
    assert target.read_text() == "new \\udcff"
    assert target.stat().st_mode & 0o777 == 0o644


def write_bytes(path: Path) -> None:
    with whole_file(path) as part:
        part.write_bytes(b"new")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.parametrize("link", [False, True], ids=["itself", "a link to it"])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.txt", lambda path: write_text(path, "new")),
        ("a.safetensors", write_bytes),
        ("a.png", lambda path: save(torch.zeros(1, 3, 8, 8), path)),
        ("a.png", lambda path: check_pictures([path], force=True)),
        ("a.gif", check_animation),
        ("a.gif", check_clip_output),
    ],
)
def test_no_pipe_or_device_is_replaced_by_a_file(
    tmp_path: Path, name: str, write: Callable[[Path], None], link: bool
) -> None:
    path = pipe = tmp_path / name
    if link:
        pipe = tmp_path / "pipe"
        path.symlink_to(pipe)
    os.mkfifo(pipe)
    with pytest.raises(ImageError, match=r"is a named pipe; expected a file to write"):
        write(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(ImageError, match="is a device"):
        check_ordinary(Path(os.devnull))


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"is a folder; expected a file to write"):
        check_ordinary(tmp_path)
    check_ordinary(tmp_path / "new.png")
