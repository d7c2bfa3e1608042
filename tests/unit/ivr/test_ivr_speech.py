"""Texts that a voice speaks, prompts that vanished, and callers who speak: what the interpreter does."""

from __future__ import annotations

import pytest

from services.ivr.core import model as m
from services.ivr.core import nodes as n
from services.ivr.core.interpreter import Interpreter
from services.ivr.core.rehearsal import PLAY_MS, Act, Heard, Rehearsal
from services.ivr.core.state import State
from tests.unit.ivr.caller import START_US, Switch, call, flow, plan

BYE = n.Hangup()
SALES = n.ToQueue("sales", 0)
NO_VOICE = frozenset({("fa", "speech"), ("en", "speech")})
GONE = frozenset({("fa", "p"), ("en", "p")})


def spoken(**changes: object) -> n.Flow:
    fields: dict[str, object] = {
        "texts": {"fa": "از {caller}", "en": "from {caller}"},
        "then": "sales",
        "otherwise": "bye",
    }
    return flow("speak", speak=n.Speak(**{**fields, **changes}), sales=SALES, bye=BYE)  # type: ignore[arg-type]


def test_a_text_is_spoken_with_what_its_variables_have() -> None:
    heard = call(spoken())
    assert heard.prompts == ["fa/از 09121234567 as speech"]
    assert heard.path == ["speak=played", "sales=queue:sales"]


def test_the_next_language_speaks_where_a_voice_fails_then_the_failure_edge() -> None:
    other = call(spoken(), switch=Switch(frozenset({("fa", "speech")})))
    assert other.prompts == ["en/from 09121234567 as speech"]
    assert [(x.prompt, x.language, x.given_up, x.by_voice) for x in other.missing] == [
        ("speech", "fa", False, True)
    ]
    none = call(spoken(), switch=Switch(NO_VOICE))
    assert none.path == ["speak=missing", "bye=done"]
    assert [(x.language, x.given_up) for x in none.missing] == [("fa", False), ("en", True)]
    nothing = call(spoken(texts={"de": "Hallo"}))
    assert nothing.path == ["speak=missing", "bye=done"]


def test_a_key_ends_what_is_spoken_and_counts_for_the_menu() -> None:
    menu = n.Menu("menu", {"1": "sales"}, "bye", 5_000, 1)
    flow_ = flow("say", say=n.Speak({"fa": "x"}, "menu", "bye", skip=True), menu=menu, sales=SALES, bye=BYE)
    assert call(flow_, [(500, "1")]).path == ["say=skipped", "menu=digit:1", "sales=queue:sales"]


@pytest.mark.parametrize(
    ("missing", "prompts", "facts", "path"),
    [
        (frozenset({("fa", "p")}), ["en/p"], [("fa", False, False)], "play=played"),
        (GONE, ["fa/p as speech"], [("fa", False, False), ("en", False, False)], "play=played"),
        (
            GONE | NO_VOICE,
            [],
            [("fa", False, False), ("en", False, False), ("fa", True, True)],
            "play=missing",
        ),
    ],
    ids=["next language", "voice", "failure edge"],
)
def test_a_prompt_that_vanished(
    missing: frozenset[tuple[str, str]], prompts: list[str], facts: list[tuple[str, bool, bool]], path: str
) -> None:
    flow_ = flow("play", play=n.Play(("p",), "sales", otherwise="bye"), sales=SALES, bye=BYE)
    heard = call(flow_, switch=Switch(missing))
    assert heard.prompts == prompts
    assert [(x.language, x.given_up, x.by_voice) for x in heard.missing] == facts
    assert heard.path == [path, "bye=done" if path == "play=missing" else "sales=queue:sales"]


def test_numbers_without_recordings_are_spoken_too() -> None:
    flow_ = flow("say", say=n.Say("125000", "number", "sales", otherwise="bye"), sales=SALES, bye=BYE)
    missing = frozenset({("fa", "number"), ("en", "number")})
    assert call(flow_, switch=Switch(missing)).prompts == ["fa/125000 as speech"]
    assert call(flow_, switch=Switch(missing | NO_VOICE)).path == ["say=missing", "bye=done"]


def test_an_announcement_without_an_edge_for_it_is_passed_over() -> None:
    flow_ = flow("play", play=n.Play(("p",), "sales"), sales=SALES)
    assert call(flow_, switch=Switch(GONE | NO_VOICE)).path == ["play=missing", "sales=queue:sales"]


@pytest.mark.parametrize(
    "node",
    [
        n.Menu("p", {"1": "sales"}, "bye", 5_000, 3),
        n.Ask("p", "x", 1, 4, 5_000, 3, "sales", "bye"),
        n.ChooseLanguage("p", {"1": "fa", "2": "en"}, 5_000, 3, "sales", "bye"),
        n.Listen("p", {"fa": {"sales": ("buy",)}}, {"1": "sales"}, "bye", 5_000, 3, 5_000),
    ],
    ids=["menu", "ask", "language", "listen"],
)
def test_nobody_waits_for_the_answer_to_a_question_that_could_not_be_heard(node: n.Node) -> None:
    heard = call(flow("q", q=node, sales=SALES, bye=BYE), switch=Switch(GONE | NO_VOICE))
    assert heard.path == ["q=missing", "bye=done"]
    assert heard.duration_ms < 2_000
    keyed = call(flow("q", q=node, sales=SALES, bye=BYE), [(2, "1")], switch=Switch(GONE | NO_VOICE))
    assert keyed.path[0] != "q=missing", "who knows the answer anyway is heard"


# -- callers who speak


def listening(**changes: object) -> n.Flow:
    fields: dict[str, object] = {
        "prompt": "wish", "phrases": {"fa": {"sales": ("buy", "sales"), "bye": ("goodbye",)}},
        "digits": {"1": "sales", "2": "bye"}, "otherwise": "fallback", "timeout_ms": 4_000, "tries": 2, "most_ms": 6_000,
        "invalid": "what",
    }  # fmt: skip
    fallback = n.ToQueue("other", 0)
    node = n.Listen(**{**fields, **changes})  # type: ignore[arg-type]
    return flow("wish", wish=node, sales=SALES, bye=BYE, fallback=fallback, silent=n.Hangup("silent"))


def says(flow_: n.Flow, *acts: Act, **switch: object) -> Heard:
    begun = m.Begun(START_US, ("fa", "en"), "0912", "500")
    return Rehearsal(plan(flow_), begun, switch=Switch(**switch)).run(acts=acts)  # type: ignore[arg-type]


def test_a_word_leads_where_its_phrase_does() -> None:
    heard = says(listening(), Act(says="I want to buy"))
    assert heard.path == ["wish=said:sales", "sales=queue:sales"]
    assert heard.steps[0].input == "buy"


def test_a_voice_ends_the_prompt_and_is_understood_after_it() -> None:
    heard = says(listening(), Act(says="goodbye", during="wish"))
    assert heard.path == ["wish=said:bye", "bye=done"]
    kinds = [type(output).__name__ for output in heard.outputs]
    assert kinds.index("StopPlaying") < kinds.index("StepTaken")
    assert heard.duration_ms < PLAY_MS + 1_500


def test_a_prompt_that_may_not_be_interrupted_is_heard_to_its_end() -> None:
    heard = says(listening(interrupt=False), Act(says="goodbye"))
    kinds = [type(output).__name__ for output in heard.outputs]
    assert kinds.index("PlayPrompt") < kinds.index("HearCaller")
    assert "StopPlaying" not in kinds
    assert heard.path[0] == "wish=said:bye"


def test_who_is_not_understood_is_asked_again_and_goes_on_by_otherwise() -> None:
    heard = says(listening(), Act(says="eels"), Act(says="elephants"))
    assert heard.prompts == ["fa/wish", "fa/what", "fa/wish"]
    assert heard.path == ["wish=not_understood", "fallback=queue:other"]


def test_who_says_nothing_may_have_a_way_of_their_own() -> None:
    assert says(listening()).path[0] == "wish=timeout"
    silent = says(listening(silent="silent"))
    assert silent.path == ["wish=timeout", "silent=silent"]
    assert silent.duration_ms < PLAY_MS + 5_000


@pytest.mark.parametrize("switch", [{"deaf": frozenset({"fa"})}, {"mute": frozenset({"HearCaller"})}])
def test_without_anybody_who_understands_it_is_a_menu(switch: dict[str, object]) -> None:
    heard = says(listening(), Act(says="buy"), Act(keys="2"), **switch)
    assert heard.path == ["wish=digit:2", "bye=done"]


def test_a_key_is_faster_than_a_word_that_is_not_understood_yet() -> None:
    flow_ = listening()
    heard = call(flow_, [(PLAY_MS + 800, "2")])
    assert heard.path[0] == "wish=digit:2"
    assert isinstance(next(o for o in heard.outputs if isinstance(o, m.StopHearing)), m.StopHearing)


def step(state: State, event: m.Event) -> tuple[State, list[m.Output]]:
    return Interpreter(plan(listening()), n.Limits()).step(state, event)


def listened() -> tuple[State, int]:
    """A call whose caller is listened to while the prompt plays; the number of the listening."""
    state, out = step(State(), m.Begun(START_US, ("fa",), "", "500"))
    return state, next(o.hearing for o in out if isinstance(o, m.HearCaller))


def test_what_comes_late_from_another_listening_means_nothing() -> None:
    state, hearing = listened()
    for event in (
        m.SpeechBegan(START_US, hearing + 1),
        m.SpeechUnderstood(START_US, hearing - 1, "sales", "buy"),
        m.SpeechMissed(START_US, hearing + 1, heard=True),
    ):
        after, out = step(state, event)
        assert (after, out) == (state, [])


def test_a_recogniser_that_never_answers_costs_one_try() -> None:
    state, hearing = listened()
    state, _ = step(state, m.PlayEnded(START_US, state.plays, True))
    state, out = step(state, m.SpeechBegan(START_US, hearing))
    (armed,) = [o for o in out if isinstance(o, m.ArmTimer)]
    assert armed.after_ms == 6_000 + n.Limits().understand_ms
    state, out = step(state, m.TimerFired(START_US + armed.after_ms * 1000, armed.timer))
    assert any(isinstance(o, m.StopHearing) for o in out)
    assert [o.prompt for o in out if isinstance(o, m.PlayPrompt)] == ["what"]


def test_a_recogniser_that_is_busy_leaves_the_keys() -> None:
    state, hearing = listened()
    state, out = step(state, m.SpeechMissed(START_US, hearing, heard=False))
    assert out == [], "the prompt goes on: it names the keys"
    state, out = step(state, m.PlayEnded(START_US, state.plays, True))
    assert [o.after_ms for o in out if isinstance(o, m.ArmTimer)] == [4_000]
    state, out = step(state, m.KeyPressed(START_US, "1"))
    assert any(isinstance(o, m.StepTaken) and o.result == "digit:1" for o in out)
