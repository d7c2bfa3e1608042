"""What an agent does with a caller besides talking: hold, transfer, consultation, conference; by wish and by feature code."""

from __future__ import annotations

from typing import Any

import pytest

from services.queue.core import facts, inputs, outputs
from tests.unit.queue.rig import Rig


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.call()
    made.leg = made.talk()  # type: ignore[attr-defined]
    made.advance(1_000)
    return made


def given(rig: Rig, kind: str, target: str, offer: str = "o1") -> None:
    """Routing gives the contact away."""
    rig.feed(
        inputs.ContactTransferred(
            at_us=rig.now_us, contact_id="c1", offer_id=offer, target_kind=kind, target=target,
            waiting_since_us=rig.now_us - 60_000_000 if kind != "number" else 0,
        )
    )  # fmt: skip
    rig.deliver()


def whom(rig: Rig, leg: str = "c1") -> str:
    """Whom a leg talks to; what it is in otherwise."""
    return rig.legs[leg].partner or rig.legs[leg].mode


def last(rig: Rig, kind: type[Any]) -> Any:
    return rig.facts(kind)[-1]


def consulting(rig: Rig) -> str:
    rig.wish("consult", kind="agent", target="reza")
    leg = rig.consult()
    rig.bridge()
    assert rig.state() == "consulting"
    return leg


# --- hold


def test_a_held_caller_hears_music_the_agent_is_parked_and_both_talk_again(rig: Rig) -> None:
    rig.wish("hold")
    assert (whom(rig), whom(rig, "leg-o1"), rig.state()) == ("music", "parked", "held")
    assert rig.answered() == [""]
    assert last(rig, facts.ContactHeld).by == "agent"
    rig.advance(5_000)
    rig.wish("resume")
    assert rig.answered() == [""], "granted before the bridge stands"
    rig.bridge()
    assert rig.answered() == ["", ""]
    assert (whom(rig), rig.state()) == ("leg-o1", "talking")
    assert last(rig, facts.ContactResumed).hold_ms == 5_000
    rig.advance(1_000)
    rig.hang_up("c1")
    rig.settle()
    over = last(rig, facts.ConversationEnded)
    assert (over.ended_by, over.hold_ms, over.talk_ms) == ("caller", 5_000, 7_000)
    assert rig.legs == {}
    assert len(rig.facts(facts.AgentBridged)) == 1


def test_hold_by_the_phone_is_told_as_such(rig: Rig) -> None:
    rig.feed(inputs.LegHeld(at_us=rig.now_us, leg="leg-o1", held=True))
    rig.advance(3_000)
    rig.feed(inputs.LegHeld(at_us=rig.now_us, leg="leg-o1", held=False))
    assert last(rig, facts.ContactHeld).by == "phone"
    assert last(rig, facts.ContactResumed).hold_ms == 3_000


def test_the_hold_key_is_resume_too(rig: Rig) -> None:
    rig.key("leg-o1", "hold")
    assert rig.state() == "held"
    rig.key("leg-o1", "hold")
    rig.bridge()
    assert (rig.state(), rig.answers) == ("talking", [])


def test_an_agent_who_hangs_up_with_a_held_caller_ends_the_call(rig: Rig) -> None:
    rig.wish("hold")
    rig.hang_up("leg-o1")
    rig.settle()
    assert rig.legs == {}
    assert last(rig, facts.ConversationEnded).ended_by == "agent"


def test_a_held_caller_who_hangs_up_leaves_no_leg(rig: Rig) -> None:
    rig.wish("hold")
    rig.advance(2_000)
    rig.hang_up("c1")
    rig.settle()
    assert rig.legs == {}
    over = last(rig, facts.ConversationEnded)
    assert (over.ended_by, over.hold_ms) == ("caller", 2_000)
    assert len(rig.facts(facts.ContactGone)) == 1


# --- blind


def test_nothing_happens_to_the_call_before_routing_has_decided(rig: Rig) -> None:
    rig.wish("transfer", kind="agent", target="reza")
    asked = last(rig, facts.TransferRequested)
    assert (asked.request_id, asked.offer_id, asked.target, asked.consult) == ("w1", "o1", "reza", False)
    assert (whom(rig), rig.answered()) == ("leg-o1", [])


def test_a_blind_transfer_rings_the_colleague_while_the_caller_hears_music(rig: Rig) -> None:
    rig.wish("transfer", kind="agent", target="reza")
    given(rig, "agent", "reza")
    assert (whom(rig), rig.state(), rig.answered()) == ("music", "waiting", [""])
    over = last(rig, facts.ConversationEnded)
    assert (over.offer_id, over.ended_by) == ("o1", "transfer")
    rig.press("leg-o1", "1")
    assert last(rig, facts.DispositionKeyed).offer_id == "o1", "who transferred wraps up"
    rig.talk(offer="o2", agent="reza")
    assert whom(rig) == "leg-o2"
    assert [r.fact.wait_ms for r in rig.reports if isinstance(r.fact, facts.AgentBridged)][1] >= 60_000
    rig.hang_up("leg-o2")
    rig.settle()
    assert [f.offer_id for f in rig.facts(facts.ConversationEnded)] == ["o1", "o2"]
    assert rig.legs == {}


def test_to_a_queue_its_music_is_heard(rig: Rig) -> None:
    rig.wish("transfer", kind="queue", target="support")
    given(rig, "queue", "support")
    assert rig.engine.calls()[0].queue == "support"
    assert rig.commands(outputs.PlayMusic)[-1].music == "local_stream://jazz"  # type: ignore[attr-defined]
    assert rig.legs["c1"].vars["cc_queue"] == "support"


def test_to_a_number_the_caller_goes_out_and_the_agent_wraps_up(rig: Rig) -> None:
    rig.wish("transfer", kind="number", target="+982112")
    given(rig, "number", "+982112")
    assert (whom(rig), rig.legs["c1"].vars["cc_state"], rig.answered()) == ("out", "transferred", [""])
    rig.hang_up("c1")
    rig.settle()
    assert last(rig, facts.ContactGone).state == "after"
    assert rig.legs == {}


def test_a_transfer_that_routing_refuses_is_told_and_the_talk_goes_on(rig: Rig) -> None:
    rig.wish("transfer", kind="agent", target="nobody")
    rig.feed(
        inputs.TransferRefused(
            at_us=rig.now_us, contact_id="c1", request_id="w1", reason="unknown-target", detail="x"
        )
    )
    assert (rig.answered(), whom(rig)) == (["unknown-target"], "leg-o1")


def test_a_transfer_is_carried_out_once(rig: Rig) -> None:
    rig.wish("transfer", kind="agent", target="reza")
    given(rig, "agent", "reza")
    rig.talk(offer="o2", agent="reza")
    given(rig, "agent", "reza")  # redelivered
    assert whom(rig) == "leg-o2"


def test_routing_that_says_nothing_is_said_so(rig: Rig) -> None:
    rig.wish("transfer", kind="agent", target="reza")
    rig.advance(10_000)
    assert (rig.answered(), whom(rig)) == (["no-effect"], "leg-o1")


@pytest.mark.parametrize(("who", "slug"), [("c1", "caller-gone"), ("leg-o1", "not-talking")])
@pytest.mark.parametrize("verb", ["hold", "transfer"])
def test_a_wish_about_a_call_that_ends_is_answered_at_once(rig: Rig, verb: str, who: str, slug: str) -> None:
    """And not after the seconds in which its effect might have come."""
    rig.events.clear()
    rig.hang_up(who)
    before = rig.now_us
    ended, rig.events = rig.events, type(rig.events)()
    rig.wish(verb, kind="agent" if verb == "transfer" else "", target="reza" if verb == "transfer" else "")
    rig.events = ended
    rig.deliver()
    assert (rig.answered(), rig.now_us) == ([slug], before)


def test_a_wish_while_the_switch_is_read_anew_is_to_be_asked_again(rig: Rig) -> None:
    """A held caller was said not to be held in the second after an outage."""
    rig.wish("hold")
    rig.feed(inputs.LinkUp(at_us=rig.now_us))
    rig.wish("resume")
    assert (rig.answers[-1].slug, rig.answers[-1].status) == ("unsettled", 503)
    rig.advance(2_000)
    rig.wish("resume")
    rig.bridge()
    assert (rig.answered()[-1], whom(rig)) == ("", "leg-o1")


def test_digits_after_the_transfer_key_are_the_target(rig: Rig) -> None:
    rig.key("leg-o1", "transfer")
    assert (whom(rig), rig.state()) == ("music", "dialling")
    for digit in "1002#":
        rig.press("leg-o1", digit)
    asked = last(rig, facts.TransferRequested)
    assert (asked.target_kind, asked.target, asked.consult) == ("keyed", "1002", False)
    given(rig, "agent", "reza")
    assert rig.state() == "waiting"


@pytest.mark.parametrize("keys", ["", "1002"])
def test_keys_that_lead_nowhere_lead_back(rig: Rig, keys: str) -> None:
    rig.key("leg-o1", "consult")
    for digit in keys:
        rig.press("leg-o1", digit)
    rig.advance(30_000)  # no further key; routing says nothing
    assert (whom(rig), rig.state()) == ("leg-o1", "talking")
    assert [f.consult for f in rig.facts(facts.TransferRequested)] == [True] * bool(keys)


# --- consultation


def test_a_consultation_completes(rig: Rig) -> None:
    consulting(rig)
    assert (whom(rig), whom(rig, "leg-o1"), rig.answered()) == ("music", "leg-o2", [""])
    assert last(rig, facts.ConsultStarted).from_agent_id == "sara"
    rig.advance(4_000)
    rig.wish("complete")
    rig.bridge()
    assert (whom(rig), rig.state(), rig.answered()) == ("leg-o2", "talking", ["", ""])
    assert (last(rig, facts.ConsultEnded).outcome, last(rig, facts.ConsultEnded).consult_ms) == (
        "completed",
        4_000,
    )
    assert last(rig, facts.AgentBridged).agent_id == "reza"
    assert last(rig, facts.ConversationEnded).ended_by == "transfer"
    kinds = [type(f).__name__ for f in rig.facts()]
    assert kinds.index("ConversationEnded") > max(i for i, k in enumerate(kinds) if k == "AgentBridged"), (
        "routing would close the contact"
    )
    assert len(rig.commands(outputs.Record)) == 1, "one recording goes through"
    rig.press("leg-o1", "2")
    rig.hang_up("c1")
    rig.settle()
    assert rig.legs == {}


def test_a_consultation_is_cancelled(rig: Rig) -> None:
    consulting(rig)
    rig.wish("cancel")
    rig.bridge()
    assert (whom(rig), rig.state(), rig.answered()) == ("leg-o1", "talking", ["", ""])
    assert last(rig, facts.ConsultEnded).outcome == "cancelled"
    assert "leg-o2" not in rig.legs


def test_a_ringing_colleague_is_called_off(rig: Rig) -> None:
    rig.wish("consult", kind="agent", target="reza")
    leg = rig.offer(offer="o2", agent="reza", kind="consult")
    rig.ring(leg)
    rig.wish("cancel")
    rig.bridge()
    assert whom(rig) == "leg-o1"
    assert leg not in rig.legs
    assert last(rig, facts.OfferFailed).outcome == "withdrawn"


@pytest.mark.parametrize("cause", ["USER_BUSY", "CALL_REJECTED", "NO_ANSWER", "SUBSCRIBER_ABSENT"])
def test_a_colleague_who_does_not_come_brings_the_agent_back(rig: Rig, cause: str) -> None:
    rig.wish("consult", kind="agent", target="reza")
    leg = rig.offer(offer="o2", agent="reza", kind="consult")
    rig.deliver()
    rig.fail(leg, cause)
    rig.advance(1_000)
    assert (whom(rig), rig.state()) == ("leg-o1", "talking")
    assert last(rig, facts.OfferFailed).offer_id == "o2"


@pytest.mark.parametrize(
    ("verb", "slug"),
    [("resume", "not-held"), ("complete", "not-consulting"), ("cancel", "not-consulting"),
     ("conference", "not-consulting"), ("drop", "not-in-conference"), ("fly", "unknown-wish")],
)  # fmt: skip
def test_what_cannot_be_is_refused(rig: Rig, verb: str, slug: str) -> None:
    rig.wish(verb)
    assert rig.answered() == [slug]
    assert whom(rig) == "leg-o1"


def test_only_ones_own_contact_and_one_wish_at_a_time(rig: Rig) -> None:
    rig.wish("hold", agent="reza")
    rig.wish("hold", contact="c9")
    rig.wish("transfer", kind="agent", target="reza", agent="")  # a supervisor
    rig.wish("hold")
    assert rig.answered() == ["not-your-contact", "unknown-contact", "busy"]


def test_a_colleagues_keys_do_not_steer_the_call(rig: Rig) -> None:
    consulting(rig)
    for what in ("complete", "cancel", "hold"):
        rig.key("leg-o2", what)
    rig.bridge()
    assert rig.state() == "consulting"


# --- conference


def conference(rig: Rig) -> None:
    consulting(rig)
    rig.wish("conference")
    assert (rig.state(), rig.answered()) == ("conference", ["", ""])
    assert {leg.mode for leg in rig.legs.values()} == {"room"}
    assert len(rig.facts(facts.PartyJoined)) == 3


def test_a_conference_from_which_the_colleague_leaves(rig: Rig) -> None:
    conference(rig)
    rig.hang_up("leg-o2")
    rig.settle()
    assert set(rig.legs) == {"c1", "leg-o1"}
    assert last(rig, facts.ConsultEnded).outcome == "cancelled"
    rig.hang_up("leg-o1")
    rig.settle()
    assert rig.legs == {}
    assert [f.agent_id for f in rig.facts(facts.ConversationEnded)] == ["sara"]


def test_a_conference_from_which_the_agent_leaves(rig: Rig) -> None:
    conference(rig)
    rig.wish("drop", target="sara")
    rig.settle()
    assert rig.answered()[-1] == ""
    assert set(rig.legs) == {"c1", "leg-o2"}
    assert last(rig, facts.AgentBridged).agent_id == "reza"
    rig.hang_up("c1")
    rig.settle()
    assert rig.legs == {}
    assert [f.agent_id for f in rig.facts(facts.ConversationEnded)] == ["sara", "reza"]


def test_a_conference_that_the_caller_leaves(rig: Rig) -> None:
    conference(rig)
    rig.hang_up("c1")
    rig.settle()
    assert rig.legs == {}
    assert len(rig.facts(facts.PartyLeft)) == 3
