"""Nodes that ask somebody outside, and surveys: what is sent, what each answer leads to, and answers that never come."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ivr.core import model as m
from services.ivr.core import nodes as n
from services.ivr.core.rehearsal import PLAY_MS, Rehearsal, Reply
from services.ivr.core.web import Customer, Request, Wanted, fill
from tests.unit.ivr.caller import START_US, Switch, call, flow, plan

BYE = n.Hangup()
TO_SALES = n.ToQueue("sales", 0, service_class="$customer_class", preferred_agent="$customer_agent")


def web_flow(**changes: object) -> n.Flow:
    request = Request("crm", "/customers/{caller}", (Wanted("level", "$.level"), Wanted("x", "$.x", "none")))
    fields: dict[str, object] = {
        "request": request,
        "then": "which",
        "otherwise": "bye",
        "status": {404: "sales"},
    }
    which = n.Branch("level", {"gold": "sales"}, {}, (), "bye")
    node = n.AskWeb(**{**fields, **changes})  # type: ignore[arg-type]
    return flow("web", web=node, which=which, sales=TO_SALES, bye=BYE)


@pytest.mark.parametrize(
    ("reply", "path"),
    [
        (Reply({"level": "gold"}), ["web=answered", "which=is:gold", "sales=queue:sales"]),
        (Reply({"level": "tin", "x": "1"}), ["web=answered", "which=otherwise", "bye=done"]),
        (Reply({"x": "1"}), ["web=failed:value", "bye=done"]),
        (Reply(status=404), ["web=status:404", "sales=queue:sales"]),
        (Reply(status=500), ["web=failed:status:500", "bye=done"]),
        (Reply(failure="certificate"), ["web=failed:certificate", "bye=done"]),
        (None, ["web=failed:timeout", "bye=done"]),
    ],
)
def test_each_answer_has_its_way(reply: Reply | None, path: list[str]) -> None:
    heard = call(web_flow(), switch=Switch(replies={} if reply is None else {"web": reply}))
    assert heard.path == path
    (asked,) = heard.asked
    assert (asked.service, asked.target, asked.wanted) == (
        "crm",
        "/customers/09121234567",
        (("level", "$.level"), ("x", "$.x")),
    )


def test_a_request_whose_answer_never_comes_takes_its_tries_and_a_second() -> None:
    request = Request("crm", "/", (), timeout_ms=2_000, tries=3)
    heard = call(web_flow(request=request), switch=Switch(mute=frozenset({"SendRequest"})))
    assert heard.path == ["web=failed:timeout", "bye=done"]
    assert heard.duration_ms == 7_000


def test_an_answer_to_an_earlier_request_is_none_to_this_one() -> None:
    request = Request("crm", "/", (), timeout_ms=1_000)
    first = n.AskWeb(request, "second", "second")
    flow_ = flow("first", first=first, second=n.AskWeb(request, "sales", "bye"), sales=TO_SALES, bye=BYE)
    from services.ivr.core.interpreter import Interpreter
    from services.ivr.core.state import State

    interpreter = Interpreter(plan(flow_), n.Limits())
    state, outputs = interpreter.step(State(), m.Begun(0, ("fa",), "1", "5"))
    timer = next(o.timer for o in reversed(outputs) if isinstance(o, m.ArmTimer))
    state, outputs = interpreter.step(state, m.TimerFired(1, timer))
    assert state.node == "second"
    state, outputs = interpreter.step(state, m.WebAnswered(2, 1, 200, {}))
    assert (state.node, outputs) == ("second", [])


@pytest.mark.parametrize(
    ("path", "value", "target"),
    [
        ("/c/{v}", "a b/c?d#e", "/c/a%20b%2Fc%3Fd%23e"),
        ("/c?n={v}&m=1", "1&admin=1", "/c?n=1%26admin%3D1&m=1"),
        ("/c/{v}", "..", None),
        ("/c/{v}", "x/../y", None),
        ("/c/{v}/d", "", None),
        ("/c?n={v}", "", "/c?n="),
        ("/c/{v}", "سارا", "/c/%D8%B3%D8%A7%D8%B1%D8%A7"),
    ],
)
def test_a_value_stays_in_its_place_of_an_address(path: str, value: str, target: str | None) -> None:
    filled = fill(Request("crm", path, ()), {"v": value})
    assert (filled.target if filled else None) == target


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_value_is_the_request_stays_the_same_one(value: str, other: str) -> None:
    request = Request(
        "crm", "/a/{v}/b?q={w}", (), headers=(("X-From", "{v}"),), body={"v": "{v}", "list": ["x{w}", 7], "flag": True}
    )  # fmt: skip
    filled = fill(request, {"v": value, "w": other})
    if filled is None:
        return
    path, _, query = filled.target.partition("?")
    assert path.count("/") == 3
    assert query.count("=") == 1
    assert "&" not in query
    assert filled.target.isascii()
    assert filled.target.isprintable()
    assert " " not in filled.target
    ((_, header),) = filled.headers
    assert all(" " <= c <= "~" for c in header)
    body = json.loads(filled.body)
    expected = {"v": value, "list": [f"x{other}", 7], "flag": True}
    assert body == json.loads(json.dumps(expected, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def look_up(**changes: object) -> n.Flow:
    fields: dict[str, object] = {
        "variable": "caller", "then": "hello", "otherwise": "sales", "country": "98", "languages": frozenset({"fa", "en"}),
        "customers": {"989121234567": Customer("4711", "Sara", "gold", "reza", "en")},
    }  # fmt: skip
    node = n.LookUp(**{**fields, **changes})  # type: ignore[arg-type]
    return flow("who", who=node, hello=n.Play(("hello",), "sales"), sales=TO_SALES)


@pytest.mark.parametrize("caller", ["09121234567", "+989121234567", "00989121234567"])
def test_a_customer_is_found_however_the_number_is_written(caller: str) -> None:
    heard = call(look_up(), caller=caller)
    assert (heard.path[0], heard.prompts, heard.asked) == ("who=table", ["en/hello"], [])
    (handed,) = heard.handed
    assert (handed.customer, handed.service_class, handed.preferred_agent, handed.language) == (
        "4711",
        "gold",
        "reza",
        "en",
    )


@pytest.mark.parametrize(
    ("caller", "values", "handed"),
    [
        (
            "0935",
            {"customer": "7", "class": "gold", "agent": "no such!", "language": "de"},
            ("7", "gold", "", "fa"),
        ),
        ("0935", {"customer": "7", "class": "", "agent": "reza"}, ("7", "", "reza", "fa")),
        ("", {}, ("", "", "", "fa")),
    ],
)
def test_whom_the_table_does_not_have_the_service_is_asked_for(
    caller: str, values: dict[str, str], handed: tuple[str, ...]
) -> None:
    wanted = (
        Wanted("customer", "$.id"),
        *(Wanted(name, f"$.{name}", "") for name in ("class", "agent", "language")),
    )
    request = Request("crm", "/?n={number}", wanted)
    heard = call(look_up(request=request), caller=caller, switch=Switch(replies={"who": Reply(values)}))
    assert [asked.target for asked in heard.asked] == (["/?n=98935"] if caller else [])
    (out,) = heard.handed
    assert (out.customer, out.service_class, out.preferred_agent, out.language) == handed


def test_a_survey_has_its_answers_and_ends() -> None:
    def rate(question: str, least: int, most: int, then: str) -> n.Menu:
        digits = {str(score): then for score in range(least, most + 1)}
        return n.Menu(question, digits, "end", 5_000, 2, question=question, least=least, most=most)

    survey = flow(
        "csat",
        "after-call",
        csat=rate("csat", 1, 5, "nps"),
        nps=rate("nps", 0, 10, "why"),
        why=n.TakeAnswer("why?", "why", 60, 4, "end"),
        end=BYE,
    )
    runs = n.Plan({"after-call": survey}, "after-call", None)
    does = [(PLAY_MS + 500, "4"), (2 * PLAY_MS + 1_000, "1"), (2 * PLAY_MS + 1_200, "0")]
    heard = call(runs, does)
    assert [(r.question, r.score, r.least, r.most, r.said_ms) for r in heard.rated] == [
        ("csat", 4, 1, 5, 0), ("nps", 10, 0, 10, 0), ("why", 0, 0, 0, 5_000),
    ]  # fmt: skip
    assert [s.kind for s in heard.steps] == ["rate", "rate", "comment", "hangup"]
    assert (heard.outcome, heard.handed) == ("finished", [])
    assert call(runs, [(PLAY_MS + 500, "9")]).rated == []
    zero = call(runs, [(500, "3"), (700, "0")])
    assert [(r.question, r.score) for r in zero.rated] == [("csat", 3), ("nps", 0), ("why", 0)]


@pytest.mark.parametrize("what", ["broken", "limit"])
def test_a_survey_that_fails_ends_the_call_and_hands_nobody_over(what: str) -> None:
    menu = n.Menu("csat", {"1": "csat"}, "csat", 5_000, 9, question="csat", least=1, most=5)
    runs = n.Plan({"s": flow("csat", "s", csat=menu)}, "s", None)
    does = [(100, "broken")] if what == "broken" else [(100 + 50 * i, "1") for i in range(60)]
    heard = call(runs, does, limits=n.Limits(max_steps=20))
    assert (heard.outcome, heard.ended[0].hang_up, heard.handed) == ("failed", True, [])


def test_a_wish_for_a_survey_goes_with_the_caller() -> None:
    flow_ = flow("wish", wish=n.WishSurvey("after-call", "sales"), sales=TO_SALES)
    heard = call(flow_)
    assert (heard.path[0], heard.handed[0].survey) == ("wish=survey:after-call", "after-call")
    none = call(flow("wish", wish=n.WishSurvey("-", "sales"), sales=TO_SALES))
    assert (none.path[0], none.handed[0].survey) == ("wish=none", "-")


def for_agent(**changes: object) -> n.Flow:
    fields: dict[str, object] = {
        "agent": "sara",
        "queue": "sales",
        "priority": 3,
        "wait_ms": 20_000,
        "away": "gone",
        "busy": "taken",
    }
    node = n.ToAgent(**{**fields, **changes})  # type: ignore[arg-type]
    gone, taken = n.Hangup("gone"), n.Hangup("taken")
    return flow("to", to=node, gone=gone, taken=taken)


@pytest.mark.parametrize(
    ("changes", "agents", "path"),
    [
        ({}, {}, ["to=queue:sales"]),
        ({}, {"sara": "unseen"}, ["to=queue:sales"]),
        ({}, {"sara": "away"}, ["to=away", "gone=gone"]),
        ({}, {"sara": "busy"}, ["to=busy", "taken=taken"]),
        ({"busy": ""}, {"sara": "busy"}, ["to=queue:sales"]),
        ({"agent": "$entry"}, {}, ["to=queue:sales"]),
        ({"agent": "$nobody"}, {}, ["to=nobody", "gone=gone"]),
    ],
)
def test_an_agent_is_looked_for_before_the_caller_waits(
    changes: dict[str, object], agents: dict[str, str], path: list[str]
) -> None:
    heard = call(for_agent(**changes), switch=Switch(agents=agents))
    assert heard.path == path
    for handed in heard.handed:
        assert (handed.queue, handed.priority, handed.preferred_ms) == ("sales", 3, 20_000)
        assert handed.preferred_agent == ("500" if changes.get("agent") else "sara")


def test_where_a_caller_goes_whom_the_agent_does_not_take_goes_with_the_caller() -> None:
    heard = call(for_agent(no_answer="voicemail:leave-message"))
    assert [h.no_answer for h in heard.handed] == ["voicemail:leave-message"]
    heard = call(for_agent(no_answer="voicemail:leave-message"), switch=Switch(agents={"sara": "busy"}))
    assert heard.path == ["to=busy", "taken=taken"], "who is known to talk is not called in vain"


def test_an_agent_whom_nobody_can_see_is_waited_for_all_the_same() -> None:
    heard = call(for_agent(), switch=Switch(mute=frozenset({"LookAtAgent"})))
    assert (heard.path, heard.handed[0].preferred_agent) == (["to=queue:sales"], "sara")
    assert heard.duration_ms == n.Limits().look_ms + 20


def early(runs: n.Flow, does: list[tuple[int, str]] | None = None) -> tuple[list[str], str]:
    """What is done and where a call ends that nobody has answered: prompts, and ``answer`` in its place."""
    begun = m.Begun(START_US, ("en",), "1", "5", answered=False)
    events = [m.KeyPressed(START_US + ms * 1000, key) for ms, key in does or []]
    heard = Rehearsal(plan(runs), begun).run(events)
    done = {m.AnswerCall: "answer", m.HandOver: "hand over", m.Transfer: "transfer"}
    found = [o.prompt if isinstance(o, m.PlayPrompt) else done.get(type(o), "") for o in heard.outputs]
    return [what for what in found if what], heard.outcome


@pytest.mark.parametrize(
    ("node", "done", "outcome"),
    [
        (BYE, ["hello"], "finished"),
        (n.Answer("bye"), ["hello", "answer"], "finished"),
        (n.Menu("menu", {"1": "bye"}, "bye", 1_000, 1), ["hello", "answer", "menu"], "finished"),
        (n.TakeMessage("leave", "q", 9, 3, 0, "bye", "bye"), ["hello", "answer", "leave"], "finished"),
        (n.ToQueue("q", 0), ["hello", "answer", "hand over"], "handed_over"),
        (n.ToNumber("+98"), ["hello", "answer", "transfer"], "transferred"),
        (n.Return("x"), ["hello", "answer", "hand over"], "handed_over"),
    ],
)
def test_who_needs_the_caller_answers_and_nobody_else(node: n.Node, done: list[str], outcome: str) -> None:
    assert early(flow("hello", hello=n.Play(("hello",), "next"), next=node, bye=BYE)) == (done, outcome)


def test_a_call_is_answered_once() -> None:
    answers = flow("one", one=n.Answer("two"), two=n.Answer("q"), q=n.ToQueue("q", 0))
    assert early(answers)[0] == ["answer", "hand over"]
    assert not any(isinstance(o, m.AnswerCall) for o in call(answers).outputs), "the dialplan has"
