"""Measures a class-conditional generator of Fashion-MNIST by the features of a small classifier of its own.

    python tools/judge_garments.py --data fashion_mnist_10k.npz --judge judge.safetensors [--run RUN] [--weights NAME]

The judge is trained on most of the pictures and its accuracy is that on the others; a file that is there is used again.
Distances are Fréchet's over the judge's 128 last features, always of 5,000 pictures against 5,000 real ones, so that
their bias is the same. Copying is looked for in pixels: the distance of a sample to the nearest of all real pictures
beside that of a real picture to the nearest of the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo import Zoo
from ganart_zoo.contract import Condition, Generator, generator
from ganart_zoo.data import open_data
from ganart_zoo.data.pictures import Share
from ganart_zoo.metrics.distances import frechet_distance, moments

SIDE = 32
SAMPLES = 5000
HELD_OUT = 1500
EPOCHS = 14
CLASSES = 10
_BATCH = 100


class Judge(nn.Module):
    """Three convolutions of 3 by 3, each with batch norm and pooling, then 128 features and a vote on each class."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Linear(128 * (SIDE // 8) ** 2, 128)
        self.classes = nn.Linear(128, CLASSES)

    def features(self, images: Tensor) -> Tensor:
        """Return `[n, 128]` for grey pictures `[n, 1, 32, 32]` in 0..1."""
        maps = self.convolutions(((images - 0.3) / 0.35).to(memory_format=torch.channels_last))
        return functional.relu(self.dense(maps.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `[n, 10]`."""
        return self.classes(functional.dropout(self.features(images), 0.3, self.training))


def train_judge(images: Tensor, labels: Tensor) -> Judge:
    """Return a judge of pictures `[n, 1, 32, 32]`, trained with flips and shifts of up to two pixels."""
    torch.manual_seed(0)
    judge = Judge().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=3e-3, weight_decay=0.02)
    rounds = len(images) // _BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=EPOCHS * rounds)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(images))[: rounds * _BATCH].split(_BATCH):
            down, right = torch.randint(-2, 3, (2,)).tolist()
            batch = images[rows].roll((down, right), (2, 3))  # borders are black
            batch = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, batch.flip(3), batch)
            with torch.autocast("cpu", torch.bfloat16):
                logits = judge(batch)
            loss = functional.cross_entropy(logits.float(), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"judge: epoch {epoch + 1}/{EPOCHS}, loss {loss.item():.3f}", flush=True)
    return judge.eval()


@torch.no_grad()
def in_parts(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Return the function's rows for all values, computed a part at a time."""
    return torch.cat([function(part) for part in values.split(_BATCH)])


def real_pictures(path: Path) -> tuple[Tensor, Tensor]:
    """Return all pictures, grey `[n, 1, 32, 32]` as a training sees them, and labels `[n]`, in a mixed order."""
    data = open_data(path, SIDE)
    count = int(data.describe()["holds"].split()[0])
    batch = next(iter(data.loader(Share(count), seed=0, workers=0)()))
    assert batch.labels is not None
    return batch.images[:, :1].float() / 255, batch.labels


@torch.no_grad()
def samples(model: Generator, count: int) -> tuple[Tensor, Tensor]:
    """Return pictures, grey and of 8 bits, of seeds 0 to count - 1 with the classes in turn; and the classes."""
    labels = torch.arange(count) % CLASSES
    parts = []
    for rows in torch.arange(count).split(_BATCH):
        latents = model.sample_latents(len(rows), rng=[generator(seed=int(row)) for row in rows])
        parts.append(model(latents, Condition(labels=labels[rows])).mean(dim=1, keepdim=True))
    return torch.cat(parts).clamp(0, 1).mul(255).round() / 255, labels


def nearest(images: Tensor, others: Tensor, *, itself: bool) -> Tensor:
    """Return the root-mean-square difference of each picture to the nearest other, `[n]`; `itself`: not to itself."""
    to = others.flatten(1)
    found = []
    for first in range(0, len(images), _BATCH):
        distances = torch.cdist(images[first : first + _BATCH].flatten(1), to)
        if itself:
            distances[torch.arange(len(distances)), torch.arange(first, first + len(distances))] = torch.inf
        found.append(distances.amin(dim=1))
    return torch.cat(found) / to.shape[1] ** 0.5


def quantiles(distances: Tensor) -> dict[str, float]:
    """Return the least, some quantiles and the mean."""
    values = torch.quantile(distances, torch.tensor([0.0, 0.01, 0.1, 0.5, 0.9])).tolist()
    names = ("least", "1 %", "10 %", "median", "90 %")
    return dict(zip(names, values, strict=True)) | {"mean": distances.mean().item()}


def measure(judge: Judge, model: Generator, untrained: Generator, images: Tensor, of_real: Tensor) -> dict[str, Any]:
    """Return all figures on a generator; `of_real` is the judge's features of the real pictures."""
    halves = [moments(half) for half in of_real.split(SAMPLES)]

    def distance(pictures: Tensor) -> float:
        own = moments(in_parts(judge.features, pictures))
        return sum(frechet_distance(own, half) for half in halves) / len(halves)

    made, labels = samples(model, SAMPLES)
    agreed = in_parts(judge, made).argmax(dim=1) == labels
    of_halves, of_made = frechet_distance(*halves), distance(made)
    of_untrained = distance(samples(untrained, SAMPLES)[0])
    return {
        "frechet_real_halves": of_halves,
        "frechet_samples": of_made,
        "frechet_untrained": of_untrained,
        "times_real_halves": of_made / of_halves,
        "share_of_untrained": of_made / of_untrained,
        "agreement": agreed.float().mean().item(),
        "agreement_by_class": [agreed[labels == label].float().mean().item() for label in range(CLASSES)],
        "nearest_sample_to_real": quantiles(nearest(made, images, itself=False)),
        "nearest_real_to_other_real": quantiles(nearest(images[:SAMPLES], images, itself=True)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train or load the judge, measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="The .npz of 10,000 pictures.")
    parser.add_argument("--judge", type=Path, required=True, help="Where the judge is kept.")
    parser.add_argument("--run", type=Path, help="A training run; default: the weights shipped with ganart-dcgan.")
    parser.add_argument("--weights", default="garments", help="Of ganart-dcgan/dcgan, without --run.")
    asked = parser.parse_args(arguments)
    images, labels = real_pictures(asked.data)
    judge = Judge().eval()
    if not asked.judge.exists():
        began = time.process_time()
        judge = train_judge(images[HELD_OUT:], labels[HELD_OUT:])
        save_file({name: tensor.contiguous() for name, tensor in judge.state_dict().items()}, asked.judge)
        print(f"judge: trained in {time.process_time() - began:.0f} CPU seconds")
    judge.load_state_dict(load_file(asked.judge))
    right = in_parts(judge, images[:HELD_OUT]).argmax(dim=1) == labels[:HELD_OUT]
    print(f"judge: {right.float().mean().item():.2%} right on {HELD_OUT} pictures held out", flush=True)
    zoo = Zoo()
    model = zoo.create(asked.run) if asked.run else zoo.create("ganart-dcgan/dcgan", weights=asked.weights)
    torch.manual_seed(0)
    untrained = type(model)(model.config).eval()
    figures = measure(judge, model, untrained, images, in_parts(judge.features, images))
    print(json.dumps({"judge_accuracy": right.float().mean().item(), **figures}, indent=2))


if __name__ == "__main__":
    main()
