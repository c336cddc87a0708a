"""The tokenizer: the same words for the same text everywhere, near features for near spellings, any text survives."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ganart_zoo.contract import SettingsError
from ganart_zoo.data.captions import MAX_CHARACTERS, MAX_WORDS, features, held_out, unknown, words
from ganart_zoo.data.word_bags import word_bags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red APPLE", ("red", "apple")),
        ("lion, 3d", ("lion", "3d")),
        ("man’s t-shirt", ("mans", "t", "shirt")),
        ("ﬁre ① ＡＢＣ ™", ("fire", "1", "abc", "tm")),
        ("Straße", ("strasse",)),
        ("two\x00red\x1bcircles\n", ("two", "red", "circles")),
        ("a\u200db\u202ec\ufeff", ("abc",)),
        ("\N{RED APPLE}", ("red", "apple")),
        ("\N{HEAVY BLACK HEART}\ufe0f", ("heart",)),
        ("\N{BLACK HEART}", ("black", "heart")),
        ("\U0001f44d\U0001f3fd", ("thumbs", "up", "medium", "skin", "tone")),
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", ("flag", "de", "flag", "fr")),
        ("تفاحة حمراء", ("تفاحة", "حمراء")),
        ("\U0001f469\u200d\U0001f680", ("woman", "rocket")),
        ("!!! ... ---", ()),
        ("", ()),
        ("cafe\u0301", ("caf\u00e9",)),
    ],
)
def test_words(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == expected


@given(st.text(max_size=200))
def test_any_text_gives_words_that_are_stable(text: str) -> None:
    split = words(text)
    assert words(" ".join(split)) == tuple(word for each in split for word in words(each))
    for word in split:
        assert 0 < len(word) <= 32
        assert all(unicodedata.category(character)[0] in "LMN" for character in word)
    assert words(f"\t {text} \x07") == split


@given(st.text(max_size=100), st.text(max_size=100))
def test_a_space_separates(left: str, right: str) -> None:
    assert words(f"{left} , {right}") == words(left) + words(right)


def test_length_is_limited() -> None:
    assert len(words("a " * (MAX_CHARACTERS // 2))) == MAX_CHARACTERS // 2
    with pytest.raises(SettingsError, match=r"10,001 characters, expected at most 10,000"):
        words("a" * (MAX_CHARACTERS + 1))
    assert words("a" * MAX_CHARACTERS) == ("a" * 32,)


@given(st.text(min_size=1, max_size=40), st.integers(1, 1 << 20))
def test_features_are_in_range_and_count_distinct_ngrams(word: str, buckets: int) -> None:
    ids = features(word, buckets)
    padded = f"<{word}>"
    grams = {padded[i : i + n] for n in (2, 3, 4, 5) for i in range(len(padded) - n + 1)}
    assert len(ids) == 1 + len(grams)
    assert all(0 <= each < buckets for each in ids)


def test_features_are_the_same_in_every_process() -> None:
    code = "from ganart_zoo.data.captions import features; print(features('apple', 32768))"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(features("apple", 32768))
    # blake2b of "word:apple", little-endian: a change would spoil all published weights
    assert features("apple", 32768)[0] == 5269


def test_a_misspelling_shares_more_features_than_another_word() -> None:
    def shared(a: str, b: str) -> float:
        one, two = set(features(a, 1 << 30)), set(features(b, 1 << 30))
        return len(one & two) / len(one | two)

    for right, wrong, other in [("apple", "aplle", "rocket"), ("circle", "circel", "square"), ("lion", "lions", "cat")]:
        assert shared(right, wrong) > 3 * shared(right, other)
        assert shared(right, wrong) > 0.1


def test_buckets_are_used_evenly() -> None:
    counts = torch.zeros(64)
    for number in range(4000):
        counts[features(f"w{number}", 64)[0]] += 1
    # chi-square with 63 degrees of freedom: 99.99 % below 115
    assert ((counts - 62.5) ** 2 / 62.5).sum() < 115


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"buckets is 0"):
        features("a", 0)
    with pytest.raises(SettingsError, match=r"max_words is 0"):
        word_bags(["a"], 10, max_words=0)


def test_unknown_words_once_and_in_order() -> None:
    assert unknown(("b", "x", "a", "x", "b", "y"), {"a", "b"}) == ("x", "y")


def test_held_out_is_a_fixed_share_by_words() -> None:
    names = [f"name {number}" for number in range(5000)]
    share = sum(map(held_out, names)) / len(names)
    assert 0.08 < share < 0.12
    assert held_out("Red Apple!") == held_out("red apple")
    both = sum(held_out(name) and held_out(name, salt="other") for name in names) / len(names)
    assert both < 0.03
    assert not any(held_out(name, percent=0) for name in names)
    assert all(held_out(name, percent=100) for name in names)


captions = st.lists(
    st.sampled_from(["", "red apple", "a red red lion", "apple", "\N{RED APPLE}", "zzz " * 80]), max_size=6
)


@settings(deadline=None)  # the first call loads torch's kernels
@given(captions)
def test_word_bags_agree_with_embedding_bag_of_each_word(texts: list[str]) -> None:
    buckets = 97
    table = nn.EmbeddingBag(buckets, 5, mode="mean")
    bags = word_bags(texts, buckets)
    vectors = bags.embed(table.weight)
    longest = max((len(words(text)[:MAX_WORDS]) for text in texts), default=0) or 1
    assert vectors.shape == (len(texts), longest, 5)
    for row, text in enumerate(texts):
        split = words(text)[:MAX_WORDS]
        assert bags.mask[row].sum() == len(split)
        assert not vectors[row, len(split) :].any()
        for column, word in enumerate(split):
            alone = table.weight[torch.tensor(features(word, buckets))].mean(0)
            torch.testing.assert_close(vectors[row, column], alone)


def test_word_bags_are_differentiable_and_move() -> None:
    weight = torch.randn(50, 3, dtype=torch.float64, requires_grad=True)
    bags = word_bags(["red apple", "lion"], 50).to("cpu")
    assert torch.autograd.gradcheck(bags.embed, (weight,))
    assert word_bags([], 50).rows.shape == (0, 1)
