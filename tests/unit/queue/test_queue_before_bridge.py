"""What is said between the agent's answer and the bridge, and every way in which that is cut short."""

from __future__ import annotations

import pytest

from services.queue.core import facts, inputs, outputs
from tests.unit.queue.rig import START_US, Rig

FA = "/s/fa/"


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.call("c1", cc_queue="told")
    return rig


def whispers(rig: Rig) -> list[facts.WhisperPlayed]:
    return [f for f in rig.facts(facts.WhisperPlayed) if isinstance(f, facts.WhisperPlayed)]


def announced(rig: Rig) -> list[tuple[str, str]]:
    """Prompt and outcome of what the caller was told."""
    found = [f for f in rig.facts(facts.TreatmentPlayed) if isinstance(f, facts.TreatmentPlayed)]
    return [(f.prompt, f.outcome) for f in found if f.what == "connecting"]


def answered(rig: Rig, agent: str = "sara", kind: str = "", offer: str = "o1") -> str:
    """The agent has answered and originate has let go of the leg."""
    leg = rig.offer("c1", offer, agent, kind=kind)
    rig.ring(leg)
    rig.answer(leg)
    rig.deliver()
    return leg


def told(rig: Rig) -> tuple[str, ...]:
    """The files of the last whisper."""
    return next(c.files for c in reversed(rig.sent) if isinstance(c, outputs.Whisper))


def test_both_are_told_at_the_same_time_and_the_bridge_comes_when_both_have_heard_it(rig: Rig) -> None:
    rig.advance(75_000)
    leg = rig.offer("c1")
    rig.answer(leg)
    while rig.events:
        rig.feed_next(rig.events)
    assert rig.legs["c1"].playing == f"{FA}may-record.wav", "the caller waits for the end of originate"
    assert rig.commands(outputs.Whisper) == [], "originate's last act would end the whisper"
    assert rig.legs["c1"].vars["cc_step"] == "connecting"
    rig.deliver()
    assert told(rig) == (f"{FA}name-told.wav", f"{FA}waited-60.wav")
    rig.advance(2_000)
    rig.said(leg)
    assert rig.commands(outputs.Bridge) == []
    assert rig.state() == "offered"
    rig.advance(1_000)
    rig.said("c1")
    assert len(rig.commands(outputs.Bridge)) == 1
    assert rig.legs["c1"].vars["cc_step"] == "", "written before the bridge"
    rig.bridge()
    assert rig.state() == "talking"
    (whisper,) = whispers(rig)
    assert (whisper.said, whisper.outcome, whisper.played_ms) == (("queue", "wait"), "played", 2_000)
    assert (whisper.waited_ms, whisper.language, whisper.agent_id) == (75_000, "fa", "sara")
    assert announced(rig) == [("may-record", "played")]
    (bridged,) = [f for f in rig.facts(facts.AgentBridged) if isinstance(f, facts.AgentBridged)]
    assert bridged.wait_ms == 78_000, "the wait counts up to the bridge"
    assert bridged.answer_latency_ms == 0, "but what was said is no delay of the switch"
    assert rig.legs["c1"].playing == ""


def test_nothing_is_configured_and_no_command_is_more_than_before() -> None:
    rig = Rig()
    rig.call("c1", cc_queue="support")
    rig.sent.clear()
    leg = answered(rig)
    rig.bridge()
    kinds = [type(c).__name__ for c in rig.sent]
    assert kinds == ["Originate", "SetVars", "Bridge", "SetVars", "SetVars"]
    marks = rig.commands(outputs.SetVars)[0]
    assert isinstance(marks, outputs.SetVars)
    assert "cc_step" not in dict(marks.values)
    assert rig.legs[leg].mode == "bridged"


@pytest.mark.parametrize(
    ("waited_ms", "file"),
    [(9_900, ""), (10_000, "waited-10"), (59_000, "waited-10"), (700_000, "waited-120")],
)
def test_a_wait_is_said_as_the_longest_that_is_over(rig: Rig, waited_ms: int, file: str) -> None:
    rig.advance(waited_ms)
    answered(rig, agent="reza")
    assert told(rig) == ("/s/en/name-told.wav", *((f"/s/en/{file}.wav",) if file else ())), (
        "in Reza's language"
    )


def test_an_agent_is_told_that_a_colleague_passes_the_contact_on(rig: Rig) -> None:
    answered(rig, kind="transfer")
    assert told(rig) == (f"{FA}name-told.wav", f"{FA}whisper-transfer.wav")


def test_an_agent_is_told_of_a_callback_and_not_of_its_wait() -> None:
    rig = Rig()
    since_ms = str(START_US // 1000 - 3_600_000)
    rig.call("c1", cc_queue="told", cc_callback="cb1", cc_waiting_ms=since_ms)
    answered(rig)
    assert told(rig) == (f"{FA}name-told.wav", f"{FA}whisper-callback.wav")


@pytest.mark.parametrize("who", ["leg-o1", "c1"])
def test_a_prompt_that_is_not_there_keeps_nobody_apart(rig: Rig, who: str) -> None:
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    if who == "c1":
        rig.feed(
            inputs.CommandFailed(
                at_us=rig.now_us,
                command=outputs.StartAnnouncement(contact="c1", leg="c1", file=f"{FA}may-record.wav"),
                text="-ERR Cannot displace session!",
            )
        )
        rig.legs["c1"].playing = ""
        rig.said(leg)
        assert announced(rig) == [("may-record", "missing")]
    else:
        rig.said(leg, heard=False)
        rig.said("c1")
        (whisper,) = whispers(rig)
        assert (whisper.outcome, whisper.played_ms) == ("missing", 0)
    rig.bridge()
    assert rig.state() == "talking"


def test_the_agent_is_told_only_when_originate_has_let_go_of_the_leg(rig: Rig) -> None:
    """However soon the caller's part is over: its last act would end the whisper, or hit the bridge."""
    leg = rig.offer("c1")
    rig.answer(leg)
    ended = rig.replies.pop()
    rig.deliver()
    rig.said("c1")
    assert rig.commands(outputs.Whisper) == rig.commands(outputs.Bridge) == []
    rig.feed(ended)
    assert [c.leg for c in rig.commands(outputs.Whisper)] == [leg]
    rig.said(leg)
    assert len(rig.commands(outputs.Bridge)) == 1


def test_a_whisper_that_cannot_be_sent_is_missing(rig: Rig) -> None:
    leg = answered(rig)
    rig.feed(
        inputs.CommandFailed(
            at_us=rig.now_us, command=outputs.Whisper(contact="c1", leg=leg, files=("x",)), text="-ERR busy"
        )
    )
    rig.said("c1")
    assert [w.outcome for w in whispers(rig)] == ["missing"]
    assert len(rig.commands(outputs.Bridge)) == 1


def test_after_its_time_the_bridge_comes_whatever_is_still_being_said(rig: Rig) -> None:
    leg = answered(rig)
    rig.advance(9_900)
    assert rig.commands(outputs.Bridge) == []
    rig.advance(200)
    assert rig.legs["c1"].playing == "", "what displaces the music would be heard in the conversation"
    assert rig.legs[leg].mode == "bridged"
    assert [w.outcome for w in whispers(rig)] == ["cut"]
    assert announced(rig) == [("may-record", "cut")]


def test_the_caller_leaves_and_the_agent_is_told_and_free(rig: Rig) -> None:
    leg = answered(rig)
    rig.hang_up("c1")
    rig.deliver()
    assert rig.legs[leg].mode == "farewell"
    (farewell,) = rig.commands(outputs.Farewell)
    assert isinstance(farewell, outputs.Farewell)
    assert farewell.file == f"{FA}caller-left.wav"
    (gone,) = [f for f in rig.facts(facts.ContactGone) if isinstance(f, facts.ContactGone)]
    assert gone.state == "offered", "routing withdraws the offer"
    assert rig.facts(facts.OfferFailed) == []
    assert [w.outcome for w in whispers(rig)] == ["cut"]
    rig.settle()
    assert rig.legs == {}
    assert rig.engine.open_agent_legs() == 0


def test_the_agent_hangs_up_and_the_next_one_is_told_anew(rig: Rig) -> None:
    leg = answered(rig)
    rig.advance(500)
    rig.hang_up(leg)
    rig.deliver()
    assert (rig.state(), rig.legs["c1"].mode, rig.legs["c1"].playing) == ("waiting", "music", "")
    failed = [f for f in rig.facts(facts.OfferFailed) if isinstance(f, facts.OfferFailed)]
    assert [(f.offer_id, f.outcome) for f in failed] == [("o1", "declined")]
    second = answered(rig, "reza", offer="o2")
    assert rig.legs["c1"].playing == f"{FA}may-record.wav"
    rig.said(second)
    rig.said("c1")
    rig.bridge()
    assert rig.legs["c1"].partner == second
    assert [(w.offer_id, w.outcome) for w in whispers(rig)] == [("o1", "cut"), ("o2", "played")]


def test_routing_withdraws_the_offer_meanwhile(rig: Rig) -> None:
    leg = answered(rig)
    rig.feed(inputs.OfferEnded(at_us=rig.now_us, offer_id="o1", contact_id="c1", outcome="withdrawn"))
    rig.deliver()
    assert leg not in rig.legs
    assert (rig.state(), rig.legs["c1"].playing) == ("waiting", "")


def test_of_two_who_answer_only_the_first_is_told(rig: Rig) -> None:
    everybody = rig.documents.centers[0].queues["told"]
    assert everybody.before_bridge is not None
    first = rig.offer("c1", "o1", at_once=2)
    second = rig.offer("c1", "o2", "reza", at_once=2)
    rig.answer(second)
    rig.answer(first)
    rig.deliver()
    assert [c.leg for c in rig.commands(outputs.Whisper)] == [second]
    assert first not in rig.legs


@pytest.mark.parametrize("after", range(1, 7))
@pytest.mark.parametrize("said", [(), ("leg-o1",), ("c1",)])
def test_the_next_owner_makes_the_bridge_and_says_nothing_twice(
    rig: Rig, after: int, said: tuple[str, ...]
) -> None:
    """Killed after each command of the way from the answer to the bridge."""
    rig.dies_after = len(rig.sent) + after
    leg = rig.offer("c1")
    rig.answer(leg)
    rig.deliver()
    for uuid in said:
        rig.said(uuid)
    rig.deliver()
    begun = len(rig.commands(outputs.Whisper))
    marked = rig.legs["c1"].vars.get("cc_step") == "connecting"
    rig.take_over()
    rig.deliver()
    rig.advance(600 if marked else 11_000)
    for uuid in ("c1", leg):
        rig.said(uuid)
    rig.advance(600)
    assert rig.legs["c1"].partner == leg, rig.legs
    assert rig.legs["c1"].playing == ""
    assert rig.state() == "talking"
    assert len(rig.commands(outputs.Whisper)) <= (begun if marked else 1)


def test_the_next_owner_finds_the_agent_gone(rig: Rig) -> None:
    leg = answered(rig)
    rig.legs.pop(leg)
    rig.take_over()
    rig.deliver()
    assert (rig.state(), rig.legs["c1"].mode, rig.legs["c1"].playing) == ("waiting", "music", "")
    second = answered(rig, "reza", offer="o2")
    assert [c.leg for c in rig.commands(outputs.Whisper)] == [leg, second], "who answers next is told"


def test_the_connection_breaks_and_comes_back(rig: Rig) -> None:
    leg = answered(rig)
    rig.feed(inputs.LinkDown(at_us=rig.now_us))
    rig.advance(3_000)
    rig.feed(inputs.LinkUp(at_us=rig.now_us))
    rig.advance(2_000)
    assert rig.legs["c1"].partner == leg
    assert rig.legs["c1"].playing == ""
    assert len(rig.commands(outputs.Whisper)) == 1


def test_a_customer_who_was_called_after_the_agent_hears_the_announcement_alone(rig: Rig) -> None:
    """The agent was told at the answer what this is."""
    order = inputs.OfferMade(
        at_us=rig.now_us, tenant="demo", offer_id="o9", contact_id="c9", agent_id="sara", extension="1001",
        queue="told", leg="leg-o9", ring_ms=15_000, kind="callback", callback_id="cb9", number="0912",
        first="agent", waiting_since_us=rig.now_us - 60_000_000, entry_point="1000",
    )  # fmt: skip
    told_plan = rig.documents.centers[0].queues["told"]
    assert told_plan.callback is None
    rig.feed(order)
    rig.answer("leg-o9")
    rig.deliver()
    rig.answer("c9")
    rig.deliver()
    if "confirming" in {c.step for c in rig.engine._node.customers.values()}:
        rig.press("c9", "1")
    assert rig.commands(outputs.Whisper) == []
    assert rig.legs["c9"].playing == f"{FA}may-record.wav"
    rig.said("c9")
    rig.bridge()
    assert rig.legs["c9"].partner == "leg-o9"
