"""Number prompts against the rules: read back to the number they say, and compared with known sentences."""

from __future__ import annotations

from itertools import pairwise

import pytest

from services.center import numbers

SCALES_EN = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
SCALES_FA = {10**3, 10**6, 10**9, 10**12}
BIG = [
    10_000,
    12_345,
    100_000,
    999_999,
    10**6,
    10**6 + 1,
    21 * 10**6,
    10**9,
    1_234_567_890,
    10**12,
    7 * 10**15 + 3,
]


def english_value(words: list[str]) -> int:
    """The number that an English listener understands."""
    total = group = 0
    for word in words:
        if word == "hundred":
            group *= 100
        elif word == "trillion":
            total, group = (total + group) * 10**12, 0
        elif word in SCALES_EN:
            total, group = total + group * SCALES_EN[word], 0
        else:
            group += int(word)
    return total + group


def persian_value(words: list[str]) -> int:
    """The number that a Persian listener understands: words joined by "o" add up, a scale multiplies its group."""
    total = group = 0
    for word in words:
        value = int(word.rstrip("+").removesuffix("om"))
        if value == 10**12:
            total, group = (total + group) * value, 0
        elif value in SCALES_FA:
            total, group = total + (group or 1) * value, 0
        else:
            group += value
    return total + group


def names(files: list[str]) -> list[str]:
    assert all(file.startswith("digits/") for file in files)
    return [file.removeprefix("digits/") for file in files]


def test_every_number_up_to_9999_and_some_large_ones_is_understood() -> None:
    known = {language: set(numbers.number_prompts(language)) for language in numbers.LANGUAGES}
    for n in [*range(10_000), *BIG]:
        english, persian = numbers.cardinal(n, "en"), numbers.cardinal(n, "fa")
        assert english_value(names(english)) == n
        assert persian_value(names(persian)) == n
        assert set(english) <= known["en"]
        assert set(persian) <= known["fa"]


def test_persian_words_are_joined_by_o_except_before_a_scale_and_at_the_end() -> None:
    for n in [*range(10_000), *BIG]:
        words = names(numbers.cardinal(n, "fa"))
        assert not words[-1].endswith("+")
        for word, following in pairwise(words):
            before_scale = int(following.rstrip("+")) in SCALES_FA
            assert word.endswith("+") != before_scale, (n, words)


def test_a_persian_ordinal_changes_only_the_last_word() -> None:
    known = set(numbers.number_prompts("fa"))
    for n in [*range(2, 10_000), *BIG]:
        cardinal, ordinal = numbers.cardinal(n, "fa"), numbers.ordinal(n, "fa")
        assert ordinal[:-1] == cardinal[:-1]
        assert ordinal[-1] == cardinal[-1] + "om"
        assert ordinal[-1] in known
    assert numbers.ordinal(1, "fa") == ["digits/first"]


@pytest.mark.parametrize(
    ("n", "sentence"),
    [
        (0, "صفر"),
        (7, "هفت"),
        (21, "بیستُ یک"),
        (100, "صد"),
        (115, "صدُ پانزده"),
        (1000, "هزار"),
        (1001, "هزارُ یک"),
        (2500, "دو هزارُ پانصد"),
        (21_000, "بیستُ یک هزار"),
        (1_000_000, "یک میلیون"),
        (1_500_000_000, "یک میلیاردُ پانصد میلیون"),
    ],
)
def test_persian_sentences(n: int, sentence: str) -> None:
    texts = numbers.number_prompts("fa")
    assert " ".join(texts[file] for file in numbers.cardinal(n, "fa")) == sentence


@pytest.mark.parametrize(
    ("n", "sentence"),
    [(3, "سوم"), (21, "بیستُ یکم"), (30, "سی‌اُم"), (100, "صدم"), (1000, "هزارم"), (1002, "هزارُ دوم")],
)
def test_persian_ordinal_sentences(n: int, sentence: str) -> None:
    texts = numbers.number_prompts("fa")
    assert " ".join(texts[file] for file in numbers.ordinal(n, "fa")) == sentence


@pytest.mark.parametrize(
    ("n", "sentence"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (42, "forty two"),
        (100, "one hundred"),
        (1234, "one thousand two hundred thirty four"),
        (2_000_017, "two million seventeen"),
    ],
)
def test_english_sentences(n: int, sentence: str) -> None:
    texts = numbers.number_prompts("en")
    assert " ".join(texts[file] for file in numbers.cardinal(n, "en")) == sentence


def test_digits_are_read_one_by_one() -> None:
    assert numbers.digits("+98 9*#", "en") == [
        "digits/9",
        "digits/8",
        "digits/9",
        "digits/star",
        "digits/pound",
    ]
    with pytest.raises(ValueError, match='language "de"'):
        numbers.digits("1", "de")
    with pytest.raises(ValueError, match="negative"):
        numbers.cardinal(-1, "en")


def test_files_are_joined_for_one_playback() -> None:
    assert numbers.file_string(["a/1.wav", "a/2.wav"]) == "file_string://a/1.wav!a/2.wav"
