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


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ([1443537, 1440764, 1443537], ("1440764", "1443537")),  # of ImageNet
        ([3, 0, 1], ("0", "1", "3")),
        ([2**63 - 1, 0, 2**63 - 1], ("0", "9223372036854775807")),
    ],
)
def test_labels_with_gaps_become_classes_named_by_their_numbers(
    tmp_path: Path, ids: list[int], names: tuple[str, ...]
) -> None:
    np.savez(tmp_path / "ids.npz", images=np.arange(3, dtype=np.uint8).repeat(64).reshape(3, 8, 8), labels=ids)
    data = open_data(tmp_path / "ids.npz")
    assert data.class_names == names
    (note,) = data.notes
    assert note.endswith(
        f"its {len(names)} labels from {min(ids)} to {max(ids)} have gaps; they are classes 0 to {len(names) - 1}, "
        "named by their numbers"
    )
    found = {int(sample.image[0, 0, 0]): sample.label for sample in data.once()}
    assert [names[found[row]] for row in range(3)] == list(map(str, ids))


@pytest.mark.parametrize("labels", [[0, -1, 1], [0, 5, 1]])
def test_labels_that_no_name_belongs_to_are_refused(tmp_path: Path, labels: list[int]) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), np.uint8), labels=labels, class_names=["a", "b", "c"])
    with pytest.raises(
        ImageError, match=rf"labels reach from {min(labels)} to {max(labels)}, expected 0 to 2, because"
    ):
        open_data(tmp_path / "x.npz")


def test_a_class_without_pictures_keeps_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), np.uint8), labels=[2, 0, 2], class_names=["a", "b", "c"])
    data = open_data(tmp_path / "x.npz")
    assert (data.class_names, data.notes) == (("a", "b", "c"), ())


def test_texts_may_be_stored_as_utf_8(tmp_path: Path) -> None:
    texts = np.array([text.encode() for text in ("grün", "rot", "blau")])
    np.savez(
        tmp_path / "x.NPZ", images=np.zeros((3, 8, 8), np.uint8), labels=[0, 1, 2], class_names=texts, captions=texts
    )
    (tmp_path / "x.NPZ.npz").rename(tmp_path / "x.NPZ")
    data = open_data(tmp_path / "x.NPZ")
    assert (data.class_names, data.prompts) == (("grün", "rot", "blau"), ["grün", "rot", "blau"])


@pytest.mark.parametrize(
    ("name", "texts", "message"),
    [
        ("class_names", np.array("abc"), r"class_names are \[\], expected one dimension"),
        ("class_names", np.array([["a"]]), r"class_names are \[1, 1\], expected one dimension"),
        ("captions", np.array([0.5, 1, 2]), "captions are float64, expected texts"),
        ("captions", np.array([b"\xff", b"a", b"b"]), "neither text nor UTF-8"),
    ],
)
def test_texts_that_are_none_are_refused(tmp_path: Path, name: str, texts: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), np.uint8), labels=[0, 0, 0], **{name: texts})
    with pytest.raises(ImageError, match=message):
        open_data(tmp_path / "x.npz")
