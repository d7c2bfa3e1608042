"""The center of the simulated day: 20 queues, 300 agents in four departments and on shifts, and how callers and agents behave.

300 people on one shift each are 2,250 hours of work without the breaks. 100,000 calls leave 81 s of them a call, so this is a
center of short calls (a minute of talk and seconds of wrap-up), as directory, order and banking lines are.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec

from services.routing.core.center import (
    AgentRules,
    CallbackRules,
    Center,
    ChannelRules,
    Miss,
    Overflow,
    QueueOrder,
    QueueRules,
    Step,
)
from services.routing.core.toll import Rights

AGENTS = 300
DISPOSITIONS = frozenset({"1", "2", "3"})
BREAKS = frozenset({"lunch", "short"})

ARRIVALS = (1, 0.8, 0.6, 0.5, 0.6, 0.9, 2, 6, 9, 10, 10, 9, 8, 7.5, 8, 8, 8, 7, 5.5, 4.5, 4, 3, 2, 1.5)
"""Relative number of calls by hour of the day."""
SHIFTS = (
    (0, 12),
    (6, 20),
    (7, 58),
    (8, 52),
    (9, 32),
    (10, 15),
    (12, 30),
    (13, 35),
    (14, 26),
    (15, 10),
    (21, 10),
)
"""Hour of the beginning and how many agents (300 in all); the last one works until the morning."""
SHIFT_H = 8.5


class Line(msgspec.Struct, frozen=True):
    """How callers of one queue behave: relative number, seconds of talk and of patience (means), skills that some ask for."""

    share: float
    talk_s: float
    patience_s: float
    asks: tuple[tuple[tuple[str, ...], float], ...] = (((), 1.0),)
    around_the_clock: bool = False
    asks_callback: float = 0.0
    """Share of those who would rather be called back after a while."""


class Letters(NamedTuple):
    """How the contacts of another channel behave: number for each call, seconds of work and of patience (means), queues."""

    share: float
    work_s: float
    patience_s: float
    queues: tuple[str, ...]


DESK = {
    "chat": Letters(0.05, 150, 400, ("orders", "billing", "internet", "sales")),
    "email": Letters(0.03, 120, 14_400, ("info", "orders", "cards", "internet", "sales")),
}


FA_EN = (((), 0.85), (("en:2",), 0.10), (("ar",), 0.05))
LINES: dict[str, Line] = {
    "info": Line(10, 40, 120, FA_EN, True),
    "orders": Line(8, 65, 180),
    "delivery": Line(7, 50, 150, FA_EN),
    "returns": Line(4, 70, 200),
    "complaints": Line(3, 110, 300),
    "claims": Line(3, 90, 300),
    "billing": Line(8, 60, 200, FA_EN),
    "cards": Line(9, 45, 120, (((), 0.9), (("fraud:3",), 0.1)), True),
    "loans": Line(4, 85, 240, asks_callback=0.4),
    "deposits": Line(4, 60, 180),
    "internet": Line(8, 75, 240, FA_EN, True),
    "mobile": Line(7, 55, 150),
    "devices": Line(4, 70, 240),
    "second_level": Line(3, 120, 400, (((), 0.5), (("network:4",), 0.3), (("network:4", "en"), 0.2))),
    "sales": Line(5, 70, 90),
    "retention": Line(2, 110, 240, asks_callback=0.4),
    "vip": Line(2, 80, 300),
    "corporate": Line(3, 80, 240),
    "english": Line(3, 65, 180),
    "arabic": Line(2, 65, 180),
}
DEPARTMENTS: dict[str, tuple[int, tuple[str, ...], str]] = {
    "service": (102, ("info", "orders", "delivery", "returns", "complaints", "claims"), "product"),
    "finance": (69, ("billing", "cards", "loans", "deposits"), "fraud"),
    "technical": (81, ("internet", "mobile", "devices", "second_level"), "network"),
    "sales": (48, ("sales", "retention", "vip", "corporate", "english", "arabic"), "closing"),
}
"""Number of agents, queues, and the skill that its people have at different levels."""
SECOND = {"service": "info", "finance": "cards", "technical": "internet", "sales": "info"}


def queues() -> dict[str, QueueRules]:
    """Every strategy, every mode of wrap-up and every way out is used by some queue."""
    return {
        "info": QueueRules(wrap_up_ms=5_000, max_length=60, full=Overflow("hangup", "call_later")),
        "orders": QueueRules(strategy="round_robin", wrap_up_ms=10_000),
        "delivery": QueueRules(
            strategy="fewest_contacts",
            wrap_up_ms=8_000,
            max_wait_ms=240_000,
            overflow=Overflow("queue", "info"),
        ),
        "returns": QueueRules(strategy="least_occupied", wrap_up_ms=15_000),
        "complaints": QueueRules(
            wrap_up_mode="mandatory", wrap_up_max_ms=120_000, disposition_required=True, preferred_ms=15_000
        ),
        "claims": QueueRules(steps=(Step(("level", "product", 3, 99), 20_000),), wrap_up_ms=10_000),
        "billing": QueueRules(strategy="least_occupied", wrap_up_ms=8_000, max_wait_ms=300_000),
        "cards": QueueRules(wrap_up_ms=5_000, skills_for_ms=60_000),
        "loans": QueueRules(
            strategy="linear",
            wrap_up_ms=15_000,
            callback=CallbackRules("agent", 20_000, 2, 60_000, 7_200_000),
        ),
        "deposits": QueueRules(strategy="random_weighted", wrap_up_ms=10_000),
        "internet": QueueRules(
            steps=(Step(("level", "network", 3, 99), 15_000), Step(("level", "network", 2, 99), 30_000)),
            wrap_up_ms=10_000,
        ),
        "mobile": QueueRules(strategy="ring_all", ring_at_once=3, ring_ms=15_000, wrap_up_ms=5_000),
        "devices": QueueRules(
            wrap_up_ms=10_000,
            max_wait_ms=180_000,
            max_length=25,
            overflow=Overflow("transfer", "+982100"),
            full=Overflow("queue", "internet"),
        ),
        "second_level": QueueRules(
            {"network": 2}, wrap_up_mode="timed_no_exit", wrap_up_ms=20_000, skills_for_ms=90_000
        ),
        "sales": QueueRules(
            strategy="random_weighted",
            ring_ms=15_000,
            max_wait_ms=120_000,
            overflow=Overflow("hangup", "sorry"),
        ),
        "retention": QueueRules(
            strategy="least_occupied",
            wrap_up_mode="optional",
            wrap_up_ms=30_000,
            max_wait_ms=90_000,
            overflow=Overflow("callback"),
            callback=CallbackRules("customer", 20_000, 3, 120_000, 3_600_000),
        ),
        "vip": QueueRules(preferred_ms=20_000, wrap_up_ms=10_000, ring_ms=12_000),
        "corporate": QueueRules(
            {"closing": 1}, wrap_up_ms=10_000, no_agent=Overflow("queue", "sales"), no_agent_after_ms=10_000
        ),
        "english": QueueRules({"en": 2}, strategy="round_robin", wrap_up_ms=5_000, skills_for_ms=30_000),
        "arabic": QueueRules(
            {"ar": 1}, wrap_up_ms=5_000, max_wait_ms=200_000, overflow=Overflow("queue", "info")
        ),
    }


def closing(rules: dict[str, QueueRules]) -> dict[str, QueueRules]:
    """The same with a way out at closing time for every queue that has one."""
    out = Overflow("hangup", "closed")
    return {
        queue: one if LINES[queue].around_the_clock else msgspec.structs.replace(one, closed=out)
        for queue, one in rules.items()
    }


def people(chance: random.Random) -> dict[str, AgentRules]:
    """300 agents: three or four queues of a department, a second choice that comes in later, skills of their own."""
    found: dict[str, AgentRules] = {}
    for department, (number, served, skill) in DEPARTMENTS.items():
        for _ in range(number):
            n = len(found)
            own = [q for k, q in enumerate(served) if (n + k) % len(served) < 4]
            skills = {"fa": chance.randint(3, 5), skill: chance.randint(1, 5)}
            if chance.random() < (0.7 if department == "sales" else 0.4):
                skills["en"] = chance.randint(1, 4)
            if chance.random() < (0.5 if department == "sales" else 0.2):
                skills["ar"] = chance.randint(1, 4)
            second = SECOND[department]
            orders = {} if second in served else {second: QueueOrder(2, 20_000)}
            found[f"a{n:03}"] = AgentRules(
                str(1000 + n),
                (*own, *orders),
                skills,
                orders,
                weight=chance.randint(1, 3),
                capacity={"chat": 2} if n % 10 == 0 else {"email": 0} if n % 10 == 5 else {},
            )
    return found


def center() -> Center:
    """The document of the day; the same for every seed."""
    return Center(
        "morning",
        closing(queues()),
        people(random.Random(300)),
        DISPOSITIONS,
        BREAKS,
        default_fallback="info",
        class_ms={"gold": 60_000},
        entry_ms={"tehran": 15_000},
        channels={
            "chat": ChannelRules(3),
            "email": ChannelRules(5, frozenset({"call", "chat"})),
        },
        calls=Rights(allowed=("0", "+")),
        misses={
            "no_answer": Miss(5_000, 2),
            "declined": Miss(15_000, 3),
            "busy": Miss(10_000, 3),
            "unreachable": Miss(5_000, 1),
        },
    )
