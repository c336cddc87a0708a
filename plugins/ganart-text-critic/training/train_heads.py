"""Goes on training a critic of ganart-text-critic with its convolutions frozen: their features are computed once.

    python train_heads.py TRAIN.npz START.safetensors OUT.safetensors --seconds 400

A step then costs a third. It made the third stage of the shipped weights (see weights/critic.md), in several runs.
`TRAIN.npz` holds `images` and `captions`, as make_data.py writes them. START may lack parts that are new: they begin
so that the critic is unchanged. The rate falls linearly over the CPU seconds given.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random

import numpy as np
import torch
from ganart_text_critic.changes import mention, misspelled, vary, wear, without_style, wrong_captions
from ganart_text_critic.config import CriticConfig
from ganart_text_critic.critic import TextCritic
from ganart_text_critic.recipe import contrastive_loss
from ganart_text_critic.towers import Vectors
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

BATCH, RATE, WARMUP, CLIP, AVERAGE = 128, 1e-3, 15, 2.0, 0.99
FASTER = {"table": 8.0, "layout": 3.0, "narrow": 3.0}
"""How many times the rate parts learn that begin afresh, or whose rows are seldom used."""
COUNTED = ("a", "an", "one", "two", "three", "four")
"""How captions of drawn scenes begin; they get three wrong captions, and others one."""


def start(path: Path) -> TextCritic:
    """Return the critic of a file; what the file lacks is new, and adds nothing at first."""
    critic = TextCritic(CriticConfig())
    torch.nn.init.zeros_(critic.picture_tower.layout[3].weight)
    torch.nn.init.zeros_(critic.picture_tower.layout[3].bias)
    own, given = critic.own_state(), load_file(path)
    critic.load_own_state({name: given.get(name, value.clone()).to(value.dtype) for name, value in own.items()})
    critic.picture_tower.features.requires_grad_(False)
    return critic


@torch.no_grad()
def features(critic: TextCritic, images: np.ndarray, captions: list[str]) -> tuple[Tensor, list[str]]:
    """Return the frozen features `[n, 64, width]` of varied and worn pictures, and their captions."""
    parts, said = [], []
    for first in range(0, len(captions), 256):
        rows = range(first, min(first + 256, len(captions)))
        rngs = [Random(f"w{row}") for row in rows]
        pictures = torch.from_numpy(images[first : rows.stop]).permute(0, 3, 1, 2).float() / 255
        pictures, texts = vary(pictures, captions[first : rows.stop], rngs, recoloured=0.1, placed=0.06)
        worn = torch.tensor([rng.random() < 0.7 for rng in rngs])
        noise = [torch.Generator().manual_seed(row) for row in rows]
        chosen = worn.nonzero().flatten().tolist()
        pictures[worn] = wear(pictures[worn], [rngs[row] for row in chosen], [noise[row] for row in chosen])
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(critic.picture_tower.features(pictures * 2 - 1).flatten(2).transpose(1, 2).bfloat16())
        said += texts
    return torch.cat(parts), said


def vectors(critic: TextCritic, found: Tensor) -> Tensor:
    """Return the picture tower's vectors of features."""
    tower = critic.picture_tower
    tokens = tower.norm(tower.attention(found + tower.places))
    gathered = tower.queries(tokens).softmax(dim=1).transpose(1, 2) @ tokens
    whole = tower.out(gathered.flatten(1)) + tower.layout(tower.narrow(tokens).flatten(1))
    return functional.normalize(whole.float(), dim=1)


def learn(critic: TextCritic, found: Tensor, captions: list[str], seconds: float) -> None:
    """Train until so many CPU seconds are spent; the critic ends as the moving average of its states."""
    named = [(name, value) for name, value in critic.named_parameters() if value.requires_grad]
    groups = []
    for name, value in named:
        decays = value.ndim >= 2 and not name.endswith(("table", "places"))
        speed = next((times for part, times in FASTER.items() if part in name), 1.0)
        groups.append({"params": [value], "weight_decay": 0.02 if decays else 0.0, "speed": speed})
    optimizer = torch.optim.AdamW(groups, RATE, (0.9, 0.98))
    average = [value.detach().clone() for _, value in named]
    began, step, per_epoch = time.process_time(), 0, len(captions) // BATCH
    while (progress := (time.process_time() - began) / seconds) < 1:
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            order = torch.randperm(len(captions), generator=torch.Generator().manual_seed(epoch))
        rows = order[place * BATCH : (place + 1) * BATCH].tolist()
        for group in optimizer.param_groups:
            group["lr"] = RATE * group["speed"] * min(1, (step + 1) / WARMUP) * (1 - 0.98 * progress)
        rngs = [Random(f"{step}/{row}") for row in rows]
        full = [captions[row] for row in rows]
        said = [without_style(text, rng, 0.25) for text, rng in zip(full, rngs, strict=True)]
        counts = [3 if text.split()[0] in COUNTED else 1 for text in full]
        wrong = [wrong_captions(text, rng, n) for text, rng, n in zip(said, rngs, counts, strict=True)]
        true = mention(said, full)
        said = [misspelled(text, rng, 0.04) for text, rng in zip(said, rngs, strict=True)]
        with torch.autocast("cpu", torch.bfloat16):
            pictures = vectors(critic, found[rows].float())
            texts = critic.text_vectors([*said, *(text for each in wrong for text in each)]).float()
        compared = Vectors(pictures, texts, critic.log_scale.exp().clamp(max=100.0))
        loss, _ = contrastive_loss(compared, true, [row for row, each in enumerate(wrong) for _ in each])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([value for _, value in named], CLIP)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for kept, (_, value) in zip(average, named, strict=True):
                kept.lerp_(value, 1 - min(AVERAGE, step / (step + 9)))
        if step % 20 == 0:
            print(f"step {step}  loss {float(loss.detach()):.3f}  {progress:.0%}", flush=True)
    with torch.no_grad():
        for kept, (_, value) in zip(average, named, strict=True):
            value.copy_(kept)


def main() -> None:
    """Train, calibrate, and write the file in float16."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("start", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=400.0, help="CPU seconds of training.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(13)
    with np.load(asked.data) as file:
        images, captions = file["images"], [str(text) for text in file["captions"]]
    critic = start(asked.start)
    learn(critic, *features(critic, images, captions), asked.seconds)
    critic.eval().load_own_state(
        {name: v.half().to(v.dtype) if v.is_floating_point() else v for name, v in critic.own_state().items()}
    )
    bank = np.random.default_rng(0).permutation(len(captions))[: len(critic.picture_bank)]
    critic.set_banks(torch.from_numpy(images[bank]).permute(0, 3, 1, 2).float() / 255, [captions[row] for row in bank])
    state = critic.own_state().items()
    save_file({name: (v.half() if v.is_floating_point() else v).contiguous() for name, v in state}, asked.out)


if __name__ == "__main__":
    main()
