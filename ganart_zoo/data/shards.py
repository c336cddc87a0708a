"""Pictures in WebDataset shards: tar files read sequentially, for sets larger than memory or a disk.

A sample consists of files with the same name: a picture, and optionally `.txt` (caption), `.cls` (class number) or
`.json` with `text` and `label`. Class names are a JSON list in `class_names.json` beside the shards. Only files are
read; a remote store has to be mounted.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from braceexpand import braceexpand
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from webdataset.tariterators import base_plus_ext, group_by_keys, tar_file_expander  # type: ignore[import-untyped]

from ganart_zoo.contract.defaults import standard_defaults
from ganart_zoo.contract.draws import key_generator, key_seed
from ganart_zoo.contract.errors import ImageError, SettingsError, count_of
from ganart_zoo.data.files import PICTURE_SUFFIXES, counted, json_of, text_of
from ganart_zoo.data.fingerprint import fingerprint
from ganart_zoo.data.indexed import MOST_FAILURES, collate, ignore_interrupts
from ganart_zoo.data.pictures import LEAST_SCALING, Batch, Batches, Crop, Data, Sample, Share, as_text, fit_square
from ganart_zoo.imaging.images import load

__all__ = ["ShardData"]

_WINDOW = 1000
"""The number of samples that are shuffled with each other. They come from one shard, so that resuming reads only it."""
_SHOWN = 40  # characters of a label
_PEEK = 64  # the first readable samples, which show whether there are captions

Place = list[int]
"""The epoch, the number of the reader's shard in it, and how many samples of that shard have been read."""


class ShardData(Data):
    """The samples of tar files.

    The order of the shards differs in each epoch. Processes and their workers take turns in it, so that each shard is
    read once. Within a shard, samples are shuffled in a window.

    Args:
        path: A folder that holds `*.tar`, one such file, or a pattern: `train-{000..099}.tar`.
        size: The side of the pictures in pixels.
        crop: See `fit_square`.
        flip: Whether to mirror a random half of the pictures.

    Raises:
        ImageError: There are no such files, or `class_names.json` is damaged.
    """

    def __init__(self, path: Path, size: int, *, crop: Crop = "centre", flip: bool = False) -> None:
        self._path, self.size, self._crop, self._flip = path, size, crop, flip
        self.shards = _shards(path)
        self.class_names = _class_names(self.shards[0].parent / "class_names.json")
        first = islice(chain.from_iterable(_read(shard, []) for shard in self.shards), _PEEK)
        found = [(_text(raw), _shown_label(raw)) for raw in first]
        texts = [text for text, _ in found]
        label = next((label for _, label in found if label is not None), None)
        notes = []
        if label is not None and not self.class_names:
            notes.append(
                f"{path}: has labels such as {label}, which are left out because there is no class_names.json "
                "beside the shards; a JSON list there names the classes from 0"
            )
        self._captioned = any(text is not None for text in texts)
        self.prompts = [text or "" for text in texts] if self._captioned else None
        if self._captioned and (bare := texts.count(None)):
            notes.append(f"{path}: {bare} of the first {count_of(len(texts), 'sample')} have no caption")
        if path.is_dir() and (pictures := _loose_pictures(path)):
            notes.append(f"{path}: {counted(pictures, 'picture')} beside the shards left out; only shards are read")
        self.notes = tuple(map(as_text, notes))

    def loader(self, share: Share, seed: int, workers: int) -> Batches:
        """Return the batches of one process; see `Data.loader`. At most as many workers as shards are used.

        Raises:
            SettingsError: There are fewer shards than processes.
        """
        if len(self.shards) < share.processes:
            raise SettingsError(f"{self._path} holds {len(self.shards)} shards, expected at least one for each process")
        return _ShardBatches(self, share, seed, workers)

    def once(self) -> Iterator[Sample | ImageError]:
        """Yield each sample once, shard by shard; see `Data.once`."""
        for number in torch.randperm(len(self.shards), generator=key_generator("shards", 0, 0), device="cpu").tolist():
            shard, damage = self.shards[number], list[str]()
            for count, raw in enumerate(_read(shard, damage), start=1):
                try:
                    found: Sample | ImageError = self.decode(raw, key_seed("decode", 0, 0, shard.name, count))
                except ImageError as error:
                    found = error
                yield found
            yield from map(ImageError, damage)

    def decode(self, raw: dict[str, Any], seed: int) -> Sample:
        """Decode the files of one sample.

        Raises:
            ImageError: The picture cannot be read, or its JSON although there are captions or classes, or it lacks a
                label although there are classes; the message names it.
        """
        name = f"{raw['__url__']}/{raw['__key__']}"
        if (self._captioned or self.class_names) and _described(raw) is None:
            raise ImageError(f'{name}: .json is not a JSON object, such as {{"text": ..., "label": ...}}')
        data = next((data for suffix, data in raw.items() if f".{suffix}" in PICTURE_SUFFIXES), None)
        if data is None:
            raise ImageError(f"{name}: no picture among {', '.join(key for key in raw if not key.startswith('__'))}")
        label = _label(raw)
        if self.class_names and (label is None or not 0 <= label < len(self.class_names)):
            raise ImageError(f"{name}: label is {_shown_label(raw)}, expected 0 to {len(self.class_names) - 1}")
        try:
            whole = load(data, least_side=LEAST_SCALING * self.size)
            image = fit_square(whole, self.size, crop=self._crop, flip=self._flip, seed=seed)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from None
        return Sample(image, label if self.class_names else None, (_text(raw) or "") if self._captioned else None)

    def describe(self) -> dict[str, Any]:
        """Return facts about the shards. The hash is over the files; see `fingerprint`."""
        shards = {f"{number}/{shard.name}": shard for number, shard in enumerate(self.shards)}
        return {
            "path": str(self._path),
            "holds": f"{len(self.shards)} shards",
            "sha256": fingerprint(shards),
            "size": self.size,
            "crop": self._crop,
            "flip": self._flip,
        }


class _ShardBatches:
    """The batches of one process, from readers in turn."""

    def __init__(self, data: ShardData, share: Share, seed: int, workers: int) -> None:
        self._data, self._share, self._seed = data, share, seed
        self._workers = min(workers, len(data.shards) // share.processes)
        self._readers = max(1, self._workers)

    def __call__(self, position: dict[str, Any] | None = None) -> Iterator[Batch]:
        turn: int = position["turn"] if position else 0
        places: list[Place] = [list(place) for place in position["places"]] if position else []
        places = places or [[0, 0, 0] for _ in range(self._readers)]
        if len(places) != self._readers:
            raise SettingsError(
                f"{len(places)} workers read the shards before, and these are {self._readers}; use as many"
            )
        loader: DataLoader[Any] = DataLoader(
            _Reader(self._data, self._share, self._seed, turn, places),
            batch_size=None,
            num_workers=self._workers,
            worker_init_fn=ignore_interrupts,
            generator=torch.Generator(),
        )
        with standard_defaults():  # the loader draws seeds on the default device
            batches = iter(loader)
        for batch in batches:
            if isinstance(batch, str):
                raise ImageError(batch)
            places[turn] = batch.position
            turn = (turn + 1) % self._readers
            yield batch._replace(position={"turn": turn, "places": [list(place) for place in places]})


class _Reader(IterableDataset["Batch | str"]):
    """The samples of one worker, which reads every n-th shard in the order of each epoch."""

    def __init__(self, data: ShardData, share: Share, seed: int, turn: int, places: Sequence[Place]) -> None:
        self._data, self._share, self._seed, self._turn, self._places = data, share, seed, turn, places

    def __iter__(self) -> Iterator[Batch | str]:
        info = get_worker_info()
        readers = len(self._places)
        # the loader starts with worker 0, so after a resume worker 0 is the reader whose turn it is
        reader = (self._turn + (info.id if info else 0)) % readers
        role, roles = self._share.process * readers + reader, self._share.processes * readers
        fetched: list[tuple[Sample | None, tuple[str, ...]]] = []
        for sample, skipped, place in self._samples(role, roles, *self._places[reader]):
            fetched.append((sample, skipped))
            if sample is None or len(fetched) == self._share.rows:
                batch = collate(fetched)
                yield batch if isinstance(batch, str) else batch._replace(position=place)
                fetched = []

    def _samples(
        self, role: int, roles: int, epoch: int, first: int, done: int
    ) -> Iterator[tuple[Sample | None, tuple[str, ...], Place]]:
        """Yield samples endlessly, each with the samples skipped before it and the place after it.

        None in place of a sample ends the sequence: after too many failures in a row, or if this reader has read every
        shard (it gets other shards in each epoch) without finding a sample.
        """
        skipped: list[str] = []
        barren: set[Path] = set()
        while True:
            rng = key_generator("shards", self._seed, epoch)
            order = torch.randperm(len(self._data.shards), generator=rng, device="cpu")[role::roles].tolist()
            for number in range(first, len(order)):
                shard = self._data.shards[order[number]]
                fruitful, known = done > 0, len(skipped)
                for count, raw in enumerate(self._mixed(shard, epoch, skipped), start=1):
                    if count <= done:
                        continue
                    seed = key_seed("decode", self._seed, epoch, shard.name, count)
                    try:
                        sample = self._data.decode(raw, seed)
                    except ImageError as error:
                        skipped.append(str(error))
                        if len(skipped) >= MOST_FAILURES:
                            break
                        continue
                    yield sample, tuple(skipped), [epoch, number, count]
                    skipped.clear()
                    fruitful = True
                if not fruitful:
                    barren.add(shard)
                    if len(skipped) == known:
                        skipped.append(f"{shard}: holds no samples")
                if len(skipped) >= MOST_FAILURES or len(barren) == len(self._data.shards):
                    yield None, tuple(skipped), [epoch, number, 0]
                done = 0
            epoch, first = epoch + 1, 0

    def _mixed(self, shard: Path, epoch: int, skipped: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the samples of a shard, each drawn at random from a window that moves along the shard."""
        rng = key_generator("mix", self._seed, epoch, shard.name)
        window: list[dict[str, Any]] = []
        for raw in _read(shard, skipped):
            window.append(raw)
            if len(window) == _WINDOW:
                yield _take(window, rng)
        while window:
            yield _take(window, rng)


def _take(window: list[dict[str, Any]], rng: torch.Generator) -> dict[str, Any]:
    place = int(torch.randint(len(window), (), generator=rng, device="cpu"))
    window[place], window[-1] = window[-1], window[place]
    return window.pop()


def _read(shard: Path, skipped: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the samples of a shard, not decoded. If the shard is damaged, report that and stop there."""

    def note(error: Exception) -> bool:
        skipped.append(f"{shard}: damaged: {' '.join(str(error.args[0] if error.args else error).split())}")
        return True

    try:
        with shard.open("rb") as stream:
            files = tar_file_expander([{"url": str(shard), "stream": stream}], handler=note)
            yield from group_by_keys(files, keys=_splitter(shard), handler=note)
    except OSError as error:
        note(error)


def _splitter(shard: Path) -> Callable[[str], tuple[str | None, str | None]]:
    """Return the function that splits the name of a file into its sample's name and a suffix.

    By WebDataset's convention the suffix starts at the first dot of the name, as in `0001.seg.png`. Names that contain
    dots, as in `face v1.000.png`, would then all belong to one sample. So the suffix of a name with several dots starts
    at its first dot only if there is a picture `0001.png` beside it, and at its last dot otherwise.
    """
    known: set[str | None] = set()
    listed = False

    def split(name: str) -> tuple[str | None, str | None]:
        nonlocal listed
        key, suffix = base_plus_ext(name)
        if key is None or "." not in suffix:
            return key, suffix
        if not listed:
            known.update(_plain_samples(shard))
            listed = True
        if key in known:
            return key, suffix
        stem, _, last = name.rpartition(".")
        return stem, last

    return split


def _plain_samples(shard: Path) -> Iterator[str]:
    """Yield the names of samples whose picture has only one suffix."""
    try:
        with tarfile.open(shard) as tar:
            for member in tar:
                key, suffix = base_plus_ext(member.name)
                if key is not None and f".{suffix}".lower() in PICTURE_SUFFIXES:
                    yield key
    except (tarfile.TarError, OSError, EOFError):  # what can be read is reported where samples are read
        return


def _shards(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(shard for shard in path.glob("*.tar") if not shard.name.startswith("."))
    else:
        found = [Path(each) for each in braceexpand(str(path))]
    if not found:
        raise ImageError(f"{path} holds no .tar files")
    if missing := [shard for shard in found if not shard.is_file()]:
        raise ImageError(f"{missing[0]}: there is no such shard; {len(missing)} of {len(found)} are missing")
    return found


def _loose_pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES and file.name[0] != ".")


def _class_names(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    try:
        names = json_of(text_of(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be read ({error})") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ImageError(f"{path}: expected a JSON list of names")
    return tuple(names)


def _read_text(data: bytes) -> str:
    try:
        return text_of(data).strip()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").strip()


def _described(raw: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a sample's JSON says; None where it is damaged."""
    try:
        found = json_of(text_of(raw.get("json", b"{}")))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _text(raw: dict[str, Any]) -> str | None:
    if "txt" in raw:
        return _read_text(raw["txt"])
    text = (_described(raw) or {}).get("text")
    return None if text is None else str(text)


def _shown_label(raw: dict[str, Any]) -> object:
    """Return a label as it is stored, or None."""
    return _read_text(raw["cls"])[:_SHOWN] if "cls" in raw else (_described(raw) or {}).get("label")


def _label(raw: dict[str, Any]) -> int | None:
    stored = _shown_label(raw)
    if isinstance(stored, bool):
        return None
    try:
        number = int(stored)  # type: ignore[call-overload]  # what is no number is caught
    except (ValueError, TypeError, OverflowError):
        return None
    return number if isinstance(stored, str) or number == stored else None
