"""Data: what is read, in what order, by whom, and what is passed over."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import tarfile
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo.contract import ImageError, SettingsError
from ganart_zoo.data import Share, open_data
from ganart_zoo.data.pictures import fit_square

from ..training.networks import write_npz


def grey(level: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    return Image.new("L", size, level).convert(mode)


def png(level: int) -> bytes:
    stream = io.BytesIO()
    grey(level).save(stream, "PNG")
    return stream.getvalue()


def write_folder(root: Path, n: int = 6, classes: tuple[str, ...] = ("",)) -> Path:
    """Write pictures whose grey level is their number."""
    for number in range(n):
        folder = root / classes[number % len(classes)]
        folder.mkdir(parents=True, exist_ok=True)
        grey(number).save(folder / f"{number:03}.png")
    return root


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def write_shards(root: Path, shards: int = 3, each: int = 5) -> Path:
    root.mkdir()
    for shard in range(shards):
        files: dict[str, bytes] = {}
        for level in range(shard * each, (shard + 1) * each):
            files[f"{level:03}.png"] = png(level)
            files[f"{level:03}.txt"] = f"grey {level}".encode()
            files[f"{level:03}.cls"] = str(level % 2).encode()
        write_tar(root / f"part-{shard:02}.tar", files)
    (root / "class_names.json").write_text('["even", "odd"]')
    return root


def levels(batch) -> list[int]:
    return batch.images[:, 0, 0, 0].tolist()


def taken(data, n: int, share: Share | None = None, position=None, workers: int = 0, seed: int = 0) -> list:
    return list(islice(data.loader(share or Share(4), seed, workers)(position), n))


def kinds(tmp_path: Path) -> dict[str, object]:
    return {
        "npz": open_data(write_npz(tmp_path / "data.npz", n=15, classes=3)),
        "folder": open_data(write_folder(tmp_path / "folder", 15), 8, flip=True, crop="random"),
        "shards": open_data(write_shards(tmp_path / "shards"), 8, flip=True),
    }


@pytest.mark.parametrize("kind", ["npz", "folder", "shards"])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_follows_the_seed_and_goes_on_from_anywhere(tmp_path: Path, kind: str, workers: int) -> None:
    data = kinds(tmp_path)[kind]
    whole = taken(data, 11, workers=workers)
    again = taken(data, 11, workers=workers)
    assert all(torch.equal(one.images, other.images) for one, other in zip(whole, again, strict=True))
    assert any(
        not torch.equal(one.images, other.images) for one, other in zip(whole, taken(data, 11, seed=1), strict=True)
    )
    for done in (1, 4, 7):
        position = json.loads(json.dumps(whole[done - 1].position))
        rest = taken(data, 11 - done, position=position, workers=workers)
        for one, other in zip(whole[done:], rest, strict=True):
            assert torch.equal(one.images, other.images)
            assert one.position == other.position


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_the_order_is_one_whatever_the_processes_and_parts(tmp_path: Path, kind: str) -> None:
    data = kinds(tmp_path)[kind]
    whole = torch.stack([batch.images for batch in taken(data, 6, Share(8))])
    for processes, parts in ((2, 1), (2, 2), (1, 4)):
        mine = [taken(data, 6 * parts, Share(8, rank, processes, parts)) for rank in range(processes)]
        rows = [
            mine[rank][turn * parts + part] for turn in range(6) for part in range(parts) for rank in range(processes)
        ]
        joined = torch.cat([batch.images for batch in rows]).view_as(whole)
        assert torch.equal(joined, whole)


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_workers_leave_signals_to_the_training_process(tmp_path: Path, kind: str) -> None:
    others = multiprocessing.active_children()  # of tests before this one
    batches = iter(kinds(tmp_path)[kind].loader(Share(4), 0, 2)())
    list(islice(batches, 2))  # one of each worker: a signal may kill those that are still starting
    workers = [each for each in multiprocessing.active_children() if each not in others]
    assert len(workers) == 2
    for worker in workers:
        for number in (signal.SIGTERM, signal.SIGINT):  # launchers send them to whole groups of processes
            os.kill(worker.pid, number)
    assert len(list(islice(batches, 20))) == 20
    del batches
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0


def test_every_picture_comes_once_an_epoch(tmp_path: Path) -> None:
    data = open_data(write_folder(tmp_path / "folder", 15), 8)
    seen = [level for batch in taken(data, 9, Share(5)) for level in levels(batch)]
    epochs = [seen[:15], seen[15:30], seen[30:]]
    assert all(sorted(epoch) == list(range(15)) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_are_read_once_an_epoch_by_one_reader(tmp_path: Path, workers: int) -> None:
    data = open_data(write_shards(tmp_path / "shards", 4, 5), 8)
    seen = Counter()
    for rank in range(2):
        # two shards of five each: an epoch of this process is ten pictures
        seen.update(level for batch in taken(data, 10, Share(2, rank, 2), workers=workers) for level in levels(batch))
    assert seen == Counter(range(20))


def test_more_processes_than_shards_are_refused(tmp_path: Path) -> None:
    data = open_data(write_shards(tmp_path / "shards", 1), 8)
    with pytest.raises(SettingsError, match="holds 1 shards, expected at least one for each process"):
        data.loader(Share(4, 0, 2), 0, 0)


def test_shards_bring_labels_and_captions(tmp_path: Path) -> None:
    data = open_data(write_shards(tmp_path / "shards"), 8)
    assert data.class_names == ("even", "odd")
    for batch in taken(data, 5):
        assert batch.labels.tolist() == [level % 2 for level in levels(batch)]
        assert list(batch.prompts) == [f"grey {level}" for level in levels(batch)]
    one = open_data(tmp_path / "shards" / "part-{00..01}.tar", 8)
    assert {level for batch in taken(one, 10) for level in levels(batch)} == set(range(10))


def test_folders_are_classes_and_metadata_is_captions(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "folder", 6, ("b", "a", "deep/c"))
    (root / "metadata.jsonl").write_text('{"file_name": "a/001.png", "text": "one"}\n')
    (root / "deep" / "metadata.jsonl").write_text('{"file_name": "c/002.png", "text": "two"}\n\n')
    data = open_data(root, 8)
    assert data.class_names == ("a", "b", "c")
    found = {}
    for batch in taken(data, 4):
        for level, label, prompt in zip(levels(batch), batch.labels.tolist(), batch.prompts, strict=True):
            found[level] = (data.class_names[label], prompt)
    assert found == {0: ("b", ""), 1: ("a", "one"), 2: ("c", "two"), 3: ("b", ""), 4: ("a", ""), 5: ("c", "")}


def test_pictures_of_any_size_and_mode(tmp_path: Path) -> None:
    root = tmp_path / "folder"
    root.mkdir()
    for number, (size, mode) in enumerate([((3, 50), "L"), ((40, 9), "RGBA"), ((1, 1), "P"), ((8, 8), "CMYK")]):
        grey(200, size, mode).save(root / f"{number}.{'tif' if mode == 'CMYK' else 'png'}")
    for batch in taken(open_data(root, 8), 2):
        assert batch.images.shape == (4, 3, 8, 8)
        assert batch.images.dtype == torch.uint8
        assert (batch.images.int() - 200).abs().max() <= 1


@pytest.mark.parametrize("workers", [0, 1])
def test_what_cannot_be_read_is_passed_over_and_named(tmp_path: Path, workers: int) -> None:
    root = write_folder(tmp_path / "folder", 6)
    (root / "002.png").write_bytes(b"no picture")
    (root / "004.png").write_bytes(png(4)[:50])
    batches = taken(open_data(root, 8), 6, workers=workers)
    assert {level for batch in batches for level in levels(batch)} == {0, 1, 3, 5}
    named = {line.partition(":")[0] for batch in batches for line in batch.skipped}
    assert named == {str(root / "002.png"), str(root / "004.png")}


def test_a_damaged_shard_costs_the_rest_of_itself(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards", 2, 5)
    tar = root / "part-01.tar"
    tar.write_bytes(tar.read_bytes()[: 3 * 3 * 1024 + 600])
    batches = taken(open_data(root, 8), 20)
    seen = {level for batch in batches for level in levels(batch)}
    assert set(range(8)) <= seen <= set(range(9))
    assert any("part-01.tar" in line for batch in batches for line in batch.skipped)


def test_one_corrupt_sample_is_passed_over_wherever_it_is_drawn(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    root.mkdir()
    pictures = {f"{level:03}.png": png(level) for level in range(4)}
    write_tar(root / "only.tar", pictures | {"004.png": b"no picture"})
    for seed in range(8):  # with one of them it is drawn last
        batches = taken(open_data(root, 8), 6, seed=seed)
        assert Counter(level for batch in batches for level in levels(batch)) == dict.fromkeys(range(4), 6)
        named = [line for batch in batches for line in batch.skipped]
        assert len(named) >= 5
        assert {line.partition(": ")[0] for line in named} == {f"{root / 'only.tar'}/004"}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("bad", ["empty", "corrupt"])
def test_a_shard_without_a_sample_does_not_end_the_others(tmp_path: Path, bad: str, workers: int) -> None:
    root = write_shards(tmp_path / "shards", 1, 5)
    write_tar(root / "part-99.tar", {} if bad == "empty" else {"a.png": b"no picture"})
    for seed in range(4):  # each of two workers has one shard an epoch, and one of the shards is barren
        batches = taken(open_data(root, 8), 10, seed=seed, workers=workers)
        assert {level for batch in batches for level in levels(batch)} == set(range(5))
        assert any("part-99.tar" in line for batch in batches for line in batch.skipped)


@pytest.mark.parametrize("workers", [0, 1])
def test_shards_without_any_sample_are_an_error(tmp_path: Path, workers: int) -> None:
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", {})
    with pytest.raises(ImageError, match=r"no picture among 2 in a row .* the first: .*\.tar: holds no samples$"):
        taken(open_data(tmp_path, 8), 1, workers=workers)


def test_captions_do_not_hang_on_the_first_shard(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards")
    (root / "part-00.tar").write_bytes(b"broken" * 1000)
    data = open_data(root, 8)
    assert data.prompts == [f"grey {level}" for level in range(5, 15)]
    assert all(batch.prompts is not None for batch in taken(data, 3))


def hashed(path: Path) -> str:
    return open_data(path, 8).describe()["sha256"]


@pytest.mark.parametrize("most_read", [2**30, 0], ids=["whole", "in blocks"])
def test_the_hash_is_over_contents(tmp_path: Path, most_read: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganart_zoo.data.fingerprint._MOST_READ", most_read)
    for root in (write_folder(tmp_path / "folder", 3), write_shards(tmp_path / "shards")):
        file = sorted(file for file in root.iterdir() if file.suffix != ".json")[1]
        before, data = hashed(root), file.read_bytes()
        assert hashed(root) == before
        root.rename(root.with_name("moved"))
        assert hashed(root.with_name("moved")) == before
        root.with_name("moved").rename(root)
        file.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])  # as long as before
        assert hashed(root) != before
        file.write_bytes(data + b" ")
        assert hashed(root) != before
        file.write_bytes(data)
        assert hashed(root) == before
        file.rename(file.with_name(f"x{file.name}"))
        assert hashed(root) != before


def test_a_large_set_is_hashed_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganart_zoo.data.fingerprint._MOST_READ", 2**14)
    (tmp_path / "a.png").write_bytes(bytes(2**16))
    before = hashed(tmp_path)
    for place, noticed in ((0, True), (2**16 - 1, True), (2**15, False)):  # two blocks of 8 KiB, at the ends
        changed = bytearray(2**16)
        changed[place] = 1
        (tmp_path / "a.png").write_bytes(changed)
        assert (hashed(tmp_path) != before) == noticed


def test_names_need_not_be_text(tmp_path: Path) -> None:
    for number, name in enumerate((b"caf\xe9", b"th\xe9")):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        grey(number).save(folder / os.fsdecode(b"\xff.png"))
    data = open_data(tmp_path, 8)
    assert data.class_names == ("caf\\xe9", "th\\xe9")
    assert len(data.describe()["sha256"]) == 64
    assert taken(data, 1)[0].images.shape == (4, 3, 8, 8)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_nothing_to_read_is_an_error(tmp_path: Path, kind: str, workers: int) -> None:
    if kind == "folder":
        root = write_folder(tmp_path / "data")
        for file in root.iterdir():
            file.write_bytes(b"broken")
    else:
        root = write_shards(tmp_path / "data")
        for file in root.glob("*.tar"):
            file.write_bytes(b"broken" * 1000)
    with pytest.raises(ImageError, match=r"no picture among .* in a row can be read; the first: "):
        taken(open_data(root, 8), 1, workers=workers)


def test_bad_data_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    np.savez(tmp_path / "float.npz", images=np.zeros((2, 8, 8)))
    np.savez(tmp_path / "short.npz", images=np.zeros((2, 8, 8), np.uint8), labels=np.zeros(3, int))
    np.savez(tmp_path / "wide.npz", images=np.zeros((2, 8, 9), np.uint8))
    for name, match in {
        "empty": "holds no pictures",
        "missing": "there is no such folder",
        "missing.npz": "there is no such file",
        "bad.npz": "cannot be read as npz",
        "other.npz": "holds no array 'images'",
        "float.npz": r"images are float64 \[2, 8, 8\], expected uint8",
        "short.npz": r"labels are \[3\], expected one for each of 2",
        "no-{0..1}.tar": "there is no such shard; 2 of 2 are missing",
    }.items():
        with pytest.raises(ImageError, match=match):
            open_data(tmp_path / name, 8)
    with pytest.raises(SettingsError, match="9×8, which are not square; give a size"):
        open_data(tmp_path / "wide.npz")


def test_crops(tmp_path: Path) -> None:
    wide = torch.arange(8.0).div(8).expand(1, 3, 4, 8).contiguous()

    def columns(crop: str, seed: int = 0) -> list[int]:
        return fit_square(wide, 4, crop=crop, flip=False, seed=seed)[0, 0].tolist()

    assert columns("centre") == [64, 96, 128, 159]
    assert columns("pad")[0] == 255  # white above a picture of half the height
    starts = {columns("random", seed)[0] for seed in range(60)}
    assert starts == {0, 32, 64, 96, 128}
    assert columns("stretch") == sorted(columns("stretch"))
    assert columns("stretch")[0] < 32
    flips = [fit_square(wide, 4, crop="centre", flip=True, seed=seed)[0, 0, 0].item() == 159 for seed in range(200)]
    assert 70 < sum(flips) < 130


def test_the_shared_sets_open(shared_data: Path) -> None:
    garments = open_data(shared_data / "fashion_mnist_10k.npz", 32, crop="pad")
    assert (len(garments), len(garments.class_names), garments.size) == (10_000, 10, 32)
    emoji = open_data(shared_data / "emoji" / "noto_emoji_32.npz")
    with np.load(shared_data / "emoji" / "noto_emoji_32.npz") as file:
        np.testing.assert_array_equal(emoji.fetch(7, 0).image.permute(1, 2, 0).numpy(), file["images"][7])


@pytest.mark.parametrize("crop", ["centre", "random", "stretch", "pad"])
def test_a_folder_gives_from_memory_what_it_read(crop, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, shape in enumerate([(9, 20, 3), (24, 10, 3)]):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"{number}.png")
    data = open_data(tmp_path, 8, crop=crop, flip=True)
    first = [data.fetch(index, seed).image for seed in range(5) for index in range(2)]
    for file in tmp_path.iterdir():
        file.unlink()
    again = [data.fetch(index, seed).image for seed in range(5) for index in range(2)]
    assert all(map(torch.equal, first, again))
    assert all(image.shape == (3, 8, 8) for image in first)
    assert len({image.numpy().tobytes() for image in first}) > 2, "neither mirrored nor cut anew"


def test_a_folder_keeps_no_more_than_it_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganart_zoo.data.folder._MOST_KEPT", 3 * 8 * 8)
    data = open_data(write_folder(tmp_path / "data", n=2), 8)
    kept, other = data.fetch(0, 0), data.fetch(1, 0)
    for file in (tmp_path / "data").iterdir():
        grey(200).save(file)
    assert torch.equal(data.fetch(0, 0).image, kept.image)
    assert not torch.equal(data.fetch(1, 0).image, other.image)
