"""The names of `ganart_zoo.running.generators`, which stood here before."""

from __future__ import annotations

from ganart_zoo.running.generators import LoadedGenerator, check_seeds, generator_entry, load_generator, load_recorded

__all__ = ["LoadedGenerator", "check_seeds", "generator_entry", "load_generator", "load_recorded"]
