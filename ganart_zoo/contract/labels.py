"""Reads class labels from a condition and checks them before a network uses them as indices."""

from __future__ import annotations

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import SettingsError

__all__ = ["class_labels"]


def class_labels(condition: Condition | None, n: int, class_names: tuple[str, ...]) -> Tensor | None:
    """Return the labels `[n]` of a condition, or None for a network without classes.

    Raises:
        SettingsError: Labels are missing, are given to a network without classes, are not whole numbers `[1]` or
            `[n]`, or are out of range.
    """
    labels = condition.labels if condition is not None else None
    if not class_names:
        if labels is not None:
            raise SettingsError("labels were given to a network without classes; leave them out, or set class_names")
        return None
    if condition is None or labels is None:
        raise SettingsError(f"a network of {len(class_names)} classes was given no labels; pass Condition(labels=...)")
    if labels.ndim != 1 or labels.is_floating_point():
        raise SettingsError(f"labels are {labels.dtype} {list(labels.shape)}, expected whole numbers [n]")
    # On other devices, reading the values would wait for all queued work; during an export there are no values.
    readable = labels.device.type == "cpu" and not torch.compiler.is_exporting()
    if readable and ((labels < 0) | (labels >= len(class_names))).any():
        wrong = next(label for label in labels.tolist() if not 0 <= label < len(class_names))
        last = len(class_names) - 1
        raise SettingsError(f"label {wrong} is out of range; the {len(class_names)} classes are 0 to {last}")
    return condition.rows(n).labels
