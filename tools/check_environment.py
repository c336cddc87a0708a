"""Fails if this environment contains packages that the project must not install: torchvision, or gigabytes of CUDA."""

from __future__ import annotations

import sys
from importlib.metadata import distributions

UNWANTED = ("torchvision", "torchaudio", "triton", "nvidia-", "cuda-", "pytorch-triton")


def main() -> int:
    """Return 1 and say which packages are unwanted, or 0."""
    names = sorted({(distribution.metadata["Name"] or "").lower() for distribution in distributions()})
    unwanted = [name for name in names if name.startswith(UNWANTED)]
    if unwanted:
        print(f"this environment holds {', '.join(unwanted)}; install with -c constraints.txt", file=sys.stderr)
        return 1
    print(f"environment: {len(names)} packages, no torchvision, no CUDA")
    return 0


if __name__ == "__main__":
    sys.exit(main())
