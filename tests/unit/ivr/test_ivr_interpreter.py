"""What a caller does, hears, and where it ends."""

from __future__ import annotations

import pytest

from services.ivr.core import model as m
from services.ivr.core import nodes as n
from tests.unit.ivr.caller import PLAY_MS, Switch, calendar, call, flow

BYE = n.Hangup()
TO_SALES = n.ToQueue("sales", 5, ("en:3",))
TO_HELP = n.ToQueue("help", 0)
MENU = n.Menu("menu", {"1": "sales", "2": "help", "23": "bye"}, "help", 5_000, 3, "invalid")
FLOW = flow("hello", hello=n.Play(("welcome",), "menu"), menu=MENU, sales=TO_SALES, help=TO_HELP, bye=BYE)

WELCOME = PLAY_MS
MENU_END = 2 * PLAY_MS


@pytest.mark.parametrize(
    ("does", "hears", "path", "outcome"),
    [
        pytest.param(
            [(MENU_END + 500, "1")],
            ["fa/welcome", "fa/menu"],
            ["hello=played", "menu=digit:1", "sales=queue:sales"],
            "handed_over",
            id="a choice after the prompt",
        ),
        pytest.param(
            [(WELCOME + 500, "1")],
            ["fa/welcome", "fa/menu"],
            ["hello=played", "menu=digit:1", "sales=queue:sales"],
            "handed_over",
            id="a choice breaks the menu prompt off",
        ),
        pytest.param(
            [(500, "1")],
            ["fa/welcome"],
            ["hello=played", "menu=digit:1", "sales=queue:sales"],
            "handed_over",
            id="a key during the announcement counts, and the menu prompt is skipped",
        ),
        pytest.param(
            [(MENU_END + 500, "2")],
            ["fa/welcome", "fa/menu"],
            ["hello=played", "menu=digit:2", "help=queue:help"],
            "handed_over",
            id="a key that could go on is taken after the gap",
        ),
        pytest.param(
            [(MENU_END + 500, "2"), (MENU_END + 900, "3")],
            ["fa/welcome", "fa/menu"],
            ["hello=played", "menu=digit:23", "bye=done"],
            "finished",
            id="two keys make the longer choice",
        ),
        pytest.param(
            [(MENU_END + 500, "2"), (MENU_END + 900, "9"), (MENU_END + PLAY_MS + 2_000 + PLAY_MS, "1")],
            ["fa/welcome", "fa/menu", "fa/invalid", "fa/menu"],
            ["hello=played", "menu=digit:1", "sales=queue:sales"],
            "handed_over",
            id="a wrong second key starts another round",
        ),
        pytest.param(
            [],
            ["fa/welcome", "fa/menu", "fa/menu", "fa/menu"],
            ["hello=played", "menu=timeout", "help=queue:help"],
            "handed_over",
            id="silence leads to otherwise after all rounds",
        ),
        pytest.param(
            [(4_500, "7"), (9_000, "8"), (13_500, "*")],
            ["fa/welcome", "fa/menu", "fa/invalid", "fa/menu", "fa/invalid", "fa/menu"],
            ["hello=played", "menu=invalid", "help=queue:help"],
            "handed_over",
            id="wrong keys lead to otherwise after all rounds",
        ),
        pytest.param(
            [(4_500, "7"), (4_700, "1")],
            ["fa/welcome", "fa/menu", "fa/invalid"],
            ["hello=played", "menu=digit:1", "sales=queue:sales"],
            "handed_over",
            id="a key during the invalid prompt is the next choice",
        ),
        pytest.param(
            [(500, "7"), (600, "1")],
            ["fa/welcome", "fa/invalid", "fa/menu", "fa/menu"],
            ["hello=played", "menu=timeout", "help=queue:help"],
            "handed_over",
            id="a wrong key throws the keys behind it away",
        ),
        pytest.param(
            [(300, "hangup")], ["fa/welcome"], ["hello=hung_up"], "hung_up", id="hang-up in a prompt"
        ),
        pytest.param(
            [(MENU_END + 100, "hangup")],
            ["fa/welcome", "fa/menu"],
            ["hello=played", "menu=hung_up"],
            "hung_up",
            id="hang-up in a menu",
        ),
        pytest.param([(100, "lost")], ["fa/welcome"], ["hello=lost"], "failed", id="the connection breaks"),
    ],
)
def test_menu(does: list[tuple[int, str]], hears: list[str], path: list[str], outcome: str) -> None:
    heard = call(FLOW, does)
    assert heard.prompts == hears
    assert heard.path == path
    assert heard.outcome == outcome
    assert [step.step_no for step in heard.steps] == list(range(1, len(heard.steps) + 1))


def test_hand_over_says_everything_the_queue_needs() -> None:
    heard = call(FLOW, [(500, "1")])
    assert heard.handed == [m.HandOver("sales", 5, ("en:3",), "fa", "")]
    assert not heard.ended[0].hang_up


def test_hang_up_while_the_hand_over_is_written_is_no_hand_over() -> None:
    heard = call(FLOW, [(500, "1"), (WELCOME + 10, "hangup")])
    assert heard.outcome == "hung_up"
    assert heard.path[-1] == "sales=queue:sales", "the step is not reported twice"


@pytest.mark.parametrize(
    ("does", "customer", "path"),
    [
        ([(2_500, "1"), (2_700, "2"), (2_900, "3"), (3_100, "#")], "123", "ask=entered"),
        ([(2_500, "1"), (2_700, "2"), (2_900, "3"), (3_100, "4")], "1234", "ask=entered"),
        ([(500, "1"), (600, "2"), (700, "#")], "12", "ask=entered"),
        ([(2_500, "9"), (2_700, "*"), (2_900, "1"), (3_100, "2"), (3_300, "#")], "12", "ask=entered"),
        ([(2_500, "1"), (2_600, "2")], "12", "ask=entered"),
        ([(2_500, "1")], "", "ask=timeout"),
        ([(2_500, "#")], "", "ask=timeout"),
        ([], "", "ask=timeout"),
    ],
    ids=[
        "pound",
        "full",
        "early-start",
        "star-clears",
        "timeout-takes-enough",
        "too-few",
        "pound-only",
        "silence",
    ],
)
def test_ask(does: list[tuple[int, str]], customer: str, path: str) -> None:
    ask = n.Ask("number?", "customer", 2, 4, 5_000, 2, "sales", "sales")
    heard = call(flow("ask", ask=ask, sales=TO_SALES), does)
    assert heard.handed[0].customer == customer
    assert heard.path[0] == path
    assert customer == "" or all(customer not in entry for entry in heard.path), (
        "digits stay out of the report"
    )


def test_pound_after_a_full_input_is_no_key_for_the_next_menu() -> None:
    ask = n.Ask("number?", "customer", 4, 4, 5_000, 1, "menu", "sales")
    menu = n.Menu("menu", {"#": "bye", "1": "sales"}, "sales", 5_000, 1)
    nodes = flow("ask", ask=ask, menu=menu, sales=TO_SALES, bye=BYE)
    keys = [(2_500 + 100 * i, key) for i, key in enumerate("1234#")]
    assert call(nodes, keys).path[1] == "menu=timeout"
    assert call(nodes, [*keys, (6_000, "#")]).path[1] == "menu=digit:#"
    typed_at_once = [(1_000 + 10 * i, key) for i, key in enumerate("1234#1")]
    assert call(nodes, typed_at_once).path[1] == "menu=digit:1"


def test_say_reads_out_variables_and_skips_what_has_no_digits() -> None:
    say = flow("caller", caller=n.Say("caller", "digits", "one"), one=n.Say("0042", "number", "bye"), bye=BYE)
    heard = call(say)
    assert heard.prompts == ["fa/09121234567 as digits", "fa/0042 as number"]
    says = [output for output in heard.outputs if isinstance(output, m.SayText)]
    assert [say.form for say in says] == ["digits", "number"]
    assert call(say, caller="").path[0] == "caller=empty"


@pytest.mark.parametrize(
    ("periods", "outcome"), [([(0, 1440)], "finished"), ([], "closed"), ([(0, 1)], "closed")]
)
def test_hours(periods: list[tuple[int, int]], outcome: str) -> None:
    hours = flow(
        "hours",
        hours=n.Hours(calendar(*periods), "bye", "closed", "closed"),
        closed=n.Play(("closed",), "bye"),
        bye=BYE,
    )
    heard = call(hours)
    assert heard.outcome == outcome
    assert heard.ended[0].hang_up
    assert heard.prompts == (["fa/closed"] if outcome == "closed" else [])


TRANSFER = flow("out", out=n.ToNumber("+98212", "sorry"), sorry=n.Play(("sorry",), "bye"), bye=BYE)


@pytest.mark.parametrize(
    ("does", "transfer", "outcome", "path"),
    [
        ([], ("SUCCESS", 30_000), "transferred", ["out=connected"]),
        ([], ("USER_BUSY", 2_000), "finished", ["out=failed:USER_BUSY", "sorry=played", "bye=done"]),
        ([(1_000, "hangup")], ("SUCCESS", 30_000), "hung_up", ["out=hung_up"]),
        ([(9_000, "hangup")], ("SUCCESS", 30_000), "transferred", ["out=connected"]),
        ([(9_000, "5")], ("SUCCESS", 30_000), "transferred", ["out=connected"]),
    ],
    ids=["talked", "busy", "caller leaves while it rings", "caller ends the conversation", "keys do nothing"],
)
def test_transfer(
    does: list[tuple[int, str]], transfer: tuple[str, int], outcome: str, path: list[str]
) -> None:
    heard = call(TRANSFER, does, switch=Switch(transfer=transfer))
    assert (heard.outcome, heard.path) == (outcome, path)


def test_failed_transfer_without_otherwise_goes_to_the_fallback_queue() -> None:
    heard = call(flow("out", out=n.ToNumber("+98212")), switch=Switch(transfer=("NO_ANSWER", 45_000)))
    assert heard.outcome == "handed_over"
    assert heard.handed[0].queue == "fallback"


def test_a_conversation_may_last_longer_than_the_time_in_a_flow() -> None:
    heard = call(TRANSFER, limits=n.Limits(max_time_ms=10_000), switch=Switch(transfer=("SUCCESS", 100_000)))
    assert heard.outcome == "transferred"
    failed = call(
        TRANSFER, limits=n.Limits(max_time_ms=10_000), switch=Switch(transfer=("NO_ANSWER", 45_000))
    )
    assert failed.path == ["out=failed:NO_ANSWER", "sorry=limit"]
    assert failed.handed[0].queue == "fallback"


def test_missing_prompts_are_tried_in_every_language_then_spoken_and_then_skipped() -> None:
    heard = call(FLOW, [(2_600, "1")], switch=Switch(missing=frozenset({("fa", "welcome")})))
    assert heard.prompts == ["en/welcome", "fa/menu"]
    assert heard.missing == [
        m.PromptMissing("test", "hello", "welcome", "fa", given_up=False, at_us=heard.missing[0].at_us)
    ]
    gone = {(language, prompt) for language in ("fa", "en") for prompt in ("welcome", "menu")}
    heard = call(FLOW, [(5_500, "1")], switch=Switch(missing=frozenset(gone)))
    assert heard.prompts == ["fa/welcome as speech", "fa/menu as speech"]
    assert [missing.given_up for missing in heard.missing] == [False, False, False, False]
    gone |= {("fa", "speech"), ("en", "speech")}
    heard = call(FLOW, [(1, "1")], switch=Switch(missing=frozenset(gone)))
    assert heard.prompts == []
    assert [missing.given_up for missing in heard.missing] == [False, False, True]
    assert heard.path == ["hello=missing", "menu=digit:1", "sales=queue:sales"]


def test_the_time_limit_breaks_the_prompt_off_and_hands_over() -> None:
    heard = call(FLOW, limits=n.Limits(max_time_ms=3_000))
    assert heard.path == ["hello=played", "menu=limit"]
    assert heard.handed[0].queue == "fallback"
    assert any(isinstance(output, m.StopPlaying) for output in heard.outputs)


def test_the_step_limit_hands_over() -> None:
    round_trip = n.Menu("menu", {"1": "again"}, "help", 5_000, 1)
    loop = flow(
        "menu", menu=round_trip, again=n.Hours(calendar((0, 1440)), "menu", "menu", "menu"), help=TO_HELP
    )
    keys = [(50 * i, "1") for i in range(500)]
    heard = call(loop, keys, limits=n.Limits(max_steps=50))
    assert len(heard.steps) == 51
    assert heard.path[-1].endswith("=limit")
    assert heard.handed[0].queue == "fallback"


@pytest.mark.parametrize("at_ms", [100, MENU_END + 100, 2_700])
def test_an_internal_error_hands_over_to_the_fallback_queue(at_ms: int) -> None:
    heard = call(FLOW, [(at_ms, "broken")])
    assert heard.outcome == "handed_over"
    assert heard.handed[0].queue == "fallback"
    assert heard.path[-1].endswith("=error")


def test_an_error_in_the_hand_over_lets_go_without_a_confirmation() -> None:
    heard = call(FLOW, [(500, "1"), (WELCOME + 5, "broken")])
    assert (heard.outcome, heard.ended[0].cause) == ("handed_over", "unconfirmed")


def test_a_flow_with_a_hole_hands_over() -> None:
    heard = call(flow("hello", hello=n.Play(("welcome",), "nowhere")))
    assert heard.path == ["hello=played", "nowhere=error"]
    assert heard.steps[-1].kind == "missing"
    assert heard.handed[0].queue == "fallback"
