"""Days of the Jalali calendar, wherever a document or a caller may write them. The conversion is persiantools'."""

from __future__ import annotations

import datetime as dt

from persiantools.jdatetime import JalaliDate

FIRST_GREGORIAN_YEAR = 1700
"""A year below is Jalali: no call center has hours in the Gregorian 1406, nor a phone a caller who means it."""


def gregorian(year: int, month: int, day: int) -> dt.date:
    """The day; a year below 1700 is Jalali. Raises ValueError when there is none."""
    if year >= FIRST_GREGORIAN_YEAR:
        return dt.date(year, month, day)
    found: dt.date = JalaliDate(year, month, day).to_gregorian()
    return found


def jalali(day: dt.date) -> tuple[int, int, int]:
    """Year, month and day in the Jalali calendar. Raises ValueError for a day that it does not have."""
    found = JalaliDate(day)
    return found.year, found.month, found.day
