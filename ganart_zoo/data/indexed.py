"""Data whose pictures are fetched by number, in an endless sequence of permutations.

The picture at each position of the sequence depends only on the seed, and not on the number of processes or workers,
nor on interruptions.
"""

from __future__ import annotations

import signal
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ganart_zoo.contract.defaults import standard_defaults
from ganart_zoo.contract.draws import key_generator, key_seed
from ganart_zoo.contract.errors import ImageError
from ganart_zoo.data.pictures import Batch, Batches, Data, Sample, Share

__all__ = ["MOST_FAILURES", "IndexedData", "collate", "ignore_interrupts"]

MOST_FAILURES = 100  # in a row; then the data as a whole cannot be read


class IndexedData(Data):
    """Pictures that can be fetched by number."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def fetch(self, index: int, seed: int) -> Sample:
        """Return picture `index`, cropped and flipped according to `seed`.

        Raises:
            ImageError: The picture cannot be read; the message names it.
        """

    def loader(self, share: Share, seed: int, workers: int) -> Batches:
        """Return the batches of one process; see `Data.loader`."""
        return _IndexedBatches(self, share, seed, workers)

    def once(self) -> Iterator[Sample | ImageError]:
        """Yield each picture once, in the order of the first epoch with seed 0; see `Data.once`."""
        for position, index in enumerate(_permutation(len(self), 0, 0).tolist()):
            try:
                found: Sample | ImageError = self.fetch(index, key_seed("fetch", 0, position))
            except ImageError as error:
                found = error
            yield found


def _permutation(n: int, seed: int, epoch: int) -> torch.Tensor:
    return torch.randperm(n, generator=key_generator("order", seed, epoch), device="cpu")


class _IndexedBatches:
    def __init__(self, data: IndexedData, share: Share, seed: int, workers: int) -> None:
        self._positions = _Positions(data, seed)
        self._share = share
        self._workers = workers

    def __call__(self, position: int | None = None) -> Iterator[Batch]:
        start = position or 0
        loader: DataLoader[Any] = DataLoader(
            self._positions,
            batch_sampler=_Shares(self._share, start),
            num_workers=self._workers,
            collate_fn=collate,
            worker_init_fn=ignore_interrupts,
            # otherwise each start would draw the workers' seeds from the global generator
            generator=torch.Generator(),
        )
        with standard_defaults():  # the loader draws seeds on the default device
            batches = iter(loader)
        for number, batch in enumerate(batches, start=1):
            if isinstance(batch, str):
                raise ImageError(batch)
            yield batch._replace(position=start + number // self._share.parts * self._share.batch)


class _Positions(Dataset[tuple["Sample | None", tuple[str, ...]]]):
    """The endless sequence by position, with the pictures that were skipped."""

    def __init__(self, data: IndexedData, seed: int) -> None:
        self._data = data
        self._seed = seed
        self._epoch = -1
        self._permutation = torch.empty(0, device="cpu")

    def __getitem__(self, position: int) -> tuple[Sample | None, tuple[str, ...]]:
        skipped = []
        index = self._index(position)
        for further in range(min(len(self._data), MOST_FAILURES)):
            try:
                found = self._data.fetch((index + further) % len(self._data), key_seed("fetch", self._seed, position))
            except ImageError as error:
                skipped.append(str(error))
            else:
                return found, tuple(skipped)
        return None, tuple(skipped)

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self._data))
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, _permutation(len(self._data), self._seed, epoch)
        return int(self._permutation[place])


class _Shares(Sampler[list[int]]):
    """The positions of each batch of one process, endlessly."""

    def __init__(self, share: Share, start: int) -> None:
        self._share = share
        self._start = start

    def __iter__(self) -> Iterator[list[int]]:
        start = self._start
        while True:
            for part in range(self._share.parts):
                yield [start + row for row in self._share.part(part)]
            start += self._share.batch


def collate(fetched: list[tuple[Sample | None, tuple[str, ...]]]) -> Batch | str:
    """Join samples to a batch without a position, or return a message, since exceptions in workers take many lines."""
    skipped = tuple(line for _, lines in fetched for line in lines)
    samples = [sample for sample, _ in fetched if sample is not None]
    if len(samples) < len(fetched):
        return f"no picture among {len(skipped)} in a row can be read; the first: {skipped[0]}"
    labels = [sample.label for sample in samples if sample.label is not None]
    prompts = [sample.prompt for sample in samples if sample.prompt is not None]
    return Batch(
        torch.stack([sample.image for sample in samples]),
        torch.tensor(labels, device="cpu") if labels else None,
        tuple(prompts) or None,
        skipped,
        None,
    )


def ignore_interrupts(worker: int) -> None:
    """Ignore Ctrl-C and SIGTERM in a worker; the training process handles them and then ends its workers.

    Launchers send SIGTERM to whole groups of processes. Workers also end when their parent does.
    """
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
