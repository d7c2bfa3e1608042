"""Arbitrary center documents as routing's core knows them."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from services.center.skills import parse
from services.routing.core.center import (
    CAUSES,
    STRATEGIES,
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

QUEUE_NAMES = ("a", "b", "c")
AGENT_NAMES = ("g1", "g2", "g3", "g4")
SKILLS = st.dictionaries(st.sampled_from(("x", "y")), st.integers(1, 2), max_size=2)
OVERFLOWS = st.one_of(
    st.just(Overflow("callback")),
    st.sampled_from(QUEUE_NAMES).map(lambda q: Overflow("queue", q)),
    st.just(Overflow("transfer", "+1")),
    st.just(Overflow("hangup")),
)
QUEUE_RULES = st.builds(
    QueueRules,
    skills=SKILLS,
    ring_ms=st.sampled_from((5_000, 15_000)),
    wrap_up_ms=st.sampled_from((0, 10_000)),
    max_wait_ms=st.sampled_from((0, 20_000)),
    max_length=st.sampled_from((0, 0, 2)),
    overflow=OVERFLOWS,
    strategy=st.sampled_from(STRATEGIES),
    ring_at_once=st.sampled_from((1, 2, 3)),
    steps=st.lists(
        st.builds(
            Step,
            st.sampled_from(("x>=2", "x or y", "not y", "x=1 and y<2")).map(parse),
            st.sampled_from((1_000, 7_000)),
        ),
        max_size=2,
    ).map(tuple),
    skills_for_ms=st.sampled_from((0, 0, 5_000)),
    preferred_ms=st.sampled_from((0, 6_000)),
    wrap_up_mode=st.sampled_from(("timed", "timed", "timed_no_exit", "mandatory", "optional")),
    wrap_up_max_ms=st.just(30_000),
    disposition_required=st.booleans(),
    dispositions=st.sampled_from((frozenset[str](), frozenset("1"))),
    full=st.none() | OVERFLOWS,
    no_agent=st.none() | OVERFLOWS,
    no_agent_after_ms=st.sampled_from((0, 4_000)),
    closed=st.none() | OVERFLOWS,
    keys=st.dictionaries(st.sampled_from("15"), OVERFLOWS, max_size=2),
    return_ms=st.sampled_from((0, 10_000)),
    callback=st.none()
    | st.builds(
        CallbackRules,
        first=st.sampled_from(("customer", "agent")),
        dial_ms=st.just(10_000),
        attempts=st.integers(1, 3),
        pause_ms=st.sampled_from((1_000, 20_000)),
        expires_ms=st.sampled_from((15_000, 600_000)),
    ),
)
CHANNELS = st.dictionaries(
    st.sampled_from(("chat", "email")),
    st.builds(
        ChannelRules, st.integers(1, 3), st.frozensets(st.sampled_from(("call", "chat", "email")), max_size=2)
    ),
)
ORDERS = st.dictionaries(
    st.sampled_from(QUEUE_NAMES),
    st.builds(QueueOrder, st.integers(1, 2), st.sampled_from((0, 3_000, 8_000))),
    max_size=2,
)
AGENT_RULES = st.builds(
    lambda queues, skills, orders, weight, capacity, number, confirm: AgentRules(
        "", tuple(sorted(queues)), skills, orders, weight, capacity=capacity, number=number, confirm=confirm
    ),
    st.sets(st.sampled_from(QUEUE_NAMES), min_size=1),
    SKILLS,
    ORDERS,
    st.integers(1, 3),
    st.dictionaries(st.sampled_from(("call", "chat", "email")), st.integers(0, 2), max_size=1),
    st.sampled_from(("", "", "", "0912")),
    st.booleans(),
)
MISSES = st.dictionaries(
    st.sampled_from(CAUSES), st.builds(Miss, st.sampled_from((0, 2_000)), st.integers(0, 2)), max_size=2
)


@st.composite
def centers(draw: st.DrawFn) -> Center:
    """Any document: one to three queues, up to four agents, every rule that there is."""
    queues = draw(st.dictionaries(st.sampled_from(QUEUE_NAMES), QUEUE_RULES, min_size=1))
    agents = draw(st.dictionaries(st.sampled_from(AGENT_NAMES), AGENT_RULES))
    agents = {
        name: msgspec.structs.replace(
            r, extension=name.replace("g", "10"), queues=tuple(q for q in r.queues if q in queues)
        )
        for name, r in agents.items()
    }
    revision = str(draw(st.integers(0, 999)))
    fallback = draw(st.sampled_from(sorted(queues)))
    return Center(
        revision,
        queues,
        agents,
        frozenset("12"),
        frozenset({"lunch"}),
        {},
        fallback,
        priority_ms=draw(st.sampled_from((1_000, 60_000))),
        class_ms={"vip": 30_000},
        between_queues=draw(st.sampled_from(("strict", "share"))),
        misses=draw(MISSES),
        desks=draw(st.sampled_from((frozenset[str](), frozenset({"90"})))),
        pin_attempts=2,
        pin_lock_ms=5_000,
        channels=draw(CHANNELS),
        calls=Rights(allowed=("0",), at_once=draw(st.sampled_from((0, 0, 1)))),
        do_not_call=draw(st.sampled_from((frozenset[str](), frozenset({"0912"})))),
        transfer_failed=draw(st.sampled_from(("queue", "agent"))),
    )
