"""Measures a class-conditional generator of Fashion-MNIST with the features of a small classifier trained for that.

    python tools/judge_garments.py --data fashion_mnist_10k.npz --judge judge.safetensors [--run RUN] [--weights NAME]

The classifier, called the judge, is trained on most of the pictures, and its accuracy is measured on the rest. An
existing file of the judge is used again. Fréchet distances use the judge's last 128 features, and always compare 5,000
pictures with 5,000 real ones, so that all have the same bias. Copying is measured in pixels: the distance of a sample
to the nearest real picture is compared with the distance of a real picture to the nearest other one.
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
    """Three 3×3 convolutions, each with batch norm and pooling, then 128 features and one logit per class."""

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
    """Return the function's rows for all values, computed in batches."""
    return torch.cat([function(part) for part in values.split(_BATCH)])


def real_pictures(path: Path) -> tuple[Tensor, Tensor]:
    """Return all pictures, grey `[n, 1, 32, 32]` as training sees them, and labels `[n]`, in shuffled order."""
    data = open_data(path, SIDE)
    count = int(data.describe()["holds"].split()[0])
    batch = next(iter(data.loader(Share(count), seed=0, workers=0)()))
    assert batch.labels is not None
    return batch.images[:, :1].float() / 255, batch.labels


@torch.no_grad()
def samples(model: Generator, count: int) -> tuple[Tensor, Tensor]:
    """Return grey pictures rounded to 8 bits, of seeds 0 to count - 1 with the classes in turn, and their labels."""
    labels = torch.arange(count) % CLASSES
    parts = []
    for rows in torch.arange(count).split(_BATCH):
        latents = model.sample_latents(len(rows), rng=[generator(seed=int(row)) for row in rows])
        parts.append(model(latents, Condition(labels=labels[rows])).mean(dim=1, keepdim=True))
    return torch.cat(parts).clamp(0, 1).mul(255).round() / 255, labels


def nearest(images: Tensor, others: Tensor, *, itself: bool) -> Tensor:
    """Return `[n]`, each picture's RMS difference to the nearest other; `itself`: `others` holds the picture too."""
    to = others.flatten(1)
    smallest = []
    for first in range(0, len(images), _BATCH):
        distances = torch.cdist(images[first : first + _BATCH].flatten(1), to)
        if itself:
            distances[torch.arange(len(distances)), torch.arange(first, first + len(distances))] = torch.inf
        smallest.append(distances.amin(dim=1))
    return torch.cat(smallest) / to.shape[1] ** 0.5


def quantiles(distances: Tensor) -> dict[str, float]:
    """Return the minimum, some quantiles and the mean."""
    values = torch.quantile(distances, torch.tensor([0.0, 0.01, 0.1, 0.5, 0.9])).tolist()
    names = ("least", "1 %", "10 %", "median", "90 %")
    return dict(zip(names, values, strict=True)) | {"mean": distances.mean().item()}


def measure(judge: Judge, model: Generator, untrained: Generator, images: Tensor, of_real: Tensor) -> dict[str, Any]:
    """Return all figures for a generator; `of_real` holds the judge's features of the real pictures."""
    halves = [moments(half) for half in of_real.split(SAMPLES)]

    def distance(pictures: Tensor) -> float:
        own = moments(in_parts(judge.features, pictures))
        return sum(frechet_distance(own, half) for half in halves) / len(halves)

    generated, labels = samples(model, SAMPLES)
    agreed = in_parts(judge, generated).argmax(dim=1) == labels
    of_halves, of_generated = frechet_distance(*halves), distance(generated)
    of_untrained = distance(samples(untrained, SAMPLES)[0])
    return {
        "frechet_real_halves": of_halves,
        "frechet_samples": of_generated,
        "frechet_untrained": of_untrained,
        "times_real_halves": of_generated / of_halves,
        "share_of_untrained": of_generated / of_untrained,
        "agreement": agreed.float().mean().item(),
        "agreement_by_class": [agreed[labels == label].float().mean().item() for label in range(CLASSES)],
        "nearest_sample_to_real": quantiles(nearest(generated, images, itself=False)),
        "nearest_real_to_other_real": quantiles(nearest(images[:SAMPLES], images, itself=True)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train or load the judge, measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="The .npz file of 10,000 pictures.")
    parser.add_argument(
        "--judge", type=Path, required=True, help="The file of the judge; it is written if it does not exist."
    )
    parser.add_argument(
        "--run", type=Path, help="A training run to measure; by default, the weights shipped with ganart-dcgan."
    )
    parser.add_argument(
        "--weights", default="garments", help="The weights of ganart-dcgan/dcgan to measure without --run."
    )
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
    print(f"judge: {right.float().mean().item():.2%} accuracy on {HELD_OUT} held-out pictures", flush=True)
    zoo = Zoo()
    model = zoo.create(asked.run) if asked.run else zoo.create("ganart-dcgan/dcgan", weights=asked.weights)
    torch.manual_seed(0)
    untrained = type(model)(model.config).eval()
    figures = measure(judge, model, untrained, images, in_parts(judge.features, images))
    print(json.dumps({"judge_accuracy": right.float().mean().item(), **figures}, indent=2))


if __name__ == "__main__":
    main()
