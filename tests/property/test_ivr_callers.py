"""Arbitrary flows and arbitrary callers: every call ends, once, in a named outcome, within its limits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ivr.core import model as m
from tests.unit.ivr.caller import Switch, calendar, call

NAMES = ["a", "b", "c", "d", "e"]
NAME = st.sampled_from(NAMES)
PROMPT = st.sampled_from(["p1", "p2", "p3"])
KEY = st.sampled_from("0123456789*#")

MENU = st.builds(
    m.Menu,
    PROMPT,
    st.dictionaries(st.text("12#", min_size=1, max_size=3), NAME, min_size=1, max_size=5),
    NAME,
    st.integers(1_000, 10_000),
    st.integers(1, 3),
    st.none() | PROMPT,
)
ASK = st.builds(
    m.Ask, PROMPT, st.just("customer"), st.integers(1, 3), st.integers(3, 6), st.integers(1_000, 10_000),
    st.integers(1, 3), NAME, NAME,
)  # fmt: skip
NODE = st.one_of(
    MENU,
    MENU,
    ASK,
    st.builds(m.Play, PROMPT, NAME),
    st.builds(m.Say, st.sampled_from(["caller", "customer", "17", "none"]), st.booleans(), NAME),
    st.builds(m.Hours, st.sampled_from([calendar((0, 1440)), calendar()]), NAME, NAME),
    st.builds(m.ToQueue, st.just("q"), st.integers(-5, 5), st.just(("s:1",))),
    st.builds(m.ToNumber, st.just("+98"), st.none() | NAME),
    st.builds(m.Hangup),
)
FLOW = st.builds(
    lambda nodes, start: m.Flow("f", start, nodes, m.ToQueue("fallback", 0)),
    st.dictionaries(NAME, NODE, min_size=1),  # some ways lead nowhere: a flow that no check has seen
    NAME,
)
ACTION = st.tuples(st.integers(0, 60_000), st.one_of(KEY, KEY, KEY, st.sampled_from(["broken", "x"])))
END = st.none() | st.tuples(st.integers(0, 120_000), st.sampled_from(["hangup", "lost"]))
SWITCH = st.builds(
    Switch,
    st.frozensets(st.tuples(st.sampled_from(["fa", "en"]), st.sampled_from(["p1", "p2", "p3", "digits"]))),
    st.sampled_from([("SUCCESS", 30_000), ("USER_BUSY", 500), ("NO_ANSWER", 45_000), ("", 0)]),
)
LIMITS = m.Limits(max_steps=30, max_time_ms=90_000)


@settings(max_examples=400, deadline=None)
@given(flow=FLOW, actions=st.lists(ACTION, max_size=40), end=END, switch=SWITCH)
def test_every_call_ends_once_within_its_limits(
    flow: m.Flow, actions: list[tuple[int, str]], end: tuple[int, str] | None, switch: Switch
) -> None:
    heard = call(flow, [*actions, *([end] if end else [])], limits=LIMITS, switch=switch)
    assert len(heard.ended) == 1
    assert heard.outcome in m.OUTCOMES
    assert len(heard.steps) <= LIMITS.max_steps + 1
    # A step may begin just inside the limit and wait: a transfer that rings or talks is not cut short.
    assert heard.duration_ms <= LIMITS.max_time_ms + 45_000 + 1_000
    assert len(heard.handed) <= 1
    if heard.outcome == "handed_over":
        assert heard.handed
        assert not heard.ended[0].hang_up
    if heard.outcome == "failed":
        assert end is not None
        assert end[1] == "lost"
    numbers = [step.step_no for step in heard.steps]
    assert numbers == sorted(set(numbers)), "each node is reported once, in order"
