"""The names of `ganart_zoo.running.batch`, which stood here before."""

from __future__ import annotations

from ganart_zoo.running.batch import Job, Outcome, plan, stylize_all

__all__ = ["Job", "Outcome", "plan", "stylize_all"]
