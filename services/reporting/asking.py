"""What people write in the questions of reports: times, calendars and filters, with every mistake named."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from fastapi import Request

from services.center.jalali import gregorian
from services.common.errors import Refused
from services.reporting.api import parse_time
from services.reporting.core.kpi.calendars import SECOND_US, SLOT_S, Calendar, Months, Span, WeekStart
from services.reporting.core.kpi.cost import Tariffs
from services.reporting.core.kpi.question import QuestionInvalid
from services.reporting.core.kpi.sources import DIMENSIONS

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_SLOT_US: Final = SLOT_S * SECOND_US
FILTER: Final = "filter."


class Defaults(msgspec.Struct, frozen=True):
    """What a tenant's questions mean when they do not say; from the center document."""

    zone: str = "UTC"
    months: Months = "gregorian"
    week_start: WeekStart = "mon"
    fcr_days: int = 7
    tariffs: Tariffs | None = None


def refused(e: QuestionInvalid) -> Refused:
    """What HTTP says."""
    return Refused("question-invalid", str(e), status=422)


def parse_moment(name: str, text: str, calendar: Calendar) -> int:
    """Microseconds: a day of either calendar (its begin in the zone), or what ``parse_time`` takes. Raises Refused (422)."""
    day = _DATE.fullmatch(text)
    if day is None:
        return parse_time(name, text)
    try:
        at_us = calendar.start_of(gregorian(int(day[1]), int(day[2]), int(day[3])))
    except (ValueError, OverflowError):
        raise Refused("time-invalid", f"{name}={text!r}: there is no such day", status=422) from None
    return parse_time(name, str(at_us // SECOND_US) if at_us >= 0 else text)


def calendar_of(
    defaults: Defaults, tz: str | None, months: Months | None, week_start: WeekStart | None
) -> Calendar:
    """Raises Refused (422) for a zone that there is not."""
    zone = tz or defaults.zone
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise Refused(
            "zone-invalid", f"tz={zone!r}: expected an IANA name such as Asia/Tehran", status=422
        ) from None
    return Calendar(zone, months or defaults.months, week_start or defaults.week_start)


def filters_of(request: Request, known: set[str]) -> dict[str, tuple[str, ...]]:
    """``filter.<dimension>=value``, several times for any of several values. Raises Refused (422) for a parameter that there is not."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in request.query_params.multi_items():
        if name.startswith(FILTER):
            key = name.removeprefix(FILTER)
            found[key] = (*found.get(key, ()), value)
        elif name not in known:
            raise Refused(
                "parameter-unknown",
                f"{name}: there is no such parameter; expected of {', '.join(sorted(known))} and filter.<dimension>",
                status=422,
            )
    return found


def span_of(calendar: Calendar, now_us: int, from_text: str | None, to_text: str | None) -> Span:
    """From the text of ``from`` and ``to``; without them today up to the next quarter of an hour."""
    to_us = parse_moment("to", to_text, calendar) if to_text else -(-now_us // _SLOT_US) * _SLOT_US
    from_us = parse_moment("from", from_text, calendar) if from_text else calendar.floor("day", to_us - 1)
    return Span(from_us, to_us)


def compared(calendar: Calendar, span: Span, text: str) -> Span:
    """The span that ``compare`` means."""
    if text == "previous":
        return calendar.earlier(span)
    if text == "year":
        return calendar.year_earlier(span)
    return calendar.starting(parse_moment("compare", text, calendar), span)


def iso(calendar: Calendar, at_us: int) -> str:
    """A moment as answers write it."""
    return (_EPOCH + dt.timedelta(microseconds=at_us)).astimezone(ZoneInfo(calendar.zone)).isoformat()


def filter_parameters() -> list[dict[str, Any]]:
    """``filter.<dimension>`` as OpenAPI describes parameters."""
    return [
        {
            "name": f"{FILTER}{dimension.id}",
            "in": "query",
            "required": False,
            "description": f"{dimension.words}; any of the values",
            "schema": {"type": "array", "items": {"type": "string"}},
        }
        for dimension in DIMENSIONS.values()
    ]


def names(text: str) -> tuple[str, ...]:
    """Of a list with commas."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)
