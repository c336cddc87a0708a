"""The verb `rank`: the best first, copies whole, what cannot be read named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ganart_tiny
import ganart_wishes
import pytest
import torch
from ganart_shapes.runs import save_run
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, ModelError, SettingsError
from ganart_zoo.tasks.rank import rank


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name, red in (("a", 100), ("b", 200), ("c", 50), ("d", 150)):
        Image.new("RGB", (20, 12), (red, 51, 0)).save(folder / f"{name}.png")
    return folder


def test_the_best_come_first_and_are_copied(shapes: Zoo, album: Path, tmp_path: Path) -> None:
    critic = shapes.create("reddest", weights=None)
    run = save_run(tmp_path / "run", critic=critic)
    found = rank(shapes, run, [album], keep=3, output=tmp_path / "best")
    assert [one.path.name for one in found.pictures] == ["b.png", "d.png", "a.png"]
    assert [one.score for one in found.pictures] == pytest.approx([200 / 255, 150 / 255, 100 / 255], abs=1e-6)
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["01-b.png", "02-d.png", "03-a.png"]
    assert (tmp_path / "best" / "01-b.png").read_bytes() == (album / "b.png").read_bytes()
    rank(shapes, run, [album], keep=3, output=tmp_path / "best")  # the same again is no conflict
    Image.new("RGB", (4, 4)).save(tmp_path / "best" / "01-b.png")
    with pytest.raises(ImageError, match="exists and is another picture"):
        rank(shapes, run, [album], keep=3, output=tmp_path / "best")


def test_copies_do_not_go_where_the_next_ranking_meets_them(shapes: Zoo, album: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(album)
    for pictures, output in ((album, album), (album, tmp_path / "link"), (tmp_path / "link", album / ".." / "album")):
        with pytest.raises(ImageError, match="copies of the best cannot go to the folder they come from"):
            rank(shapes, "reddest", [pictures], output=output, weights=None)
    assert len(list(album.iterdir())) == 4


def test_classes_are_judged_as_asked(shapes: Zoo, album: Path) -> None:
    options = {"weights": None, "settings": {"class_names": ["cat", "dog", "eel"]}}
    as_eel = rank(shapes, "reddest", [album / "a.png"], label="eel", **options).pictures[0].score  # type: ignore[arg-type]
    as_dog = rank(shapes, "reddest", [album / "a.png"], label=1, **options).pictures[0].score  # type: ignore[arg-type]
    assert as_eel == pytest.approx(100 / 255, abs=1e-5)  # green is 0.2: ten times that is label 2
    assert as_dog == pytest.approx(100 / 255 - 1, abs=1e-5)
    with pytest.raises(SettingsError, match="no class 'ele'; did you mean 'eel'"):
        rank(shapes, "reddest", [album], label="ele", **options)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="give one of cat, dog, eel"):
        rank(shapes, "reddest", [album], **options)  # type: ignore[arg-type]


def test_what_cannot_be_read_is_told_and_the_rest_is_ranked(shapes: Zoo, album: Path) -> None:
    (album / "b.png").write_bytes(b"no picture")
    found = rank(shapes, "reddest", [album], weights=None)
    assert [one.path.name for one in found.pictures] == ["d.png", "a.png", "c.png"]
    assert len(found.failed) == 1
    assert "b.png" in str(found.failed[0])
    with pytest.raises(ImageError, match="none of 1 pictures can be read"):
        rank(shapes, "reddest", [album / "b.png"], weights=None)


def test_stopping_ranks_those_until_then(shapes: Zoo, album: Path) -> None:
    found = rank(shapes, "reddest", [album], weights=None, on_step=lambda event: event.step < 2)
    assert ([one.path.name for one in found.pictures], found.stopped) == (["b.png", "a.png"], True)


def test_what_is_not_fit_is_said(shapes: Zoo, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="flat is a generator, expected a critic"):
        rank(shapes, "flat", [album], weights=None)
    with pytest.raises(SettingsError, match="keep is 0"):
        rank(shapes, "reddest", [album], keep=0, weights=None)
    with pytest.raises(SettingsError, match="has no classes to judge"):
        rank(shapes, "reddest", [album], label=0, weights=None)
    with pytest.raises(ImageError, match="no such file"):
        rank(shapes, "reddest", [album / "none.png"], weights=None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no pictures in this folder"):
        rank(shapes, "reddest", [tmp_path / "empty"], weights=None)
    from ganart_shapes.model import Reddest

    monkeypatch.setattr(Reddest, "forward", lambda self, images, condition=None: torch.full((1, 1), torch.nan))
    with pytest.raises(ModelError, match="its training diverged"):
        rank(shapes, "reddest", [album], weights=None)


def test_ranking_announces_its_start_and_its_end(shapes: Zoo, album: Path, tmp_path: Path) -> None:
    rank(shapes, "reddest", [album], weights=None, output=tmp_path / "best")
    assert [event.stage for event in ganart_tiny.EVENTS] == ["started", "saved", "finished"]
    assert {(event.task, event.model) for event in ganart_tiny.EVENTS} == {("rank", "ganart-shapes/reddest")}
    ganart_tiny.EVENTS.clear()
    (album / "only.png").write_bytes(b"no picture")
    with pytest.raises(ImageError):
        rank(shapes, "reddest", [album / "only.png"], weights=None)
    assert [event.stage for event in ganart_tiny.EVENTS] == ["started", "failed"]


def test_pictures_are_ranked_by_a_prompt_or_a_reference(tmp_path: Path) -> None:
    zoo = Zoo(plugins=[ganart_wishes])
    colours = {"red": (250, 5, 5), "blue": (5, 5, 250), "grey": (128, 128, 128), "purple": (130, 0, 130)}
    for name, colour in colours.items():
        Image.new("RGB", (9, 9), colour).save(tmp_path / f"{name}.png")

    def order(**more: Any) -> list[str]:
        return [one.path.stem for one in rank(zoo, pictures=[tmp_path], **more).pictures]

    assert order(model="wish", prompt="blue")[:2] == ["blue", "purple"]
    assert order(model="wish", prompt=["red:1", "blue:1"])[0] == "purple"
    assert order(model="likeness", reference=tmp_path / "grey.png")[0] == "grey"
    with pytest.raises(SettingsError, match="wish scores pictures against a prompt; give one"):
        order(model="wish")
    with pytest.raises(SettingsError, match="likeness takes no prompt; leave the prompt out"):
        order(model="likeness", prompt="red", reference=tmp_path / "grey.png")
    with pytest.raises(SettingsError, match="wish takes no reference; leave the reference out"):
        order(model="wish", prompt="red", reference=tmp_path / "grey.png")
