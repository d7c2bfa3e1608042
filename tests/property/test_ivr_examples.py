"""Arbitrary callers against every example flow: the call always ends, within its limits, in a named outcome; pictures never overlap."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.center import Center, load
from services.ivr.adapters.flows import flows_of, plan_of, survey_plan
from services.ivr.core import model as m
from services.ivr.core.nodes import Limits, Plan
from services.ivr.core.rehearsal import Act, QueueNow, Rehearsal, Reply, Switch
from services.ivr.tools.layout import GAP, Edge, place
from tests.property.ivr_silences import MUTE

CENTERS = Path(__file__).parents[2] / "deploy" / "centers"
FILES = [file for file in CENTERS.rglob("*.yaml") if file.parent.name != "tables"]
ENTRIES = [(file, number) for file in FILES for number in load(file).centers[0].entry_points]
SURVEYS = [
    (file, queue.survey.flow)
    for file in FILES
    for queue in load(file).centers[0].queues.values()
    if queue.survey is not None
]
"""What callers are asked after a conversation."""
START_US = 1_795_000_000_000_000
LIMITS = Limits()
KEYS = st.tuples(st.integers(0, 240_000), st.sampled_from("0123456789*#"))
END = st.none() | st.tuples(st.integers(0, 240_000), st.sampled_from([m.HungUp, m.Lost]))
REPLY = st.builds(
    Reply,
    st.dictionaries(
        st.sampled_from(["customer", "name", "class", "balance"]), st.text("0123456789ab", max_size=4)
    ),
    st.sampled_from([200, 404, 503]),
    st.sampled_from(["", "", "connection"]),
)
SAYS = ["where is my order", "یک کارشناس", "no thank you", "how long does delivery take", "eels"]


@cache
def center(file: Path) -> Center:
    return load(file).centers[0]


@cache
def plan(file: Path, number: str) -> Plan:
    if number in center(file).flows:
        return survey_plan(number, flows_of(center(file)))
    return plan_of(center(file), center(file).entry_points[number], flows_of(center(file)))


@pytest.mark.parametrize(
    ("file", "number"), ENTRIES + SURVEYS, ids=[f"{f.stem}-{n}" for f, n in ENTRIES + SURVEYS]
)
@settings(max_examples=50, deadline=None)
@given(
    keys=st.lists(KEYS, max_size=60),
    end=END,
    at_s=st.integers(0, 400 * 86_400),
    caller=st.sampled_from(["", "+989121234567", "02188776655"]),
    chance=st.integers(0, 2**63),
    mute=st.frozensets(st.sampled_from(MUTE), max_size=3),
    waiting=st.integers(0, 100),
    transfer=st.sampled_from([("SUCCESS", 30_000), ("USER_BUSY", 500), ("", 0)]),
    speaks_ms=st.sampled_from([0, 400, 30_000]),
    reply=st.none() | REPLY,
    acts=st.lists(st.sampled_from(SAYS).map(lambda said: Act(says=said)), max_size=8),
    missing=st.frozensets(
        st.tuples(st.sampled_from(["fa", "en"]), st.sampled_from(["welcome", "speech", "wish"]))
    ),
    agent=st.sampled_from(["ready", "busy", "away", "unseen"]),
)
def test_every_caller_of_an_example_reaches_an_end(
    file: Path,
    number: str,
    keys: list[tuple[int, str]],
    end: tuple[int, type[m.HungUp] | type[m.Lost]] | None,
    at_s: int,
    caller: str,
    chance: int,
    mute: frozenset[str],
    waiting: int,
    transfer: tuple[str, int],
    speaks_ms: int,
    reply: Reply | None,
    acts: list[Act],
    missing: frozenset[tuple[str, str]],
    agent: str,
) -> None:
    about = center(file)
    entry = about.entry_points.get(number) or about.entry_points[about.default_entry_point]
    start_us = START_US + at_s * 1_000_000
    begun = m.Begun(start_us, about.language_order(about.first_language(entry)), caller, number, chance)
    events: list[m.Event] = [m.KeyPressed(start_us + ms * 1000, key) for ms, key in keys]
    if end is not None:
        at_us = start_us + end[0] * 1000
        events.append(m.HungUp(at_us, "") if end[1] is m.HungUp else m.Lost(at_us))
    queues = {name: QueueNow(waiting, 1_000 * waiting, waiting % 3) for name in about.queues}
    nodes = {node for flow in about.flows.values() for node in flow.nodes}
    replies = dict.fromkeys(nodes, reply) if reply is not None else {}
    switch = Switch(
        missing, transfer=transfer, message_ms=speaks_ms, queues=queues, replies=replies, mute=mute
    )
    switch.agents = dict.fromkeys(about.agents, agent)
    heard = Rehearsal(plan(file, number), begun, limits=LIMITS, switch=switch).run(events, acts)
    assert heard.outcome in m.OUTCOMES
    assert len(heard.steps) <= LIMITS.max_steps + 1
    most_ms = LIMITS.max_time_ms + LIMITS.ring_ms + LIMITS.confirm_ms + 1_000
    assert heard.duration_ms <= most_ms
    assert not any(step.result == "error" for step in heard.steps), "a checked flow has no hole"
    if (file, number) in SURVEYS:
        assert not heard.handed, "a survey hands nobody over"
        assert len({rated.question for rated in heard.rated}) == len(heard.rated)


@settings(max_examples=80, deadline=None)
@given(
    links=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14), st.integers(0, 120)), max_size=40),
    widths=st.lists(st.integers(40, 300), min_size=15, max_size=15),
)
def test_boxes_and_labels_of_a_picture_never_overlap(
    links: list[tuple[int, int, int]], widths: list[int]
) -> None:
    spine = [Edge(str(n // 2), str(n), "", 0) for n in range(1, 15)]
    more = {(a, b): w for a, b, w in links if a != b and (a, b) not in {(n // 2, n) for n in range(1, 15)}}
    edges = [*spine, *(Edge(str(a), str(b), "x", w) for (a, b), w in more.items())]
    layout = place("0", {str(n): float(w) for n, w in enumerate(widths)}, edges)
    for layer in range(layout.layers):
        row = sorted((box for box in layout.boxes.values() if box.layer == layer), key=lambda box: box.x)
        for left, right in pairwise(row):
            assert right.x - left.x >= (left.width + right.width) / 2 + GAP - 0.001
    assert len(layout.routes) == len(edges)
    for route in layout.routes:
        assert (route.through[0], route.through[-1]) == (route.edge.source, route.edge.target)
        layers = [layout.boxes[name].layer for name in route.through]
        assert all(abs(a - b) == 1 for a, b in pairwise(layers))
        assert (layers[0] > layers[-1]) is route.back
        assert layout.boxes[route.label_at].layer % 2 == 1
    assert min(box.x - box.width / 2 for box in layout.boxes.values()) >= -0.001
