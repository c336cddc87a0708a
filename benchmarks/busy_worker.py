"""A process that takes steps of style transfer when it is told to: each line on its input is answered when one is done.

How its threads wait for work is decided by its environment, before torch is imported.
"""

from __future__ import annotations

import sys

from ganart_zoo import native


def main(spins: int, threads: int) -> None:
    """Answer each line with steps. `spins` are those of `tune_threads`: -1 for its default, 0 for leaving it out."""
    if spins:
        native.tune_threads(*[spins] if spins > 0 else [])
    import torch

    torch.set_num_threads(threads)
    native.tune_allocator()
    net = torch.nn.Sequential(
        *(
            layer
            for inputs, outputs in ((3, 32), (32, 32), (32, 64), (64, 64), (64, 64))
            for layer in (torch.nn.Conv2d(inputs, outputs, 3, padding=1), torch.nn.ReLU())
        )
    )
    net.requires_grad_(False)
    picture = torch.rand(1, 3, 192, 192, requires_grad=True)
    for _ in sys.stdin:
        for _ in range(5):
            net(picture).square().mean().backward()
        print(flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
