"""`--executor`: photos and prompts that are worked on elsewhere end as those of one process do."""

from __future__ import annotations

import json
from pathlib import Path

import ganart_tiny
import ganart_wishes
import pytest
from ganart_tiny.fixtures import picture
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from tests.cli.conftest import SITE

Capture = pytest.CaptureFixture[str]


@pytest.mark.filterwarnings("default")  # Ray's own
@pytest.mark.parametrize("executor", ["processes", "ray"])
def test_photos_and_prompts_are_made_elsewhere(
    executor: str, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    if executor == "ray":
        pytest.importorskip("ray", reason="needs the extra ray")
        monkeypatch.setenv("RAY_ADDRESS", "local")
        monkeypatch.setenv("RAY_worker_niceness", "0")
        monkeypatch.setenv("PYTHONPATH", str(SITE))
    zoo = Zoo(plugins=[ganart_tiny, ganart_wishes])
    monkeypatch.chdir(tmp_path)
    album = Path("album")
    album.mkdir()
    for seed, name in enumerate(("a.png", "b.png")):
        picture(album / name, 20, 20, seed)
    (album / "broken.png").write_bytes(b"no picture at all")
    how = ("--executor", executor, "--workers", "2" if executor == "processes" else "1")
    words = ["stylize", "album", "--style", str(painting), "-m", "blend"]
    assert main([*words, "-o", "away", *how, "--json"], zoo=zoo) == 1
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(Path(one["content"]).name, one["status"]) for one in results] == [
        ("a.png", "saved"),
        ("b.png", "saved"),
        ("broken.png", "failed"),
    ]
    (album / "broken.png").unlink()
    # the same pictures and records as those made here: the command finds nothing left to do
    assert main([*words, "-o", "away"], zoo=zoo) == 0
    assert capsys.readouterr().out.count("already done") == 2
    assert main([*words, "-o", "here"], zoo=zoo) == 0
    with Image.open("away/a.png") as away, Image.open("here/a.png") as here:
        assert away.tobytes() == here.tobytes()
    if executor == "ray":
        import ray

        assert not ray.is_initialized()
        return

    Path("prompts.txt").write_text("red\nblue\n")
    words = ["imagine", "--prompts", "prompts.txt", "-m", "flat", "--critic", "wish", "--count", "4", "-o", "wishes"]
    assert main([*words, *how], zoo=zoo) == 0
    assert sorted(path.name for path in Path("wishes").iterdir()) == ["0001-red", "0002-blue"]
    capsys.readouterr()
    assert main(words, zoo=zoo) == 0
    assert "2 of 2 prompts were done already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stylize", "p.png", "-o", "out/", "--workers", "2"], "--workers needs --executor"),
        (["stylize", "-", "-o", "out.png", "--executor", "processes"], "--executor is for photos"),
        (["imagine", "red", "-m", "flat", "-o", "out/", "--executor", "processes"], "give --prompts"),
    ],
)
def test_what_cannot_be_made_elsewhere(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "p.png", 20, 20, 1)
    more = ["-m", "blend", "--style", "p.png"] if words[0] == "stylize" else []
    assert main([*words, *more], zoo=Zoo(plugins=[ganart_tiny, ganart_wishes])) == 2
    assert message in capsys.readouterr().err
