"""The toy plugins: importable as if they were installed, and a zoo of them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from ganart_zoo import Zoo

PLUGINS = Path(__file__).with_name("plugins")
NAMES = ("toy_backbone", "toy_styles", "toy_critics", "toy_transfer", "toy_diffusion")

sys.path.append(str(PLUGINS))
ZOO = Zoo(plugins=[importlib.import_module(name) for name in NAMES], strict=True)
