"""Names that occur twice, found in time that grows linearly with their number."""

from __future__ import annotations

import pytest

from ganart_zoo.contract.declarations import repeated


class Name(str):
    """Text that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Name.comparisons += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize(
    ("names", "twice"), [((), []), (("a", "b"), []), (("b", "a", "b", "a", "c"), ["a", "b"]), (("a",) * 5, ["a"])]
)
def test_repeated_names_are_found_once_and_sorted(names: tuple[str, ...], twice: list[str]) -> None:
    assert repeated(names) == twice


def test_twenty_thousand_names_are_not_compared_with_each_other() -> None:
    Name.comparisons = 0
    assert repeated(Name(f"n{label}") for label in range(20_000)) == []
    assert Name.comparisons < 20_000
