"""Business hours of a document: which queues have closed at a moment, and which call nobody back then."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from services.center.model import Calendar, Center, CenterDocument, minutes, period, weekdays, yearly
from services.center.rights import CallRights


def is_open(document: CenterDocument, calendar: str, at_us: int) -> bool:
    """Whether the moment (microseconds since the epoch) lies in a period of the calendar's local day. Raises KeyError."""
    hours = document.calendars[calendar]
    if hours.emergency:
        return False
    moment = dt.datetime.fromtimestamp(at_us // 1_000_000, dt.UTC)
    local = moment.astimezone(ZoneInfo(hours.timezone or document.timezone))
    day, minute = local.date(), minutes(f"{local:%H:%M}")
    periods = exceptions(hours).get(day)
    if periods is None:
        periods = next((p for key, p in hours.open.items() if day.weekday() in weekdays(key)), [])
    return any(start <= minute < end for start, end in map(period, periods))


def exceptions(hours: Calendar) -> dict[dt.date, list[str]]:
    """The days with hours of their own, none when closed: what is said of one day comes before what is said of every year."""
    days: dict[dt.date, list[str]] = {day: [] for text in hours.closed_yearly for day in yearly(text)}
    days |= {day: [] for day in hours.closed_on}
    return days | hours.special


def closed_queues(document: CenterDocument, at_us: int) -> frozenset[str]:
    """The queues whose hours have ended: who waits there takes ``closing.then``.

    ``callback:<queue>`` stands for a queue whose customers may not be called back now, ``calls:<payer>`` for whoever may place no calls now:
    ``agent:<id>``, ``team:<name>``, and nothing for the whole center.
    """
    queues = dict(document.queues)
    if isinstance(document, Center):
        queues |= {name: gone.queue for name, gone in document.retired.items()}
    return (
        frozenset(
            name
            for name, queue in queues.items()
            if queue.closing is not None
            and queue.closing.hours in document.calendars
            and not is_open(document, queue.closing.hours, at_us)
        )
        | frozenset(
            f"callback:{name}"
            for name, queue in document.queues.items()
            if queue.callback is not None
            and queue.callback.hours is not None
            and not is_open(document, queue.callback.hours, at_us)
        )
        | frozenset(
            f"calls:{payer}"
            for payer, rights in call_rights(document).items()
            if rights.hours is not None and not is_open(document, rights.hours, at_us)
        )
    )


def call_rights(document: CenterDocument) -> dict[str, CallRights]:
    """Everybody whose calls outside have rights of their own, by the name that they are counted under."""
    return (
        {"": document.calls}
        | {f"team:{name}": team.calls for name, team in document.teams.items()}
        | {f"agent:{name}": agent.calls for name, agent in document.agents.items()}
    )
