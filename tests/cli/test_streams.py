"""Printing never ends work: characters an encoding lacks, a reader that is gone, a full disk or no stream."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ganart_zoo.cli import main
from ganart_zoo.cli.streams import TolerantStream, tolerant_streams

from .conftest import SITE

PROGRAM = f"""
import sys
sys.path.insert(0, {str(SITE)!r})
import ganart_tiny
from ganart_zoo import Zoo
from ganart_zoo.cli import main
sys.exit(main(sys.argv[1:], zoo=Zoo(plugins=[ganart_tiny])))
"""
needs_full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def stylize(album: Path, painting: Path, out: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the command on all pictures of a folder."""
    arguments = ["stylize", album, "-m", "blend", "-s", painting, "-o", f"{out}/"]
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=False, **options)


@pytest.fixture
def album(tmp_path: Path, photo: Path) -> Path:
    """Two pictures, one of which has a name that is no text in any encoding."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in (b"\xd7 caf\xe9.png", "日本.png".encode()):
        (folder / os.fsdecode(name)).write_bytes(photo.read_bytes())
    return folder


@pytest.mark.parametrize("encoding", ["cp1251", "ascii", "latin-1", "utf-8:strict", "cp437:strict"])
def test_a_batch_goes_on_in_every_encoding(album: Path, painting: Path, tmp_path: Path, encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    out = tmp_path / "out"
    done = stylize(album, painting, out, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(list(out.iterdir())) == 2
    assert b"Error" not in done.stderr
    assert done.stdout.count(b"\n") == 2


def test_json_stays_json_in_every_encoding(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1251", write_through=True))
    assert main(["list", "--json"]) == 0
    assert isinstance(json.loads(raw.getvalue().decode("cp1251")), list)


def test_a_batch_goes_on_when_its_reader_is_gone(album: Path, painting: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    out = tmp_path / "out"
    done = stylize(album, painting, out, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert len(list(out.iterdir())) == 2
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@needs_full_disk
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_batch_goes_on_when_its_output_is_on_a_full_disk(
    album: Path, painting: Path, tmp_path: Path, stream: str
) -> None:
    out = tmp_path / "out"
    other = "stderr" if stream == "stdout" else "stdout"
    with Path("/dev/full").open("wb") as full:
        streams = {stream: full, other: subprocess.PIPE}
        done = stylize(album, painting, out, **streams)
    assert len(list(out.iterdir())) == 2
    if stream == "stdout":
        assert done.returncode == 1
        assert b"ganart: standard output is incomplete: No space left on device" in done.stderr
    else:
        assert done.returncode == 0


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_batch_goes_on_without_a_stream(album: Path, painting: Path, tmp_path: Path, descriptor: int) -> None:
    out = tmp_path / "out"
    done = stylize(album, painting, out, preexec_fn=lambda: os.close(descriptor))
    assert done.returncode == 0
    assert len(list(out.iterdir())) == 2


def test_a_tolerant_stream_writes_what_its_encoding_has() -> None:
    raw = io.BytesIO()
    stream = TolerantStream(io.TextIOWrapper(raw, encoding="cp1251", write_through=True))
    assert stream.write("40 × 30 \udce9 я\n") == 12
    stream.writelines(["a", "×"])
    assert raw.getvalue().decode("cp1251") == "40 \\xd7 30 \\udce9 я\na\\xd7"
    assert stream.encoding == "cp1251"


def test_a_closed_stream_and_none_drop_text() -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (TolerantStream(closed), TolerantStream(None)):
        assert stream.write("text") == 4
        stream.flush()
        assert not stream.isatty()
        assert stream.error is None


def test_the_streams_of_the_program_come_back() -> None:
    before = sys.stdout, sys.stderr

    def fail() -> None:
        with tolerant_streams():
            assert sys.stdout is not before[0]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (sys.stdout, sys.stderr) == before
