"""What a waiting caller hears and when, the keys, and leaving a message; also when the node changes hands in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from services.center import Center, load
from services.common.esl import Event
from services.queue.adapters import switch
from services.queue.adapters.centers import spoken
from services.queue.core import facts, inputs, outputs, plan
from services.queue.core.plan import Slot
from services.queue.core.schedule import parse_heard, turn, until_next
from tests.unit.queue import rig as rigs
from tests.unit.queue.rig import Rig

SLOTS = {
    "position": Slot(first_ms=10_000, every_ms=30_000, up_to=5, only_shorter=True),
    "wait": Slot(first_ms=20_000, every_ms=60_000),
    "message.0": Slot(first_ms=15_000, every_ms=40_000, prompts=("sorry", "outage")),
}
DIALING = switch.Dialing(
    agent_dial="user/{extension}@{domain}", sip_domain="d", transfer_dial="x/{number}", recordings_dir="/r"
)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    sales = plan.QueuePlan(name="sales", schedule=SLOTS, keys=frozenset("15"))
    center = plan.CenterPlan(
        tenant="demo",
        revision="r1",
        languages=("fa", "en"),
        queues={"sales": sales, "support": rigs.QUEUES["support"]},
        fallback_queue={"": "support"},
        prompts=dict(rigs.CENTER.prompts)
        | {(p, "fa"): f"/s/fa/{p}.wav" for p in ("leave-message", "message-thanks")},
        message_most_s=120,
    )
    monkeypatch.setattr(rigs, "PLANS", plan.Plans(centers=(center,)))
    return Rig()


def hear(rig: Rig, contact: str = "c1") -> str:
    """What is announced now; it is over afterwards."""
    heard = rig.legs[contact].playing
    if heard:
        rig.legs[contact].playing = ""
        rig.feed(inputs.AnnouncementEnded(at_us=rig.now_us, leg=contact, file=heard))
    return heard


def tell(rig: Rig, what: str, position: int = 0, minutes: int = 0) -> str:
    """Routing's answer; returns what is said."""
    rig.feed(
        inputs.PositionKnown(
            at_us=rig.now_us, contact="c1", position=position or 1, file=f"/s/{what}-{position or minutes}.wav",
            what=what, wait_ms=minutes * 60_000, minutes=minutes,
        )
    )  # fmt: skip
    return hear(rig)


def test_messages_come_in_turn_at_their_times(rig: Rig) -> None:
    rig.call("c1")
    heard = []
    for second in range(1, 181):
        rig.advance(1_000)
        if file := hear(rig):
            heard.append((second, file))
    assert heard == [
        (15, "/s/fa/sorry.wav"),
        (55, "/s/fa/outage.wav"),
        (95, "/s/fa/sorry.wav"),
        (135, "/s/fa/outage.wav"),
        (175, "/s/fa/sorry.wav"),
    ]
    played = [f for f in rig.facts(facts.TreatmentPlayed) if isinstance(f, facts.TreatmentPlayed)]
    assert [(p.what, p.prompt) for p in played[:2]] == [("message", "sorry"), ("message", "outage")]
    assert [(q.what, (rig.now_us - rigs.START_US) // 1_000_000) for q in rig.asked[-1:]] == [
        ("position", 180)
    ]


def test_a_new_owner_goes_on_in_the_middle_of_the_schedule(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(50_000)
    hear(rig)
    rig.asked.clear()
    rig.take_over()
    rig.deliver()
    assert hear(rig) == ""
    rig.advance(4_900)
    assert hear(rig) == ""
    rig.advance(200)
    assert hear(rig) == "/s/fa/outage.wav"  # 55 s: the second one, as if nothing had happened
    assert rig.asked == []
    rig.advance(15_000)
    assert [q.what for q in rig.asked] == ["position"]  # 70 s


def test_what_is_due_while_something_is_heard_comes_after_it(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(15_000)
    assert rig.legs["c1"].playing == "/s/fa/sorry.wav"
    rig.asked.clear()
    rig.advance(9_000)
    assert rig.asked == []  # the wait was due at 20 s
    hear(rig)
    rig.advance(2_000)
    assert [q.what for q in rig.asked] == ["wait"]


def test_an_announcement_whose_end_is_never_heard_of_does_not_silence_the_rest(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(15_000)
    rig.advance(125_000)
    assert rig.legs["c1"].playing != "/s/fa/sorry.wav" or len(rig.commands(outputs.StartAnnouncement)) > 1


def test_the_place_is_said_only_within_the_limit_and_when_it_got_better(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(10_000)
    assert tell(rig, "position", 6) == ""
    assert tell(rig, "position", 4) == "/s/position-4.wav"
    assert tell(rig, "position", 4) == ""
    assert tell(rig, "position", 5) == ""
    assert tell(rig, "position", 3) == "/s/position-3.wav"
    assert rig.legs["c1"].vars["cc_heard"] == "3/0"


def test_nobody_is_told_a_longer_wait_than_before(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(20_000)
    hear(rig)
    assert tell(rig, "wait", minutes=0) == ""
    assert tell(rig, "wait", minutes=5) == "/s/wait-5.wav"
    assert tell(rig, "wait", minutes=6) == ""
    assert tell(rig, "wait", minutes=5) == "/s/wait-5.wav"
    assert tell(rig, "wait", minutes=2) == "/s/wait-2.wav"
    played = [f for f in rig.facts(facts.TreatmentPlayed) if isinstance(f, facts.TreatmentPlayed)]
    assert [(p.what, p.expected_wait_ms) for p in played if p.what == "wait"] == [
        ("wait", 300_000),
        ("wait", 300_000),
        ("wait", 120_000),
    ]


def test_what_was_said_last_survives_the_owner(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.call("c1")
    rig.advance(10_000)
    tell(rig, "position", 3)
    tell(rig, "wait", minutes=4)
    usual = Rig._caller
    monkeypatch.setattr(
        Rig, "_caller", lambda self, leg: structs.replace(usual(self, leg), heard=leg.vars.get("cc_heard", ""))
    )  # fmt: skip
    rig.take_over()
    rig.deliver()
    assert tell(rig, "position", 3) == ""
    assert tell(rig, "wait", minutes=5) == ""
    assert tell(rig, "position", 2) == "/s/position-2.wav"
    assert parse_heard("") == parse_heard("x/-1") == (0, 0)
    assert parse_heard("12/3") == (12, 3)


def test_a_key_is_told_to_routing_after_the_phones_have_stopped(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(5_000)
    leg = rig.offer("c1")
    rig.ring(leg)
    rig.deliver()
    rig.press("c1", "7")
    assert rig.facts(facts.KeyPressed) == []
    rig.press("c1", "1")
    failed, pressed = rig.facts()[-2:]
    assert isinstance(failed, facts.OfferFailed)
    assert (failed.outcome, failed.cause) == ("withdrawn", "caller_key")
    assert isinstance(pressed, facts.KeyPressed)
    assert (pressed.key, pressed.queue) == ("1", "sales")
    rig.advance(3_000)
    assert rig.agent_legs() == []
    assert rig.state() == "waiting"


def test_a_key_pressed_twice_counts_once_and_one_from_the_menu_not_at_all(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(500)
    rig.press("c1", "1")
    assert rig.facts(facts.KeyPressed) == []
    rig.advance(2_000)
    rig.press("c1", "1")
    rig.press("c1", "5")
    rig.advance(500)
    rig.press("c1", "1")
    assert len(rig.facts(facts.KeyPressed)) == 1


def test_a_key_is_too_late_once_an_agent_has_answered(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(5_000)
    leg = rig.offer("c1")
    rig.ring(leg)
    rig.answer(leg)
    rig.deliver()
    rig.press("c1", "1")
    rig.advance(200)
    rig.press("c1", "1")
    assert rig.facts(facts.KeyPressed) == []
    assert rig.state() == "talking"


def test_a_message_is_left_without_us(rig: Rig) -> None:
    rig.call("c1")
    rig.advance(15_000)
    rig.feed(
        inputs.ContactOverflowed(
            at_us=rig.now_us, contact_id="c1", action="voicemail", target="leave-message"
        )
    )
    (order,) = rig.commands(outputs.LeaveMessage)
    assert isinstance(order, outputs.LeaveMessage)
    assert rig.legs["c1"].playing == ""  # what displaces the music would displace the prompt, too
    assert rig.legs["c1"].vars["cc_state"] == "message"
    line = switch.api_line(order, DIALING)
    assert line == (
        "uuid_transfer c1 'm:^:set:playback_terminators=none^playback:/s/fa/leave-message.wav^mkdir:/r/demo/2025/11/21"
        "^playback:tone_stream://%(400,100,1000)^set:playback_terminators=#"
        "^record:/r/demo/2025/11/21/c1.message.sales.wav 120 200 5"
        "^playback:/s/fa/message-thanks.wav^hangup:NORMAL_CLEARING' inline"
    )
    rig.sent.clear()
    rig.take_over()
    rig.deliver()
    rig.press("c1", "5")
    rig.advance(100_000)
    assert rig.sent == []  # a new owner leaves the caller alone ...
    rig.advance(100_000)
    assert [type(c) for c in rig.sent] == [outputs.Kill]  # ... but not for ever
    rig.deliver()
    gone = rig.facts(facts.ContactGone)[0]
    assert isinstance(gone, facts.ContactGone)
    assert gone.state == "after"


@pytest.mark.parametrize(
    ("state", "bridged"),
    [("CS_EXCHANGE_MEDIA", True), ("CS_SOFT_EXECUTE", True), ("CS_PARK", False), ("CS_EXECUTE", False)],
)
def test_who_talks_is_known_by_the_legs_state_alone(state: str, bridged: bool) -> None:
    """After a bridge the partner's name stays on a leg, ``application`` and ``callstate`` are as they were in it."""
    found = {
        "Unique-ID": "c1",
        "Channel-State": state,
        "Channel-Call-State": "ACTIVE",
        "variable_bridge_uuid": "a1",
    }
    assert switch.caller_leg(Event.of(found)).bridged is bridged


def test_the_agents_leg_is_named_first_in_the_bridge() -> None:
    """Caller first, a caller who leaves now leaves the agent's leg silent for ever, and an agent who does takes the caller along (5 of 24)."""
    line = switch.api_line(outputs.Bridge(contact="c1", leg="a1", caller_leg="c1", offer="o1"), DIALING)
    assert line == "uuid_bridge a1 c1"


def test_the_tone_of_a_phone_instead_of_music() -> None:
    line = switch.api_line(outputs.PlayMusic(contact="c1", leg="c1", music="ringing"), DIALING)
    assert line == "uuid_transfer c1 'm:^:playback:tone_stream://%(1000,4000,425);loops=-1^park:' inline"


def test_what_is_said_is_in_the_callers_language_or_in_one_that_has_all_of_it() -> None:
    center = next(iter(load(Path(__file__).parents[3] / "deploy/centers/demo.yaml").centers))

    def said(language: str, queue: str = "sales", position: int = 2, wait_ms: int = 250_000) -> list[str]:
        return [
            spoken(center, queue, language, "/s", what=what, position=position, wait_ms=wait_ms)[0]
            for what in ("position", "wait")
        ]

    fa = "/s/prompts/fa"
    place = f"file_string://{fa}/position-before.wav!{fa}/digits/2om.wav!{fa}/position-after.wav"
    assert said("fa") == [place, f"file_string://{fa}/wait-before.wav!{fa}/digits/5.wav!{fa}/wait-after.wav"]
    en = "/s/prompts/en"
    assert said("en")[1] == f"file_string://{en}/wait-before.wav!{en}/digits/5.wav!{en}/wait-after.wav"
    assert said("de") == said("fa")  # the center's first language
    assert said("fa", wait_ms=0) == [place, ""]  # nothing is known
    assert said("fa", position=0) == ["", ""]
    assert said("fa", queue="billing")[1] == ""  # not asked for
    half = without_persian(center, "wait-after")
    assert spoken(half, "sales", "fa", "/s", what="wait", position=1, wait_ms=250_000)[0].startswith(
        f"file_string://{en}/wait-before.wav"
    )


def without_persian(center: Center, prompt: str) -> Center:
    """The center without the Persian text of one prompt."""
    prompts = {name: dict(text) for name, text in center.prompts.items()}
    del prompts[prompt]["fa"]
    return center.model_copy(update={"prompts": prompts})


def test_the_moments_of_a_slot() -> None:
    slot = Slot(first_ms=10, every_ms=30)
    assert [until_next(slot, at) for at in (0, 9, 10, 39, 40)] == [10, 1, 30, 1, 30]
    assert [turn(slot, at) for at in (10, 39, 40, 75)] == [0, 0, 1, 2]
    once = Slot(first_ms=10)
    assert [until_next(once, at) for at in (0, 10, 50)] == [10, 0, 0]
    assert turn(once, 10) == 0
