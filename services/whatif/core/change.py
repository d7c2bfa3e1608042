"""What is to be different: ``--staff sales+2``, ``--talk sales*0.9``, ``--wrap '*0.8'``, ``--calls '*1.2'``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from services.routing.core.center import Center
from services.whatif.core.day import Arrival, Day, Shift

_STAFF = re.compile(r"([A-Za-z0-9_.-]+)([+-])(\d{1,4})")
_TIMES = re.compile(r"([A-Za-z0-9_.-]*)\*(\d{1,3}(?:\.\d{1,6})?)")


class ChangeError(ValueError):
    """A change that cannot be understood or made; the text says what was expected."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Factors by queue (``''``: all queues that are not named) and people by queue."""

    staff: Mapping[str, int] = {}
    talk: Mapping[str, float] = {}
    wrap_up: Mapping[str, float] = {}
    calls: Mapping[str, float] = {}

    def factor(self, what: Mapping[str, float], queue: str) -> float:
        """The factor of a queue."""
        return what.get(queue, what.get("", 1.0))


def staff_of(texts: Iterable[str], center: Center) -> dict[str, int]:
    """People by queue. Raises ChangeError."""
    found: dict[str, int] = {}
    for text in texts:
        match = _STAFF.fullmatch(text.strip())
        if match is None or match[1] not in center.queues:
            queues = ", ".join(sorted(center.queues))
            raise ChangeError(
                f"--staff {text}: expected a queue and how many, such as sales+2; queues are {queues}"
            )
        found[match[1]] = found.get(match[1], 0) + int(match[2] + match[3])
    return found


def factors_of(option: str, texts: Iterable[str], center: Center) -> dict[str, float]:
    """Factors by queue. Raises ChangeError."""
    found: dict[str, float] = {}
    for text in texts:
        match = _TIMES.fullmatch(text.strip())
        if match is None or (match[1] and match[1] not in center.queues):
            raise ChangeError(
                f"{option} {text}: expected a factor, such as *0.9 for all queues or sales*0.9 for one"
            )
        found[match[1]] = float(match[2])
    return found


def staffed(center: Center, day: Day, staff: Mapping[str, int]) -> tuple[Center, tuple[Shift, ...]]:
    """The center and the shifts with people more or less.

    A new one is like somebody who is there: queues, skills and hours are those of the queue's agents in turn, beginning with whoever was
    available longest. Who goes is whoever was available shortest. Raises ChangeError when a queue has not so many, or nobody to be like.
    """
    agents = dict(center.agents)
    shifts = list(day.shifts)
    extra = 0
    for queue, number in staff.items():
        there = sorted(
            (a for a, rules in agents.items() if queue in rules.queues and _available_us(day, a) > 0),
            key=lambda a: (-_available_us(day, a), a),
        )
        if number < 0 and len(there) < -number:
            raise ChangeError(
                f"--staff {queue}{number}: only {len(there)} of its agents were available on the day"
            )
        if number > 0 and not there:
            raise ChangeError(
                f"--staff {queue}+{number}: none of its agents was available on the day, so there is nobody to be like"
            )
        for gone in there[number:] if number < 0 else ():
            del agents[gone]
            shifts = [shift for shift in shifts if shift.agent_id != gone]
        for n in range(max(number, 0)):
            like, extra = there[n % len(there)], extra + 1
            new = f"extra-{extra}"
            agents[new] = msgspec.structs.replace(center.agents[like], extension=f"x{extra}", number="")
            shifts += [msgspec.structs.replace(s, agent_id=new) for s in day.shifts if s.agent_id == like]
    return msgspec.structs.replace(center, agents=agents), tuple(shifts)


def _available_us(day: Day, agent_id: str) -> int:
    return sum(
        max(min(s.to_us, day.to_us) - max(s.from_us, day.from_us), 0)
        for s in day.shifts
        if s.agent_id == agent_id and s.presence == "available"
    )


def busier(arrivals: Iterable[Arrival], change: Change, draws: Iterable[float]) -> list[Arrival]:
    """The callers with their number changed: whoever is too many is left out, whoever is missing comes again a little later.

    ``draws`` are numbers from 0 to 1, two for each caller.
    """
    chances = iter(draws)
    found = []
    for arrival in arrivals:
        factor = change.factor(change.calls, arrival.queue)
        whole, draw, shift = int(factor), next(chances), next(chances)
        times = whole + (draw < factor - whole)
        for n in range(times):
            # Within the same five minutes: the curve of the day stays.
            later_us = round(300_000_000 * ((shift + 0.618 * n) % 1)) if n else 0
            found.append(
                msgspec.structs.replace(
                    arrival,
                    contact_id=arrival.contact_id + (f"+{n}" if n else ""),
                    at_us=arrival.at_us + later_us,
                )
            )
    return found
