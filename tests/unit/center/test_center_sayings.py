"""What is read out, word for word, in English and Persian."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.center.jalali import gregorian, jalali
from services.center.numbers import number_prompts
from services.center.sayings import FORMS, prompts, say
from services.center.words import yearly

TEXTS = {language: number_prompts(language) | prompts(language, FORMS) for language in ("en", "fa")}


def spoken(text: str, form: str, language: str, **more: str) -> str:
    return " ".join(TEXTS[language][prompt] for prompt in say(text, form, language, **more))


@pytest.mark.parametrize(
    ("text", "form", "more", "english", "persian"),
    [
        ("0098", "digits", {}, "zero zero nine eight", "صفر صفر نه هشت"),
        ("120", "number", {}, "one hundred twenty", "صدُ بیست"),
        ("+98", "number", {}, "nine eight", "نه هشت"),
        ("3", "ordinal", {}, "third", "سوم"),
        ("0", "ordinal", {}, "", ""),
        ("1", "money", {"currency": "dollar"}, "one dollar", "یک دلار"),
        ("12.5", "money", {"currency": "dollar"}, "twelve dollars fifty cents", "دوازده دلارُ پنجاه سنت"),
        ("0.01", "money", {"currency": "euro"}, "one cent", "یک سنت"),
        ("0", "money", {"currency": "euro"}, "zero euros", "صفر یورو"),
        ("250000", "money", {"currency": "toman"}, "two hundred fifty thousand tomans", "دویستُ پنجاه هزار تومان"),
        ("12.50", "money", {"currency": "rial"}, "twelve rials", "دوازده ریال"),
        ("a1", "money", {"currency": "rial"}, "", ""),
        ("2027-03-21", "date", {}, "March twenty first two thousand twenty seven", "یکمِ فروردینِ هزارُ چهارصدُ شش"),
        ("14060102", "date", {"calendar": "jalali"}, "Farvardin second one thousand four hundred six",
         "دومِ فروردینِ هزارُ چهارصدُ شش"),
        ("1406-01-31", "date", {"calendar": "gregorian"}, "April twentieth two thousand twenty seven",
         "بیستمِ آوریلِ دو هزارُ بیستُ هفت"),
        ("2027-02-30", "date", {}, "", ""),
        ("1403-12-30", "date", {"calendar": "jalali"}, "Esfand thirtieth one thousand four hundred three",
         "سی‌اُمِ اسفندِ هزارُ چهارصدُ سه"),
        ("1404-12-30", "date", {}, "", ""),
        ("08:00", "time", {}, "eight o'clock a m", "ساعتِ هشت"),
        ("2005", "time", {}, "eight oh five p m", "ساعتِ بیستُ پنج دقیقه"),
        ("00:30", "time", {}, "twelve thirty a m", "ساعتِ صفرُ سی دقیقه"),
        ("24:00", "time", {}, "", ""),
    ],
)  # fmt: skip
def test_sayings(text: str, form: str, more: dict[str, str], english: str, persian: str) -> None:
    assert spoken(text, form, "en", **more) == english
    assert spoken(text, form, "fa", **more) == persian


@given(
    text=st.text("0123456789.-:+", max_size=20),
    form=st.sampled_from(FORMS),
    language=st.sampled_from(["en", "fa"]),
    currency=st.sampled_from(["rial", "toman", "dollar", "euro"]),
    calendar=st.sampled_from(["", "jalali", "gregorian"]),
)
def test_whatever_is_said_has_its_prompts(
    text: str, form: str, language: str, currency: str, calendar: str
) -> None:
    assert set(say(text, form, language, currency=currency, calendar=calendar)) <= set(TEXTS[language])


def test_only_what_is_asked_for_needs_audio() -> None:
    assert prompts("fa", ["digits", "number"]) == {}
    assert set(prompts("en", ["time"])) == {"time/a-m", "time/p-m", "time/o-clock", "time/oh"}


@given(day=st.dates(dt.date(1925, 1, 1), dt.date(2090, 1, 1)))
def test_the_calendars_go_into_each_other(day: dt.date) -> None:
    assert gregorian(*jalali(day)) == day


def test_nowruz_and_a_leap_day() -> None:
    assert gregorian(1406, 1, 1) == dt.date(2027, 3, 21)
    assert gregorian(1404, 1, 1) == dt.date(2025, 3, 21)
    assert gregorian(1403, 12, 30) == dt.date(2025, 3, 20)


def test_days_of_every_year() -> None:
    assert {day.strftime("%m-%d") for day in yearly("12-25")} == {"12-25"}
    assert {day.strftime("%m-%d") for day in yearly("jalali 01-01")} == {"03-20", "03-21"}
    assert len(yearly("02-29")) == 11
    assert dt.date(2027, 4, 2) in yearly("jalali 01-13")
    for bad in ("02-30", "jalali 07-31", "1-1", "0101", "jalali  01-01"):
        with pytest.raises(ValueError, match=r"there is no day|bad day"):
            yearly(bad)
