"""Labels of an `.npz` file: whole numbers, or a word on what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ganart_zoo.contract import ImageError
from ganart_zoo.data import open_data


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array(["cat", "dog", "cat"]), r"labels are <U3, such as 'cat', expected whole numbers from 0; names"),
        (np.array([0.0, 1.0, 0.7]), r"labels are float64, such as 0\.0, expected whole numbers"),
        (np.array([True, False, True]), r"labels are bool, such as True, expected whole numbers"),
    ],
)
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "labels.npz", images=np.zeros((3, 8, 8), np.uint8), labels=labels)
    with pytest.raises(ImageError, match=message) as caught:
        open_data(tmp_path / "labels.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64])
def test_whole_numbers_of_any_width_are_labels(tmp_path: Path, kind: type) -> None:
    np.savez(tmp_path / "labels.npz", images=np.zeros((3, 8, 8), np.uint8), labels=np.array([2, 0, 1], kind))
    assert open_data(tmp_path / "labels.npz").class_names == ("0", "1", "2")
