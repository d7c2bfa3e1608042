"""Arbitrary flows and arbitrary callers: every call ends, once, in a named outcome, within its limits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ivr.core import model as m
from services.ivr.core import nodes as n
from services.ivr.core.rehearsal import Act, Reply
from services.ivr.core.web import Customer, Request, Wanted
from tests.property.ivr_silences import MUTE
from tests.unit.ivr.caller import START_US, QueueNow, Switch, calendar, call, plan

NAMES = ["a", "b", "c", "d", "e"]
NAME = st.sampled_from(NAMES)
PROMPT = st.sampled_from(["p1", "p2", "p3"])
KEY = st.sampled_from("0123456789*#")

VARIABLE = st.sampled_from(["customer", "pin", "x"])
READ = st.sampled_from(["caller", "customer", "pin", "none"])
MENU = st.builds(
    n.Menu,
    PROMPT,
    st.dictionaries(st.text("12#", min_size=1, max_size=3), NAME, min_size=1, max_size=5),
    NAME,
    st.integers(1_000, 10_000),
    st.integers(1, 3),
    st.none() | PROMPT,
)
ASK = st.builds(
    n.Ask, PROMPT, VARIABLE, st.integers(1, 3), st.integers(3, 6), st.integers(1_000, 10_000), st.integers(1, 3),
    NAME, NAME, ends_with=st.sampled_from(["#", "*", ""]), gap_ms=st.sampled_from([0, 1_500]), luhn=st.booleans(),
    patterns=st.sampled_from([(), (("0123456789",) * 4,)]), secret=st.booleans(), invalid=st.none() | PROMPT,
)  # fmt: skip
LANGUAGE = st.builds(
    n.ChooseLanguage, PROMPT, st.just({"1": "fa", "2": "en"}), st.just(3_000), st.integers(1, 2), NAME, NAME
)
LISTEN = st.builds(
    n.Listen, PROMPT, st.sampled_from([{"fa": {"a": ("yes", "maybe"), "b": ("no",)}}, {"en": {"c": ("yes",)}}, {}]),
    st.dictionaries(KEY, NAME, min_size=1, max_size=3), NAME, st.integers(1_000, 5_000), st.integers(1, 3),
    st.integers(1_000, 8_000), st.booleans(), st.none() | NAME, st.none() | PROMPT,
)  # fmt: skip
FLOWS = ["f", "g"]
NODE = st.one_of(
    MENU,
    MENU,
    ASK,
    LANGUAGE,
    st.builds(
        n.Play, st.lists(PROMPT, min_size=1, max_size=3).map(tuple), NAME, st.booleans(), st.none() | NAME
    ),
    st.builds(n.Say, READ | st.just("17"), st.sampled_from(["digits", "date", "money"]), NAME),
    st.builds(
        n.Speak,
        st.sampled_from([{"fa": "a {caller}"}, {"en": "b", "fa": "c"}, {}]),
        NAME,
        NAME,
        st.booleans(),
    ),
    LISTEN,
    st.builds(
        n.Hours,
        st.sampled_from([calendar((0, 1440)), calendar(), calendar(emergency=True)]),
        NAME,
        NAME,
        NAME,
    ),
    st.builds(
        n.Branch,
        READ,
        st.dictionaries(st.sampled_from(["", "1234"]), NAME),
        st.just({"09": "a"}),
        st.just(((0, 50, "b"),)),
        NAME,
        st.booleans(),
    ),
    st.builds(n.Look, st.sampled_from(["seen", "unseen"]), NAME, NAME, st.just(3), st.just(9), st.none()),
    st.builds(n.Split, st.tuples(st.tuples(NAME, st.just(30)), st.tuples(NAME, st.just(70)))),
    st.builds(
        n.Assign, st.dictionaries(VARIABLE, st.sampled_from(["7", "$caller", "$none"]), min_size=1), NAME
    ),
    st.builds(
        n.TakeMessage, PROMPT, st.just("q"), st.just(20), st.just(3), st.sampled_from([0, 2_000]), NAME, NAME
    ),
    st.builds(
        n.AskWeb,
        st.builds(
            Request,
            st.just("crm"),
            st.sampled_from(["/", "/{caller}", "/{pin}?x={x}"]),
            st.sampled_from(
                [(), (Wanted("x", "$.x"),), (Wanted("x", "$.x", "0"), Wanted("customer", "$.c", ""))]
            ),
            timeout_ms=st.integers(1_000, 5_000),
            tries=st.integers(1, 3),
        ),
        NAME,
        NAME,
        st.dictionaries(st.sampled_from([200, 404]), NAME, max_size=1),
    ),
    st.builds(
        n.LookUp,
        READ,
        st.just({"09121234567": Customer("7", "S", "gold", "sara", "en")}),
        NAME,
        NAME,
        languages=st.just(frozenset({"en"})),
        request=st.none() | st.just(Request("crm", "/?n={number}", (Wanted("customer", "$.c"),))),
    ),
    st.builds(
        n.ToAgent,
        st.sampled_from(["sara", "reza", "$customer", "$none"]),
        st.just("q"),
        st.just(0),
        st.just(9_000),
        NAME,
        st.just("") | NAME,
    ),
    st.builds(n.Answer, NAME),
    st.builds(n.WishSurvey, st.sampled_from(["f", "-"]), NAME),
    st.builds(n.TakeAnswer, PROMPT, st.just("why"), st.just(20), st.just(3), NAME),
    st.builds(
        n.Menu,
        PROMPT,
        st.dictionaries(st.sampled_from(["0", "1", "10"]), NAME, min_size=1),
        NAME,
        st.just(3_000),
        st.integers(1, 2),
        question=st.just("csat"),
        most=st.just(10),
    ),
    st.builds(n.ToQueue, st.just("q"), st.integers(-5, 5), st.just(("s:1",)), callback=st.booleans()),
    st.builds(n.ToNumber, st.just("+98"), st.none() | NAME),
    st.builds(n.GoTo, st.sampled_from(FLOWS)),
    st.builds(
        n.CallFlow, st.sampled_from(FLOWS), st.just({"x": "1"}), st.dictionaries(NAME, NAME, min_size=1)
    ),
    st.builds(n.Return, NAME),
    st.builds(n.Hangup),
)
# Some ways lead nowhere, and flows may call each other for ever: flows that no check has seen.
FLOW = st.builds(lambda nodes, start: (nodes, start), st.dictionaries(NAME, NODE, min_size=1), NAME)
PLAN = st.tuples(FLOW, FLOW).map(
    lambda flows: plan(
        *(n.Flow(name, start, nodes) for name, (nodes, start) in zip(FLOWS, flows, strict=True))
    )
)
ACTION = st.tuples(st.integers(0, 60_000), st.one_of(KEY, KEY, KEY, st.sampled_from(["broken", "x"])))
END = st.none() | st.tuples(st.integers(0, 120_000), st.sampled_from(["hangup", "lost"]))
REPLY = st.builds(
    Reply,
    st.dictionaries(st.sampled_from(["x", "customer"]), st.sampled_from(["", "1", "../x"])),
    st.sampled_from([200, 200, 404, 500]),
    st.sampled_from(["", "", "timeout", "connection"]),
)
SWITCH = st.builds(
    Switch,
    st.frozensets(
        st.tuples(st.sampled_from(["fa", "en"]), st.sampled_from(["p1", "p2", "p3", "digits", "speech"]))
    ),
    st.sampled_from([("SUCCESS", 30_000), ("USER_BUSY", 500), ("NO_ANSWER", 45_000), ("", 0)]),
    st.sampled_from([0, 1_000, 50_000]),
    st.just({"seen": QueueNow(5, 1_000, 0)}),
    st.dictionaries(NAME, REPLY),
    st.frozensets(st.just("fa")),
    st.dictionaries(st.sampled_from(["sara", "reza"]), st.sampled_from(["busy", "away", "unseen"])),
    st.frozensets(st.sampled_from(MUTE), max_size=2),
)
LIMITS = n.Limits(max_steps=30, max_time_ms=90_000, ring_ms=60_000)
WAITS_MS = 60_000
"""The longest that one node may wait beside the time limit: a transfer rings; a message takes 20 s and grace."""


ACT = st.sampled_from(["yes", "no", "maybe", "what"]).map(lambda said: Act(says=said)) | st.builds(
    Act, says=st.just("yes"), during=PROMPT
)
AT = st.integers(0, 60_000).map(lambda ms: START_US + ms * 1000)
HEARING = st.integers(1, 4)
SPEECH = st.one_of(
    st.builds(m.SpeechBegan, AT, HEARING),
    st.builds(m.SpeechUnderstood, AT, HEARING, NAME, st.just("yes")),
    st.builds(m.SpeechMissed, AT, HEARING, st.booleans()),
)


@settings(max_examples=200, deadline=None)
@given(
    is_survey=st.booleans(),
    is_early=st.booleans(),
    runs=PLAN,
    actions=st.lists(ACTION, max_size=40),
    end=END,
    switch=SWITCH,
    chance=st.integers(0, 2**63),
    acts=st.lists(ACT, max_size=6),
    speech=st.lists(SPEECH, max_size=10),
)
def test_every_call_ends_once_within_its_limits(
    is_survey: bool,
    is_early: bool,
    runs: n.Plan,
    actions: list[tuple[int, str]],
    end: tuple[int, str] | None,
    switch: Switch,
    chance: int,
    acts: list[Act],
    speech: list[m.Event],
) -> None:
    """Whoever calls, whatever they do, and whoever never answers."""
    if is_survey:
        runs = n.Plan(runs.flows, runs.first, None)
    does = [*actions, *([end] if end else [])]
    heard = call(
        runs,
        does,
        limits=LIMITS,
        switch=switch,
        chance=chance,
        answered=not is_early,
        acts=acts,
        events=speech,
    )
    assert len(heard.ended) == 1
    assert heard.outcome in m.OUTCOMES
    assert len(heard.steps) <= LIMITS.max_steps + 1
    # A step may begin just inside the limit and wait: a transfer that rings or talks is not cut short.
    assert heard.duration_ms <= LIMITS.max_time_ms + WAITS_MS + LIMITS.confirm_ms + 1_000
    assert len(heard.handed) <= 1
    if heard.outcome == "handed_over":
        assert heard.handed
        assert not heard.ended[0].hang_up
    if heard.outcome == "failed" and not is_survey:
        assert end is not None
        assert end[1] == "lost"
    answers = sum(isinstance(output, m.AnswerCall) for output in heard.outputs)
    assert answers <= int(is_early)
    if is_early and (heard.handed or heard.dialled or any(s.kind in ("menu", "ask") for s in heard.steps)):
        assert answers == 1
    numbers = [step.step_no for step in heard.steps]
    assert numbers == sorted(set(numbers)), "each node is reported once, in order"
    assert all(step.flow in FLOWS and step.version == 1 for step in heard.steps)
    secret = {
        (name, key)
        for name, flow in runs.flows.items()
        for key, node in flow.nodes.items()
        if isinstance(node, n.Ask) and node.secret
    }
    for step in heard.steps:
        if (step.flow, step.node) in secret:
            assert step.input in ("", m.HIDDEN)
            assert any(isinstance(output, m.HideKeys) for output in heard.outputs)
