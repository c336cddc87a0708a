"""Two real processes, started by torchrun, share a folder or a clip: the files are those of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.contract.rng import generator
from ganart_zoo.imaging import save
from ganart_zoo.imaging.clips import open_clip

SITE = Path(__file__).parents[1] / "tasks" / "site"
MAIN = """
import os, sys, time
sys.path.insert(0, SITE)
import ganart_tiny, ganart_tiny.model
stylize = ganart_tiny.model.Negative.stylize
def slowly(*arguments, **keywords):
    time.sleep(float(os.environ.get("SECONDS_A_FRAME", "0")))
    return stylize(*arguments, **keywords)
ganart_tiny.model.Negative.stylize = slowly
from ganart_zoo import Zoo
from ganart_zoo.cli import main
sys.exit(main(zoo=Zoo(plugins=[ganart_tiny])))
"""


def start(folder: Path, *arguments: object, seconds: float = 0) -> subprocess.Popen[str]:
    script = folder / "main.py"
    script.write_text(MAIN.replace("SITE", repr(str(SITE))), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, str(script), "stylize", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC")}
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "SECONDS_A_FRAME": str(seconds),
    }
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def alone(zoo: Zoo, *arguments: object) -> None:
    """Do the same in this process, with as many threads as torchrun gives to each of its own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main(["stylize", *map(str, arguments)], zoo=zoo) == 0
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three scenes of three, two and four frames."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    number = 0
    for scene, count in enumerate((3, 2, 4)):
        colour = torch.rand(1, 3, 1, 1, generator=generator(scene)).round()
        grain = 0.1 * torch.rand(1, 3, 24, 32, generator=generator(scene))
        for shift in range(count):
            save((colour + grain.roll(shift, -1)).clamp(0, 1), folder / f"{number:03d}.png")
            number += 1
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def test_a_folder_of_photos(zoo: Zoo, scenes: Path, tmp_path: Path, painting: Path) -> None:
    common = ("-m", "blend", "--style", painting, "--quiet")
    started = start(tmp_path, scenes, *common, "-o", tmp_path / "two", "--json")
    alone(zoo, scenes, *common, "-o", tmp_path / "one")
    told, said = started.communicate(timeout=300)
    assert started.returncode == 0, said
    assert files(tmp_path / "one") == files(tmp_path / "two")
    results = json.loads(told)["results"]
    assert sorted(Path(each["output"]).name for each in results) == sorted(files(tmp_path / "two"))
    assert {each["status"] for each in results} == {"saved"}


def test_a_clip(zoo: Zoo, scenes: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs the extra video")
    common = (scenes, "-m", "negative", "--quiet")
    started = start(tmp_path, *common, "-o", tmp_path / "two.gif")
    alone(zoo, *common, "-o", tmp_path / "one.gif")
    said = started.communicate(timeout=300)[1]
    assert started.returncode == 0, said
    assert (tmp_path / "one.gif").read_bytes() == (tmp_path / "two.gif").read_bytes()
    assert len(list(open_clip(tmp_path / "two.gif").frames())) == 9
    assert not list(tmp_path.glob(".*frames"))


def test_ctrl_c_leaves_a_clip_that_one_process_completes(zoo: Zoo, scenes: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs the extra video")
    common = (scenes, "-m", "negative", "--quiet")
    started = start(tmp_path, *common, "-o", tmp_path / "two.gif", seconds=0.5)
    alone(zoo, *common, "-o", tmp_path / "one.gif")
    kept = tmp_path / ".two.gif.frames"
    while len(list(kept.glob("frame*.png"))) < 3 and started.poll() is None:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    started.communicate(timeout=120)
    found = len(list(open_clip(tmp_path / "two.gif").frames()))
    assert 3 <= found < 9
    alone(zoo, *common, "-o", tmp_path / "two.gif")
    assert (tmp_path / "one.gif").read_bytes() == (tmp_path / "two.gif").read_bytes()
