"""A day as it was: who called when and for what, how long conversations lasted, when agents were there."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.whatif.core.survival import Survival, estimate

FEW = 30
"""A queue with fewer callers who left than this has the patience of all queues together."""


class Talk(msgspec.Struct, frozen=True):
    """One conversation: its length with holds, the work after it, and the queue to which the agent sent the caller, if any."""

    talk_ms: int
    wrap_up_ms: int
    then: str = ""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One caller who waited in a queue."""

    contact_id: str
    at_us: int
    queue: str
    skills: tuple[str, ...] = ()
    priority: int = 0
    service_class: str = ""
    entry_point: str = ""
    language: str = ""
    ani: str = ""
    wait_ms: int = 0
    left: bool = False
    """The caller lost patience after ``wait_ms``; otherwise it lasted at least as long."""
    talks: tuple[Talk, ...] = ()


class Shift(msgspec.Struct, frozen=True):
    """An agent's presence: available, break (with a reason) or offline."""

    agent_id: str
    presence: str
    reason: str
    from_us: int
    to_us: int


class Away(msgspec.Struct, frozen=True):
    """A time in which an agent, though there, took no caller: an own call, or a contact that is not replayed."""

    agent_id: str
    from_us: int
    to_us: int


class Stay(msgspec.Struct, frozen=True):
    """A stay in a queue, real or simulated."""

    contact_id: str
    queue: str
    began_us: int
    wait_ms: int
    outcome: str


class Handled(msgspec.Struct, frozen=True):
    """A conversation, real or simulated."""

    contact_id: str
    queue: str
    agent_id: str
    began_us: int
    talk_ms: int
    wrap_up_ms: int


class Outcomes(msgspec.Struct, kw_only=True):
    """What came of a day, real or simulated; what the figures are made from."""

    stays: list[Stay] = []
    handled: list[Handled] = []
    times_ms: dict[str, int] = {}
    """Of all agents, by the name of the count (``available_ms``, ``talking_ms`` …)."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a replay needs. Callers who came before ``from_us`` fill the queues and count nowhere."""

    tenant: str
    from_us: int
    to_us: int
    arrivals: tuple[Arrival, ...]
    shifts: tuple[Shift, ...]
    aways: tuple[Away, ...]
    rings_ms: tuple[int, ...]
    """From offer to answer, of offers that were accepted."""
    misses: Mapping[str, tuple[float, tuple[int, ...]]]
    """By outcome of an offer that came to nothing: its share of all offers, and how long it rang."""
    breaks_ms: tuple[int, ...]
    """How long agents stayed on a break into which the system had put them."""
    real: Outcomes
    left_out: Mapping[str, int]
    """Contacts of the day that are not replayed, by why."""


def patience_of(day: Day) -> dict[str, Survival]:
    """Patience by queue; ``''`` is of all callers."""
    by_queue: dict[str, list[tuple[int, bool]]] = {}
    for arrival in day.arrivals:
        by_queue.setdefault(arrival.queue, []).append((arrival.wait_ms, arrival.left))
    everybody = estimate(one for waits in by_queue.values() for one in waits)
    return {"": everybody} | {
        queue: estimate(waits) if sum(left for _, left in waits) >= FEW else everybody
        for queue, waits in by_queue.items()
    }


def talks_of(day: Day) -> dict[str, tuple[Talk, ...]]:
    """Conversations by queue, for callers who were not answered on the day; ``''`` are all."""
    by_queue: dict[str, list[Talk]] = {"": []}
    for arrival in day.arrivals:
        for talk in arrival.talks[:1]:
            by_queue.setdefault(arrival.queue, []).append(talk)
            by_queue[""].append(talk)
    return {queue: tuple(talks) for queue, talks in by_queue.items()}
