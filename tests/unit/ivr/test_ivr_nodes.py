"""What each kind of node lets a caller hear and where it leads, beside menus, hours and transfers."""

from __future__ import annotations

import pytest

from services.ivr.core import model as m
from services.ivr.core import nodes as n
from services.ivr.core.rehearsal import PLAY_MS
from tests.unit.ivr.caller import QueueNow, Switch, calendar, call, flow, plan

BYE = n.Hangup()
TO_SALES = n.ToQueue("sales", 0)
DIGITS = "0123456789"


def ask(**changes: object) -> n.Flow:
    fields: dict[str, object] = {
        "prompt": "number?", "into": "customer", "min_digits": 4, "max_digits": 4, "timeout_ms": 5_000, "tries": 2,
        "then": "sales", "otherwise": "bye",
    }  # fmt: skip
    return flow("ask", ask=n.Ask(**{**fields, **changes}), sales=TO_SALES, bye=BYE)  # type: ignore[arg-type]


def keys(text: str, at_ms: int = PLAY_MS + 500, gap_ms: int = 200) -> list[tuple[int, str]]:
    return [(at_ms + gap_ms * i, key) for i, key in enumerate(text)]


@pytest.mark.parametrize(
    ("changes", "does", "steps"),
    [
        ({"patterns": (("4", DIGITS, DIGITS, DIGITS),)}, keys("4711"), [("entered", "4711")]),
        (
            {"patterns": (("4", DIGITS, DIGITS, DIGITS), ("5", "5", "5", "56"))},
            keys("5556"),
            [("entered", "5556")],
        ),
        ({"patterns": (("5", "5", "5", "56"),), "tries": 1}, keys("5557"), [("invalid", "")]),
        (
            {"luhn": True, "min_digits": 16, "max_digits": 16},
            keys("4539578763621486"),
            [("entered", "4539578763621486")],
        ),
        ({"luhn": True, "min_digits": 16, "max_digits": 16, "tries": 1}, keys("4539578763621487"), [("invalid", "")]),
        ({"secret": True}, keys("4711"), [("entered", m.HIDDEN)]),
        ({"ends_with": "*", "min_digits": 2}, keys("47*"), [("entered", "47")]),
        ({"ends_with": "*", "min_digits": 2}, keys("99#47*"), [("entered", "47")]),
        ({"ends_with": "", "min_digits": 2}, keys("9#8*4711"), [("entered", "4711")]),
        ({"min_digits": 1, "gap_ms": 1_000}, keys("12"), [("entered", "12")]),
        ({"min_digits": 3, "gap_ms": 1_000, "tries": 1}, keys("12") + keys("34", 9_000), [("invalid", "")]),
    ],
    ids=[
        "pattern", "second pattern", "range", "check digit", "wrong check digit", "secret", "star ends",
        "pound erases where star ends", "both erase", "the gap ends", "too short after the gap",
    ],
)  # fmt: skip
def test_digits(
    changes: dict[str, object], does: list[tuple[int, str]], steps: list[tuple[str, str]]
) -> None:
    heard = call(ask(**changes), does)
    assert [(step.result, step.input) for step in heard.steps if step.node == "ask"] == steps
    is_hidden = any(isinstance(output, m.HideKeys) for output in heard.outputs)
    assert is_hidden is bool(changes.get("secret"))


def test_the_gap_between_keys_is_not_the_time_before_the_first() -> None:
    flow_ = ask(min_digits=1, timeout_ms=5_000, gap_ms=1_000)
    heard = call(flow_, keys("12"))
    assert heard.duration_ms == PLAY_MS + 500 + 200 + 1_000 + 20
    assert call(flow_, keys("12", PLAY_MS + 4_000)).path[0] == "ask=entered"


def test_an_input_that_is_not_accepted_is_asked_for_again_after_a_word() -> None:
    does = [*keys("1111"), *keys("5555", 20_000)]
    heard = call(ask(patterns=(("5",) * 4,), invalid="wrong", timeout_ms=60_000), does)
    assert heard.prompts == ["fa/number?", "fa/wrong", "fa/number?"]
    assert heard.handed[0].customer == "5555"


def test_the_choice_of_a_language_is_asked_in_each_and_holds() -> None:
    choose = n.ChooseLanguage("choose", {"1": "fa", "2": "en"}, 3_000, 2, "hello", "hello")
    flow_ = flow("choose", choose=choose, hello=n.Play(("hello",), "sales"), sales=TO_SALES)
    heard = call(flow_, [(2 * PLAY_MS + 500, "2")])
    assert heard.prompts == ["fa/choose", "en/choose", "en/hello"]
    assert heard.path[0] == "choose=language:en"
    assert heard.handed[0].language == "en"
    silent = call(flow_)
    assert silent.prompts == ["fa/choose", "en/choose"] * 2 + ["fa/hello"]
    assert silent.path[0] == "choose=timeout"
    early = call(flow_, [(500, "2")])
    assert early.prompts == ["fa/choose", "en/hello"], "a key ends both"
    wrong = call(flow_, [(500, "7"), (5_000, "7")])
    assert wrong.path[0] == "choose=invalid"


def test_several_prompts_are_one_announcement_that_a_key_may_end() -> None:
    def announced(*, skip: bool) -> n.Flow:
        menu = n.Menu("menu", {"1": "sales"}, "bye", 5_000, 1)
        return flow("news", news=n.Play(("one", "two"), "menu", skip), menu=menu, sales=TO_SALES, bye=BYE)

    assert call(announced(skip=False), [(500, "1")]).prompts == ["fa/one", "fa/two"]
    skipped = call(announced(skip=True), [(500, "1")])
    assert (skipped.prompts, skipped.path) == (
        ["fa/one"],
        ["news=skipped", "menu=digit:1", "sales=queue:sales"],
    )


@pytest.mark.parametrize(
    ("caller", "result"),
    [
        ("0912", "is:0912"),
        ("02188", "begins:021"),
        ("25", "between:18-65"),
        ("66", "otherwise"),
        ("", "is:"),
        ("٢٥", "otherwise"),
    ],
)
def test_branch(caller: str, result: str) -> None:
    branch = n.Branch("caller", {"0912": "bye", "": "bye"}, {"021": "bye"}, ((18, 65, "bye"),), "sales")
    heard = call(flow("which", which=branch, sales=TO_SALES, bye=BYE), caller=caller)
    assert heard.path[0] == f"which={result}"
    assert heard.outcome == ("handed_over" if result == "otherwise" else "finished")


def test_what_a_secret_is_does_not_show_in_the_way_it_leads() -> None:
    flow_ = flow(
        "ask",
        ask=n.Ask("pin?", "pin", 4, 4, 5_000, 1, "which", "bye", secret=True),
        which=n.Branch("pin", {"4711": "sales"}, {}, (), "bye", secret=True),
        sales=TO_SALES,
        bye=BYE,
    )
    heard = call(flow_, keys("4711"))
    assert heard.path == ["ask=entered", "which=matched", "sales=queue:sales"]
    assert "4711" not in str([output for output in heard.outputs if isinstance(output, m.StepTaken)])


@pytest.mark.parametrize(
    ("queues", "result"),
    [
        ({"sales": QueueNow(waiting=6)}, "waiting"),
        ({"sales": QueueNow(waiting=5, longest_ms=60_001)}, "longest"),
        ({"sales": QueueNow(waiting=5, ready=0)}, "ready"),
        ({"sales": QueueNow(waiting=5, longest_ms=60_000, ready=1)}, "otherwise"),
        ({}, "unknown"),
    ],
)
def test_look(queues: dict[str, QueueNow], result: str) -> None:
    look = n.Look("sales", "bye", "sales", waiting_over=5, longest_over_ms=60_000, ready_under=1)
    heard = call(flow("full", full=look, sales=TO_SALES, bye=BYE), switch=Switch(queues=queues))
    assert heard.path[0] == f"full={result}"
    assert heard.outcome == ("handed_over" if result in ("otherwise", "unknown") else "finished")


def test_an_answer_about_a_queue_that_never_comes_is_no_answer() -> None:
    look = n.Look("sales", "bye", "sales", waiting_over=0)
    switch = Switch(queues={"sales": QueueNow(9)}, mute=frozenset({"LookAtQueue"}))
    heard = call(flow("full", full=look, sales=TO_SALES, bye=BYE), switch=switch)
    assert heard.path[0] == "full=unknown"
    assert heard.duration_ms == n.Limits().look_ms + 20


def test_split_is_the_same_for_a_call_and_fair_over_calls() -> None:
    flow_ = flow("split", split=n.Split((("sales", 30), ("bye", 70))), sales=TO_SALES, bye=BYE)
    ways = [call(flow_, chance=chance).path[0] for chance in range(1_000)]
    assert ways == [call(flow_, chance=chance).path[0] for chance in range(1_000)]
    # 300 are expected; 4 standard deviations of the binomial are 58.
    assert abs(ways.count("split=split:sales") - 300) < 58


def test_splits_of_a_call_are_independent() -> None:
    flow_ = flow(
        "one",
        one=n.Split((("two", 50), ("bye", 50))),
        two=n.Split((("sales", 50), ("bye", 50))),
        sales=TO_SALES,
        bye=BYE,
    )
    both = sum(call(flow_, chance=chance).outcome == "handed_over" for chance in range(1_000))
    assert abs(both - 250) < 55


def test_variables_are_set_copied_and_handed_over() -> None:
    flow_ = flow(
        "set",
        set=n.Assign({"customer": "$caller", "language": "en", "x": "$nobody"}, "hello"),
        hello=n.Play(("hello",), "sales"),
        sales=TO_SALES,
    )
    heard = call(flow_)
    assert heard.prompts == ["en/hello"]
    assert (heard.handed[0].customer, heard.handed[0].language) == ("09121234567", "en")


@pytest.mark.parametrize(
    ("message_ms", "path"),
    [(5_000, "message=recorded"), (900, "message=nothing"), (0, "message=nothing")],
)
def test_a_message(message_ms: int, path: str) -> None:
    take = n.TakeMessage("leave", "sales", 60, 5, 1_000, "thanks", "sorry")
    flow_ = flow(
        "message", message=take, thanks=n.Play(("thanks",), "bye"), sorry=n.Play(("sorry",), "bye"), bye=BYE
    )
    heard = call(flow_, [(500, "1")], switch=Switch(message_ms=message_ms))
    assert heard.path[0] == path
    assert heard.prompts[:2] == ["fa/leave", "beep"], "a key does not skip the prompt"
    assert heard.messages == (["sales"] if message_ms else [])
    assert heard.outcome == "finished"


def test_a_recording_whose_end_never_comes() -> None:
    take = n.TakeMessage("leave", "sales", 60, 5, 1_000, "bye", "bye")
    heard = call(flow("message", message=take, bye=BYE), switch=Switch(mute=frozenset({"RecordMessage"})))
    assert heard.path == ["message=limit"]
    assert isinstance(heard.outputs[-5], m.StopPlaying)
    assert heard.handed[0].queue == "fallback"
    assert heard.duration_ms == PLAY_MS + 60_000 + n.Limits().grace_ms + 20


SUB = flow(
    "ask",
    "sub",
    ask=n.Menu("sure?", {"1": "yes", "2": "main"}, "no", 5_000, 1),
    yes=n.Return("yes"),
    no=n.Return("no"),
    main=n.GoTo("main"),
)
MAIN = flow(
    "first",
    "main",
    first=n.CallFlow("sub", {"x": "1"}, {"yes": "second", "no": "bye"}),
    second=n.CallFlow("sub", {}, {"yes": "sales", "no": "bye"}),
    sales=TO_SALES,
    bye=BYE,
)


def test_flows_call_each_other_and_come_back_where_they_were_called() -> None:
    heard = call(plan(MAIN, SUB), [(100, "1"), (5_000, "1")])
    assert [f"{s.flow}.{s.node}={s.result}" for s in heard.steps] == [
        "main.first=call:sub", "sub.ask=digit:1", "sub.yes=return:yes",
        "main.second=call:sub", "sub.ask=digit:1", "sub.yes=return:yes", "main.sales=queue:sales",
    ]  # fmt: skip
    assert call(plan(MAIN, SUB), [(100, "1")]).path[-1] == "bye=done"


def test_going_on_in_another_flow_forgets_who_called() -> None:
    heard = call(plan(MAIN, SUB), [(100, "2"), (5_000, "1"), (9_000, "1")])
    assert [s.node for s in heard.steps][:4] == ["first", "ask", "main", "first"]
    assert heard.outcome == "handed_over"


def test_calls_without_end_are_bounded_as_everything_is() -> None:
    deep = flow("again", "deep", again=n.CallFlow("deep", {}, {"x": "again"}))
    heard = call(deep, limits=n.Limits(max_steps=20))
    assert heard.path[-1] == "again=limit"
    assert heard.handed[0].queue == "fallback"


def test_a_return_that_nobody_waits_for_hands_over() -> None:
    heard = call(flow("back", back=n.Return("x")))
    assert (heard.path, heard.handed[0].queue) == (["back=error"], "fallback")


def test_a_transfer_that_is_never_answered_nor_refused() -> None:
    switch = Switch(mute=frozenset({"Transfer"}))
    heard = call(flow("out", out=n.ToNumber("+98")), switch=switch)
    assert (heard.path, heard.handed[0].queue) == (["out=limit"], "fallback")
    assert heard.duration_ms == n.Limits().ring_ms + 20


def test_a_hand_over_that_is_never_confirmed_lets_go() -> None:
    heard = call(flow("sales", sales=TO_SALES), switch=Switch(mute=frozenset({"HandOver"})))
    assert (heard.outcome, heard.ended[0].cause) == ("handed_over", "unconfirmed")


def test_the_emergency_switch_comes_before_the_hours() -> None:
    hours = n.Hours(calendar((0, 1440), emergency=True), "sales", "bye", "alarm")
    heard = call(flow("hours", hours=hours, alarm=n.Play(("alarm",), "bye"), sales=TO_SALES, bye=BYE))
    assert (heard.prompts, heard.outcome) == (["fa/alarm"], "closed")


def test_a_question_is_reported_by_its_answer() -> None:
    question = n.Menu("sure?", {"1": "sales", "2": "bye"}, "bye", 5_000, 1, answers={"1": "yes", "2": "no"})
    heard = call(flow("sure", sure=question, sales=TO_SALES, bye=n.Hangup("told")), [(100, "2")])
    assert [(s.kind, s.result, s.input) for s in heard.steps] == [
        ("confirm", "no", "2"),
        ("hangup", "told", ""),
    ]


def test_what_cannot_be_said_is_passed_over_once() -> None:
    from services.ivr.core.interpreter import Interpreter
    from services.ivr.core.state import State

    flow_ = flow("say", say=n.Say("20261399", "date", "bye"), bye=BYE)
    interpreter = Interpreter(plan(flow_), n.Limits())
    state, outputs = interpreter.step(State(), m.Begun(1, ("fa", "en"), "", "500"))
    spoken = next(output for output in outputs if isinstance(output, m.SayText))
    _, outputs = interpreter.step(state, m.PlayEnded(2, spoken.play, heard=True, said=False))
    assert [o.result for o in outputs if isinstance(o, m.StepTaken)] == ["unsayable", "done"]
    assert not any(isinstance(output, m.SayText | m.PromptMissing) for output in outputs)
