"""What a flow reads out, as lists of prompts: digits, numbers, money, dates and times, in English and Persian. Pure.

Input is what callers key and systems answer: ``125000``, ``12.50``, ``2027-03-21`` or ``20270321``, ``08:30`` or ``0830``. A year below 1700
is Jalali: nobody asks a phone for the Gregorian 1406. A date is said in the calendar that is wanted, whichever it is written in.

=======  ============================================  ===============================================================
         English                                       Persian
=======  ============================================  ===============================================================
money    *twelve* "dollars" *fifty* "cents"            *دوازده* «دلارُ» *پنجاه* «سنت»: nouns after a number stay singular
date     "March" *twenty first* *two thousand* ...     *یکمِ* «فروردینِ» *هزار و چهارصد و شش*: joined by the ezafe
time     *eight* *thirty* "p m", *eight* "o'clock"     «ساعتِ» *هشتُ* *سی* «دقیقه»
=======  ============================================  ===============================================================

What cannot be said in the wanted form (a thirteenth month, letters in an amount) gives an empty list: nothing is heard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.center.jalali import gregorian, jalali
from services.center.numbers import cardinal, day_of_month, day_prompts, digits, ordinal

FORMS = ("digits", "number", "ordinal", "money", "date", "time")
_MOST_DIGITS = 18
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})", re.ASCII)
_TIME = re.compile(r"(\d{2}):?(\d{2})", re.ASCII)
_AMOUNT = re.compile(rf"(\d{{1,{_MOST_DIGITS}}})(?:\.(\d{{1,2}}))?", re.ASCII)

_EN_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_EN_JALALI = (
    "Farvardin", "Ordibehesht", "Khordad", "Tir", "Mordad", "Shahrivar", "Mehr", "Aban", "Azar", "Dey", "Bahman",
    "Esfand",
)  # fmt: skip
_FA_MONTHS = (
    "ژانویه‌یِ", "فوریه‌یِ", "مارسِ", "آوریلِ", "مهِ", "ژوئنِ", "ژوئیه‌یِ", "اوتِ", "سپتامبرِ", "اکتبرِ", "نوامبرِ", "دسامبرِ",
)  # fmt: skip
_FA_JALALI = (
    "فروردینِ", "اردیبهشتِ", "خردادِ", "تیرِ", "مردادِ", "شهریورِ", "مهرِ", "آبانِ", "آذرِ", "دیِ", "بهمنِ", "اسفندِ",
)  # fmt: skip
_FA_HOURS = (
    "صفر", "یک", "دو", "سه", "چهار", "پنج", "شش", "هفت", "هشت", "نه", "ده", "یازده", "دوازده", "سیزده", "چهارده",
    "پانزده", "شانزده", "هفده", "هجده", "نوزده", "بیست", "بیست و یک", "بیست و دو", "بیست و سه",
)  # fmt: skip
_CENTS = ("dollar", "euro")
"""Currencies with a hundredth that is said."""


def say(text: str, form: str, language: str, *, currency: str = "", calendar: str = "") -> list[str]:
    """Return the prompts that say ``text``; empty when it cannot be said in this form.

    ``currency`` is that of money; ``calendar`` (``jalali``, ``gregorian``) that of dates, empty for the language's own.
    Raises ValueError for an unknown form or language.
    """
    match form:
        case "digits":
            return digits(text, language)
        case "number" | "ordinal":
            if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
                return digits(text, language)
            if form == "number":
                return cardinal(int(text), language)
            return ordinal(int(text), language) if int(text) else []
        case "money":
            return _money(text, language, currency)
        case "date":
            return _date(text, language, calendar)
        case "time":
            return _time(text, language)
    raise ValueError(f'nothing is said as "{form}"; expected one of {", ".join(FORMS)}')


def _money(text: str, language: str, currency: str) -> list[str]:
    if (found := _AMOUNT.fullmatch(text)) is None:
        return []
    whole, cents = int(found[1]), int((found[2] or "0").ljust(2, "0")) if currency in _CENTS else 0
    parts = []
    if whole or not cents:
        parts += [*cardinal(whole, language), _noun(currency, whole, language, joined=bool(cents))]
    if cents:
        parts += [*cardinal(cents, language), _noun("cent", cents, language, joined=False)]
    return parts


def _noun(name: str, n: int, language: str, *, joined: bool) -> str:
    if language == "en":
        return f"currency/{name}" if n == 1 else f"currency/{name}s"
    return f"currency/{name}+" if joined else f"currency/{name}"


def _date(text: str, language: str, calendar: str) -> list[str]:
    if (found := _DATE.fullmatch(text)) is None:
        return []
    numbers = int(found[1]), int(found[2]), int(found[3])
    wanted = calendar or ("jalali" if language == "fa" else "gregorian")
    try:
        day = gregorian(*numbers)
        numbers = jalali(day) if wanted == "jalali" else (day.year, day.month, day.day)
    except ValueError:
        return []
    month = f"time/{wanted}-{numbers[1]}"
    spoken_day, year = day_of_month(numbers[2], language), cardinal(numbers[0], language)
    return [month, *spoken_day, *year] if language == "en" else [*spoken_day, month, *year]


def _time(text: str, language: str) -> list[str]:
    found = _TIME.fullmatch(text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        return []
    hour, minute = int(found[1]), int(found[2])
    if language == "fa":
        if not minute:
            return ["time/hour-e", *cardinal(hour, language)]
        return ["time/hour-e", f"time/{hour}+", *cardinal(minute, language), "time/minutes"]
    half = "time/a-m" if hour < 12 else "time/p-m"
    if not minute:
        return [*cardinal(hour % 12 or 12, language), "time/o-clock", half]
    spoken = cardinal(minute, language) if minute > 9 else ["time/oh", *cardinal(minute, language)]
    return [*cardinal(hour % 12 or 12, language), *spoken, half]


def prompts(language: str, forms: Iterable[str]) -> dict[str, str]:
    """Return every prompt that ``say`` can name in a language beside those of numbers, with its text; only of these forms."""
    wanted = set(forms)
    found: dict[str, str] = {}
    english = language == "en"
    if "money" in wanted:
        if english:
            for name in ("rial", "toman", "dollar", "euro", "cent"):
                found |= {f"currency/{name}": name, f"currency/{name}s": f"{name}s"}
        else:
            words = {"rial": "ریال", "toman": "تومان", "dollar": "دلار", "euro": "یورو", "cent": "سنت"}
            found |= {f"currency/{name}": word for name, word in words.items()}
            found |= {f"currency/{name}+": f"{words[name]}ُ" for name in _CENTS}
    if "date" in wanted:
        named = {
            "gregorian": _EN_MONTHS if english else _FA_MONTHS,
            "jalali": _EN_JALALI if english else _FA_JALALI,
        }
        for calendar, names in named.items():
            found |= {f"time/{calendar}-{n}": name for n, name in enumerate(names, 1)}
        found |= day_prompts(language)
    if "time" in wanted:
        if english:
            found |= {"time/a-m": "a m", "time/p-m": "p m", "time/o-clock": "o'clock", "time/oh": "oh"}
        else:
            found |= {"time/hour-e": "ساعتِ", "time/minutes": "دقیقه"}
            found |= {f"time/{hour}+": f"{word}ُ" for hour, word in enumerate(_FA_HOURS)}
    return found
