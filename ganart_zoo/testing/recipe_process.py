"""A program for the check `two_processes_are_one`: one process of a training, described in JSON on standard input."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Train, as one of the processes that the environment describes."""
    request = json.load(sys.stdin)
    sys.path[:] = request["path"]
    import torch

    from ganart_zoo import Zoo
    from ganart_zoo.tasks.train import prepare

    torch.set_num_threads(1)
    names = request["plugins"]
    zoo = Zoo(plugins=None if names is None else [importlib.import_module(name) for name in names])
    config_class: Any = zoo.recipe_settings(request["recipe"]).config_class
    prepare(
        zoo,
        request["recipe"],
        request["networks"],
        Path(request["data"]),
        Path(request["folder"]),
        config=config_class.model_validate(request["config"]),
        uses=request["uses"],
        size=request["size"],
        conditions=request["conditions"],
    ).fit()


if __name__ == "__main__":
    main()
    # gloo's threads outlive their group, and now and then abort a process that tidies up after itself
    sys.stderr.flush()
    os._exit(0)
