"""Center documents to the interpreter's flows."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from services.center import model as document
from services.center.model import Center, EntryPoint
from services.ivr.core import model as core
from services.ivr.core.hours import Calendar, Periods


def flow_of(center: Center, entry: EntryPoint) -> core.Flow:
    """Return the flow of an entry point, complete with calendars and fallback."""
    flow = center.flows[entry.flow]
    return core.Flow(
        name=entry.flow,
        start=flow.start,
        nodes={name: _node(center, node) for name, node in flow.nodes.items()},
        fallback=core.ToQueue(entry.fallback_queue, center.queues[entry.fallback_queue].priority),
    )


def calendar_of(center: Center, name: str) -> Calendar:
    """Return a calendar with its zone and minutes."""
    calendar = center.calendars[name]
    by_day = {
        day: _periods(periods) for key, periods in calendar.open.items() for day in document.weekdays(key)
    }
    dates: dict[document.Day, Periods] = dict.fromkeys(calendar.closed_on, ())
    dates |= {date: _periods(periods) for date, periods in calendar.special.items()}
    return Calendar(ZoneInfo(calendar.timezone or center.timezone), by_day, dates)


def _periods(texts: list[str]) -> Periods:
    return tuple(document.period(text) for text in texts)


def _node(center: Center, node: document.AnyNode) -> core.Node:
    match node:
        case document.PlayNode():
            return core.Play(node.play, node.then)
        case document.SayNode():
            return core.Say(node.say, node.as_ == "number", node.then)
        case document.MenuNode():
            return core.Menu(
                prompt=node.menu,
                digits=dict(node.digits),
                otherwise=node.otherwise,
                timeout_ms=node.timeout_s * 1000,
                tries=node.retries + 1,
                invalid=node.invalid,
            )
        case document.AskNode():
            return core.Ask(
                prompt=node.ask,
                into=node.into,
                min_digits=node.min_digits,
                max_digits=node.max_digits,
                timeout_ms=node.timeout_s * 1000,
                tries=node.retries + 1,
                then=node.then,
                otherwise=node.otherwise,
            )
        case document.HoursNode():
            return core.Hours(calendar_of(center, node.hours), node.open, node.closed)
        case document.QueueNode():
            own = center.queues[node.queue].priority
            skills = tuple(f"{skill}:{level}" for skill, level in node.skills.items())
            return core.ToQueue(
                node.queue,
                own if node.priority is None else node.priority,
                skills,
                node.class_ or "",
                node.prefer or "",
            )
        case document.TransferNode():
            return core.ToNumber(node.transfer, node.otherwise)
        case document.HangupNode():
            return core.Hangup()
