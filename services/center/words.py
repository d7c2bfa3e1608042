"""The small types of a center document: names, numbers, times, texts, and the base of all its parts."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from services.center.jalali import gregorian

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Days as calendars write them, in the order of ``datetime.date.weekday``."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'unknown time zone "{name}"; expected an IANA name such as Asia/Tehran') from None
    return name


def _date(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            raise ValueError(f'bad date "{value}"; expected year-month-day such as 2026-03-21')
        try:
            return gregorian(int(value[:4]), int(value[5:7]), int(value[8:]))
        except ValueError:
            raise ValueError(f'there is no day "{value}"') from None
    return value


_YEARLY = re.compile(r"(jalali )?(\d\d)-(\d\d)", re.ASCII)
YEARS = range(2020, 2061)
"""For which a day of every year is worked out."""


def yearly(text: str) -> tuple[dt.date, ...]:
    """Return ``12-25``, or in the Jalali calendar ``jalali 01-13``, in all YEARS that have it. Raises ValueError."""
    found = _YEARLY.fullmatch(text)
    if found is None:
        raise ValueError(f'bad day "{text}"; expected month-day such as 12-25, or jalali 01-13')
    days = []
    for year in YEARS:
        with contextlib.suppress(ValueError):  # 29 February, 30 Esfand
            days.append(gregorian(year - 621 if found[1] else year, int(found[2]), int(found[3])))
    if not days:
        raise ValueError(f'there is no day "{text}"')
    return tuple(days)


def _yearly(text: str) -> str:
    yearly(text)
    return text


def minutes(clock: str) -> int:
    """Return the minutes since midnight of ``HH:MM``; ``24:00`` is 1440. Raises ValueError."""
    m = re.fullmatch(r"(\d\d):(\d\d)", clock, re.ASCII)
    if m:
        value = int(m[1]) * 60 + int(m[2])
        if int(m[2]) < 60 and value <= 1440:
            return value
    raise ValueError(f'bad time "{clock}"; expected HH:MM between 00:00 and 24:00')


def period(text: str) -> tuple[int, int]:
    """Return ``HH:MM-HH:MM`` as minutes since midnight (start, end), start < end. Raises ValueError."""
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f'bad period "{text}"; expected HH:MM-HH:MM')
    span = minutes(start), minutes(end)
    if span[0] >= span[1]:
        raise ValueError(f'period "{text}" ends before it starts; split what crosses midnight into two days')
    return span


def _period(text: str) -> str:
    period(text)
    return text


def weekdays(key: str) -> tuple[int, ...]:
    """Return the weekdays (0 Monday ... 6 Sunday) that ``sat``, ``sat-wed`` (may wrap) or ``daily`` names."""
    if key == "daily":
        return tuple(range(7))
    first, dash, last = key.partition("-")
    if first in DAYS and (last in DAYS if dash else True):
        start, end = DAYS.index(first), DAYS.index(last if dash else first)
        return tuple((start + i) % 7 for i in range((end - start) % 7 + 1))
    raise ValueError(f'bad day "{key}"; expected daily, one of {", ".join(DAYS)}, or a range such as sat-wed')


def _weekdays(key: str) -> str:
    weekdays(key)
    return key


Token = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
"""A variable of a call."""
Timeout = Annotated[int, Field(ge=1, le=60)]
Retries = Annotated[int, Field(ge=0, le=9)]
# What a phone can dial. The plus sign stands first or not at all.
Number = Annotated[str, StringConstraints(pattern=r"^\+?[0-9*#]{2,24}$")]
# A person's number outside, as it is dialled.
OutsideNumber = Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{3,24}$")]
EntryNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,24}$")]
Extension = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,10}$")]
Key = Annotated[str, StringConstraints(pattern=r"^[0-9*#]$")]
Keys = Annotated[str, StringConstraints(pattern=r"^[0-9*#]{1,3}$")]
# Reaches FreeSWITCH as an argument: no blank, quote, comma, semicolon or expansion.
Music = Annotated[str, StringConstraints(pattern=r"^[a-z_]+://[A-Za-z0-9_./-]+$")]
SoundsFolder = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")]
Zone = Annotated[str, AfterValidator(_zone)]
Day = Annotated[dt.date, BeforeValidator(_date)]
"""Year-month-day; a year below 1700 is Jalali."""
YearlyDay = Annotated[str, AfterValidator(_yearly)]
"""A day of every year: ``12-25``, ``jalali 01-13``."""
Period = Annotated[str, AfterValidator(_period)]
DayKey = Annotated[str, AfterValidator(_weekdays)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\r\n]+$")]
Text = Annotated[dict[Language, Line], Field(min_length=1)]
"""The same text by language."""
Skill = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,30}(\.[a-z0-9][a-z0-9-]{0,30}){0,3}$")
]
"""A skill, perhaps in a family: ``billing``, ``lang.fa``."""
Level = Annotated[int, Field(ge=1, le=5)]
"""Proficiency, 1 to 5. Whoever does not have a skill has level 0."""
Skills = dict[Skill, Level]
Seconds = Annotated[int, Field(ge=1, le=86_400)]


class Part(BaseModel):
    """Base of all parts: nothing unknown is accepted, nothing is converted, nothing changes after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
