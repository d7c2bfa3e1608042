"""What waiting callers are told, word for word, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.center import load
from services.center.numbers import LANGUAGES, cardinal, number_prompts, ordinal
from services.center.sentences import (
    MOST_MINUTES,
    WAITED_S,
    position_files,
    spoken_minutes,
    wait_files,
    waited_files,
)
from tests.unit.center import spelling

DEMO = next(iter(load(Path(__file__).parents[3] / "deploy/centers/demo.yaml").centers))
TEXTS = {
    language: number_prompts(language) | {name: text[language] for name, text in DEMO.prompts.items()}
    for language in LANGUAGES
}


def written(files: list[str], language: str) -> str:
    """The sentence as it is written: the recordings' texts carry vowels for the speech program."""
    text = " ".join(TEXTS[language][file] for file in files)
    return text.replace("سی‌اُم", "سی‌ام").replace("ُ ", " و ")


def test_numbers_and_ordinals_from_1_to_9999_are_spelt_as_the_languages_spell_them() -> None:
    for n in range(1, 10_000):
        assert written(cardinal(n, "en"), "en") == spelling.english(n)
        assert written(ordinal(n, "en"), "en") == spelling.english_ordinal(n)
        assert written(cardinal(n, "fa"), "fa") == spelling.persian(n)
        assert written(ordinal(n, "fa"), "fa") == spelling.persian_ordinal(n)


@pytest.mark.parametrize(
    ("n", "sentence"),
    [
        (1, "شما نفرِ اول در صف هستید."),
        (3, "شما نفرِ سوم در صف هستید."),
        (23, "شما نفرِ بیست و سوم در صف هستید."),
        (30, "شما نفرِ سی‌ام در صف هستید."),
        (132, "شما نفرِ صد و سی و دوم در صف هستید."),
    ],
)
def test_the_place_in_persian(n: int, sentence: str) -> None:
    assert written(position_files(n, "fa"), "fa") == sentence
    assert position_files(n, "fa", as_ordinal=True) == position_files(n, "fa")


def test_the_place_in_english() -> None:
    assert written(position_files(21, "en"), "en") == "You are number twenty one in the queue."
    assert position_files(21, "en", "line", as_ordinal=True) == [
        "line-before",
        "digits/20",
        "digits/h-1",
        "line-after",
    ]
    for bad in (lambda: position_files(0, "fa"), lambda: ordinal(0, "en")):
        with pytest.raises(ValueError, match="start with 1"):
            bad()
    for bad in (lambda: position_files(1, "de"), lambda: ordinal(1, "de"), lambda: wait_files(1, "de")):
        with pytest.raises(ValueError, match='language "de"'):
            bad()


@pytest.mark.parametrize(
    ("wait_ms", "english", "persian"),
    [
        (20_000, "The expected wait is less than one minute.", "زمان انتظار کمتر از یک دقیقه است."),
        (60_000, "The expected wait is less than one minute.", "زمان انتظار کمتر از یک دقیقه است."),
        (60_001, "The expected wait is about two minutes.", "زمان انتظار حدودِ دو دقیقه است."),
        (290_000, "The expected wait is about five minutes.", "زمان انتظار حدودِ پنج دقیقه است."),
        (
            1_260_000,
            "The expected wait is about twenty five minutes.",
            "زمان انتظار حدودِ بیست و پنج دقیقه است.",
        ),
    ],
)
def test_the_expected_wait(wait_ms: int, english: str, persian: str) -> None:
    minutes = spoken_minutes(wait_ms)
    assert minutes is not None
    assert written(wait_files(minutes, "en"), "en") == english
    assert written(wait_files(minutes, "fa"), "fa") == persian


def test_a_wait_is_rounded_up_coarser_the_longer_it_is_and_never_understated_by_rounding() -> None:
    before = 0
    for wait_ms in range(0, 91 * 60_000, 1_000):
        minutes = spoken_minutes(wait_ms)
        if wait_ms < 15_000 or wait_ms > MOST_MINUTES * 60_000:
            assert minutes is None
            continue
        assert minutes is not None
        assert minutes * 60_000 >= wait_ms
        assert minutes >= before
        assert minutes % (1 if minutes <= 10 else 5 if minutes <= 30 else 10) == 0
        before = minutes
    with pytest.raises(ValueError, match="at least 1 minute"):
        wait_files(0, "en")


def test_persian_prompts_are_written_with_persian_letters_and_half_spaces_within_words() -> None:
    verb = re.compile(r"(^|\s)ن?می\s")  # می before a verb is joined to it by a half-space, not set apart.
    for name, text in TEXTS["fa"].items():
        assert not set(text) & set("يكىة٠١٢٣٤٥٦٧٨٩"), name
        assert not re.search(r"\s\u200c|\u200c\s|\u200c\u200c|\u200c$", text), name
        assert not verb.search(text), name


@pytest.mark.parametrize(
    ("seconds", "fa", "en"),
    [
        (10, "زمان انتظار ده ثانیه.", "Has waited ten seconds."),
        (60, "زمان انتظار یک دقیقه.", "Has waited one minute."),
        (180, "زمان انتظار سه دقیقه.", "Has waited three minutes."),
        (1500, "زمان انتظار بیست و پنج دقیقه.", "Has waited twenty five minutes."),
    ],
)
def test_how_long_somebody_has_waited(seconds: int, fa: str, en: str) -> None:
    assert written(waited_files(seconds, "fa"), "fa") == fa
    assert written(waited_files(seconds, "en"), "en") == en


def test_every_wait_that_is_said_has_its_prompts() -> None:
    assert list(WAITED_S) == sorted(set(WAITED_S)), "the longest that is over is looked for in them"
    for language in LANGUAGES:
        for seconds in WAITED_S:
            assert set(waited_files(seconds, language)) <= set(TEXTS[language])
    with pytest.raises(ValueError, match="language"):
        waited_files(30, "de")
