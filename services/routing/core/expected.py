"""How long a waiting contact will probably wait from now on.

The estimators, with n contacts ahead, s agents, each free again at the rate mu (1 / mean handling time), and callers who leave at the rate
theta (1 / mean patience):

* ``by_position``: the sum over i = 0..n of 1 / (s mu + i theta). Every 1 / (s mu) some agent becomes free, and those ahead leave
  by themselves, too (Ibrahim and Whitt call it QLm). Exact for exponential times, once s is known.
* ``by_last_served``: what the last three callers who were answered had waited, less what this one has waited. It knows nothing of
  the agents, and lags behind when the load changes.
* ``blended``: the mean of the two for a caller who has just come; later the first one alone, for the second knows only whole waits.

What they err in simulation is printed and bounded by ``tests/sim/test_expected_wait.py``.

s is not a head count: agents who serve several queues are divided between them (``staff``). Agents on a break, offline, or with a phone
that cannot be reached do not count; those who talk or wrap up do.

Which one callers are told: in simulation, where handling times and patience are exponential, ``by_position`` is the best or nearly so. On
a bank's calls of August 1999 (5,750 waits) the mean of both was, with 84 s of error against 96 s and 106 s, for there the assumptions
do not hold; and it costs little in the simulation. Hence ``blended``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from services.routing.core.center import CALL, Center
from services.routing.core.history import History
from services.routing.core.index import Index
from services.routing.core.state import State

LEAST_CONVERSATIONS = 5.0
"""A mean of fewer says nothing."""
LAST_SERVED_US = 1_800_000_000
"""Older waits say nothing about now."""
NEW_MS = 10_000
"""So long a caller has just come."""
EXACT_TERMS = 64
"""Further terms of the sum are taken together as an integral; the error is below a thousandth of it."""
STAFF_FOR_US = 5_000_000
"""So long a division of the agents is used again: it is asked for by every caller, and changes slowly."""
FITTING_ROUNDS = 12
FITTED = 0.002
"""A misfit of so much of all agents is far below what the load itself is uncertain by; mostly a round or two reach it."""


def by_position(history: History, ahead: int, agents: float) -> int | None:
    """Expected ms until an agent takes the caller who has so many ahead; None when nothing is known."""
    if agents <= 0 or history.conversations < LEAST_CONVERSATIONS or history.handling_ms <= 0:
        return None
    rate = agents * history.conversations / history.handling_ms
    theta = history.left / history.waited_ms if history.waited_ms > 0 else 0.0
    terms = min(ahead + 1, EXACT_TERMS)
    total = sum(1 / (rate + i * theta) for i in range(terms))
    if (rest := ahead + 1 - terms) > 0:
        first = rate + (terms - 0.5) * theta
        total += math.log(1 + rest * theta / first) / theta if theta * rest > first * 1e-9 else rest / first
    return round(total)


def by_last_served(history: History, waited_ms: int, now_us: int) -> int | None:
    """Mean wait of those served last less the wait so far; None when that is nothing or nobody was served lately."""
    waits = history.served_waits_ms
    if not waits or now_us - history.served_at_us > LAST_SERVED_US:
        return None
    rest_ms = sum(waits) // len(waits) - waited_ms
    return rest_ms if rest_ms > 0 else None


def blended(history: History, ahead: int, agents: float, waited_ms: int, now_us: int) -> int | None:
    """What callers are told; None when nothing is known."""
    position = by_position(history, ahead, agents)
    served = by_last_served(history, waited_ms, now_us) if waited_ms <= NEW_MS else None
    return position if position is None or served is None else (position + served) // 2


class Expectation:
    """Answers for one tenant. Reads the state and never changes it; the division of the agents is kept for some seconds."""

    def __init__(self) -> None:
        self._center: Center | None = None
        self._divided_us = 0
        self._staff: Staff = Staff({}, {})

    def of(self, state: State, center: Center, index: Index, contact_id: str, now_us: int) -> int:
        """Expected ms from now until an agent takes the contact; 0 when it does not wait or nothing is known."""
        contact = state.contacts.get(contact_id)
        history = state.history.get(contact.queue) if contact is not None else None
        if contact is None or contact.status == "talking" or history is None or contact.channel != CALL:
            return 0  # What is known is of calls.
        if center is not self._center or not 0 <= now_us - self._divided_us < STAFF_FOR_US:
            former = self._staff.weight if center is self._center else {}
            self._center, self._divided_us = center, now_us
            self._staff = staff(state, index, now_us, former)
        agents = self._staff.agents.get(contact.queue, 0.0)
        waited_ms = max(0, now_us - contact.waiting_since_us) // 1000
        return blended(history, index.ahead(contact), agents, waited_ms, now_us) or 0


class Staff(NamedTuple):
    """How many agents work for each queue, and the weights of the queues that gave this division."""

    agents: Mapping[str, float]
    weight: Mapping[str, float]


def staff(state: State, index: Index, now_us: int, former: Mapping[str, float] | None = None) -> Staff:
    """Divide the agents who serve several queues between them.

    The queues get agents in proportion to the work that they gave lately, as far as the agents' queues allow: by proportional fitting
    over the distinct sets of queues, from the weights of the ``former`` division on. In queues that nobody called lately agents
    count in equal shares.
    """
    kinds = {queues: count for queues, count in index.serving_kinds().items() if count}
    names = list(dict.fromkeys(name for queues in kinds for name in queues))
    load = {name: h.load_now(now_us) if (h := state.history.get(name)) else 0.0 for name in names}
    total = sum(load.values())
    if total <= 0:
        return Staff(_divided(kinds, dict.fromkeys(names, 1.0)), {})
    everybody = sum(kinds.values())
    wanted = {name: everybody * value / total for name, value in load.items()}
    # A queue without a weight would never get one again; one without work soon has next to none.
    weight = {name: (former or {}).get(name) or load[name] for name in names}
    agents = _divided(kinds, weight)
    for _ in range(FITTING_ROUNDS):
        if all(abs(agents[name] - wanted[name]) <= FITTED * everybody for name in names):
            break
        weight = {name: weight[name] * wanted[name] / agents[name] if agents[name] else 0.0 for name in names}
        agents = _divided(kinds, weight)
    return Staff(agents, weight)


def _divided(kinds: Mapping[tuple[str, ...], int], weight: Mapping[str, float]) -> dict[str, float]:
    agents = dict.fromkeys(weight, 0.0)
    for queues, count in kinds.items():
        of_all = sum(weight[name] for name in queues)
        for name in queues:
            agents[name] += count * (weight[name] / of_all if of_all > 0 else 1 / len(queues))
    return agents
