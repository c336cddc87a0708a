"""Many contents: where they go, what is skipped, what fails, and what is never overwritten."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from ganart_tiny.fixtures import picture

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError
from ganart_zoo.imaging import read_record
from ganart_zoo.tasks.batch import Job, plan, stylize_all
from ganart_zoo.tasks.stylize import Stylizer


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "deeper").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.jpg", "b.png", "deeper/d.png", ".hidden.png")):
        picture(folder / name, 20, 20, seed)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def stylizer(zoo: Zoo, painting: Path) -> Stylizer:
    return Stylizer(zoo, "blend", [painting])


def statuses(stylizer: Stylizer, jobs: tuple[Job, ...], **more: object) -> list[str]:
    return [outcome.status for outcome in stylize_all(stylizer, jobs, **more)]


def test_one_file_goes_to_a_file(photo: Path, tmp_path: Path) -> None:
    assert plan([photo], tmp_path / "out.jpg") == (Job(photo, tmp_path / "out.jpg"),)


def test_one_file_goes_into_a_folder_where_that_is_meant(photo: Path, tmp_path: Path) -> None:
    assert plan([photo], f"{tmp_path}/new/") == (Job(photo, tmp_path / "new" / "photo.png"),)
    assert plan([photo], tmp_path / "new") == (Job(photo, tmp_path / "new" / "photo.png"),)


def test_a_folder_goes_to_a_folder_by_stem_and_none_meets_another(album: Path, tmp_path: Path) -> None:
    jobs = plan([album], tmp_path / "out")
    assert [(job.content.name, job.output.name) for job in jobs] == [
        ("a.png", "a.png"),
        ("b.jpg", "b.jpg.png"),
        ("b.png", "b.png.png"),
    ]
    assert (tmp_path / "out").is_dir()


def test_plans_that_cannot_be(album: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no pictures in this folder"):
        plan([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(ImageError, match="folder they are made from"):
        plan([album], album)
    with pytest.raises(ImageError, match="is a file, and several pictures need a folder"):
        plan([album], photo)
    with pytest.raises(ImageError, match=r"there is no folder .*missing; create it first"):
        plan([album], tmp_path / "missing" / "out")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(album / "a.png", other / "a.png")
    with pytest.raises(ImageError, match=r"both be saved as .*a\.png\.png"):
        plan([album, other], tmp_path / "out")


def test_one_failure_does_not_stop_the_rest_and_a_second_run_does_only_what_is_left(
    stylizer: Stylizer, album: Path, tmp_path: Path
) -> None:
    (album / "b.jpg").write_bytes(b"")
    jobs = plan([album], tmp_path / "out")
    outcomes = list(stylize_all(stylizer, jobs))
    assert [outcome.status for outcome in outcomes] == ["saved", "failed", "saved"]
    assert "b.jpg: is empty" in str(outcomes[1].error)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png.png"]
    picture(album / "b.jpg", 20, 20, seed=9)
    assert statuses(stylizer, jobs) == ["skipped", "saved", "skipped"]
    assert statuses(stylizer, jobs, force=True) == ["saved"] * 3


def test_a_stop_saves_this_picture_and_begins_no_other(stylizer: Stylizer, album: Path, tmp_path: Path) -> None:
    jobs = plan([album], tmp_path / "out")
    assert statuses(stylizer, jobs, on_step=lambda event: False) == ["stopped"]
    assert read_record(tmp_path / "out" / "a.png").request["stopped_at"] == 1
    assert statuses(stylizer, jobs) == ["saved"] * 3  # a stopped one is not done
    assert statuses(stylizer, jobs, force=True, stop=lambda: True) == []


def test_what_ganart_made_is_replaced_and_what_it_did_not_make_is_not(
    zoo: Zoo, stylizer: Stylizer, photo: Path, painting: Path, tmp_path: Path
) -> None:
    job = Job(photo, tmp_path / "out.png")
    assert statuses(stylizer, (job,)) == ["saved"]
    assert statuses(Stylizer(zoo, "blend", [painting], seed=1), (job,)) == ["saved"]
    picture(job.output, 20, 20, seed=5)
    before = job.output.read_bytes()
    (outcome,) = stylize_all(stylizer, [job])
    assert "was not made by ganart" in str(outcome.error)
    assert job.output.read_bytes() == before
    assert statuses(stylizer, (job,), force=True) == ["saved"]


def test_no_input_is_ever_overwritten(stylizer: Stylizer, photo: Path, painting: Path) -> None:
    before = [hashlib.sha256(path.read_bytes()).digest() for path in (photo, painting)]
    for output in (photo, painting):
        (outcome,) = stylize_all(stylizer, [Job(photo, output)], force=True)
        assert "would be lost" in str(outcome.error)
    assert [hashlib.sha256(path.read_bytes()).digest() for path in (photo, painting)] == before


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.gif", "cannot write '.gif'"),
        ("out", "a file without a suffix"),
        ("missing/out.png", "there is no such folder"),
        ("photo.png/out.png", "cannot be written to"),
        ("/proc/out.png", "/proc: "),
    ],
)
def test_an_output_that_cannot_be_written_is_told_before_the_work(
    stylizer: Stylizer, photo: Path, tmp_path: Path, output: str, message: str
) -> None:
    started: list[Job] = []
    (outcome,) = stylize_all(stylizer, [Job(photo, tmp_path / output)], on_start=started.append)
    assert message in str(outcome.error)
    assert not started


def test_what_a_folder_verb_leaves_out_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "b.cr2", "c.txt", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (job,) = plan([tmp_path], tmp_path / "out")
    assert job.content == tmp_path / "a.png"
    assert caplog.messages == [
        f"{tmp_path}: 2 files (b.cr2, c.txt) without a picture's suffix left out",
        f"{tmp_path}: 1 folder (more) in it left out",
        f"{tmp_path}: 1 name (gone.png) without a file behind it left out",
    ]
