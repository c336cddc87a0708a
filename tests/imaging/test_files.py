"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganart_zoo.imaging.files import whole_file, write_text


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
