"""Calls that agents place: who is called when, what the agent hears, what is reported, and a kill between any two steps."""

from __future__ import annotations

import pytest

from services.queue.core import facts, inputs, outputs
from services.queue.core import outbound_facts as of
from tests.unit.queue.rig import Leg
from tests.unit.queue.trunk_rig import Exchange

CONTACT = "out-1"


class Desk(Exchange):
    """An agent with a phone, and a number."""

    def places(self, *, agent_leg: str = "") -> str:
        """Routing orders the call; returns the agent's leg."""
        if agent_leg:
            self.legs[agent_leg] = Leg(agent_leg, caller=False, mode="music", answered=True)
        self.feed(
            inputs.OfferMade(
                at_us=self.now_us, tenant="demo", offer_id="o1", contact_id=CONTACT, agent_id="sara", extension="1001",
                queue="sales", leg="leg-o1", ring_ms=15_000, kind="outbound", number="021234", first="agent",
                dial_ms=60_000, caller_id="0218", agent_leg=agent_leg, waiting_since_us=self.now_us,
            )
        )  # fmt: skip
        self.deliver()
        return agent_leg or "leg-o1"

    def picks_up(self, leg: str) -> None:
        self.ring(leg)
        self.answer(leg)
        self.deliver()

    def called(self) -> list[outputs.CallCustomer]:
        return [c for c in self.commands(outputs.CallCustomer) if isinstance(c, outputs.CallCustomer)]

    def failures(self) -> list[str]:
        return [f.outcome for f in self.facts(of.OutboundFailed) if isinstance(f, of.OutboundFailed)]

    def bridged(self) -> list[str]:
        return [f.contact_id for f in self.facts(facts.AgentBridged) if isinstance(f, facts.AgentBridged)]

    def said(self) -> str:
        farewells = [c.file for c in self.commands(outputs.Farewell) if isinstance(c, outputs.Farewell)]
        return farewells[-1] if farewells else ""

    def takes_over(self) -> None:
        self.take_over()
        self.deliver()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_agent_first_and_then_the_number_with_the_number_that_was_ordered(desk: Desk) -> None:
    leg = desk.places()
    assert not desk.called()
    desk.picks_up(leg)
    (call,) = desk.called()
    assert (call.leg, call.way.number, call.way.caller_id, call.way.trunk, call.ring_ms) == (
        CONTACT,
        "021234",
        "0218",
        "a",
        60_000,
    )
    assert desk.commands(outputs.RingBack), "the agent hears that it rings"
    desk.picks_up(CONTACT)
    desk.bridge()
    assert desk.bridged() == [CONTACT]
    waiting = [f for f in desk.facts(facts.ContactWaiting) if isinstance(f, facts.ContactWaiting)]
    assert [(f.kind, f.callback_id) for f in waiting] == [("outbound", "")]
    assert not desk.facts(facts.TreatmentPlayed), "nobody is welcomed into a queue"
    dialled = [f for f in desk.facts(of.OutboundDialled) if isinstance(f, of.OutboundDialled)]
    assert [(f.trunk, f.caller_id) for f in dialled] == [("a", "0218")]
    assert len(desk.facts(of.OutboundAnswered)) == 1


def test_the_party_is_not_thanked_when_the_agent_hangs_up(desk: Desk) -> None:
    leg = desk.places()
    desk.picks_up(leg)
    desk.picks_up(CONTACT)
    desk.bridge()
    desk.hang_up(leg)
    desk.deliver()
    desk.advance(500)
    assert CONTACT not in desk.legs
    assert desk.said() == ""


def test_a_phone_that_has_dialled_is_not_rung(desk: Desk) -> None:
    leg = desk.places(agent_leg="phone-1")
    assert not desk.dialled
    assert desk.legs[leg].vars["cc_role"] == "agent"
    assert len(desk.called()) == 1
    desk.picks_up(CONTACT)
    desk.bridge()
    assert desk.bridged() == [CONTACT]
    assert desk.legs[leg].partner == CONTACT


def test_a_phone_that_was_put_down_before_anybody_knew(desk: Desk) -> None:
    desk.legs["phone-1"] = Leg("phone-1", caller=False, answered=True)
    desk.hang_up("phone-1")
    desk.deliver()
    desk.feed(
        inputs.OfferMade(
            at_us=desk.now_us, tenant="demo", offer_id="o1", contact_id=CONTACT, agent_id="sara", extension="1001",
            queue="sales", leg="leg-o1", ring_ms=15_000, kind="outbound", number="021234", first="agent",
            agent_leg="phone-1",
        )
    )  # fmt: skip
    desk.deliver()
    failed = [f for f in desk.facts(facts.OfferFailed) if isinstance(f, facts.OfferFailed)]
    assert [f.offer_id for f in failed] == ["o1"]
    assert not desk.called()
    assert not desk.engine._node.customers


@pytest.mark.parametrize(
    ("cause", "outcome", "prompt"),
    [("USER_BUSY", "busy", "call-busy"), ("NO_ANSWER", "no_answer", "call-failed")],
)
def test_a_party_who_is_not_reached(cause: str, outcome: str, prompt: str) -> None:
    desk = Desk(prompts={(p, "fa"): f"/s/fa/{p}.wav" for p in ("call-busy", "call-failed", "lines-busy")})
    leg = desk.places()
    desk.picks_up(leg)
    desk.create(CONTACT)
    desk.fail(CONTACT, cause)
    desk.deliver()
    assert desk.failures() == [outcome]
    assert desk.said() == f"/s/fa/{prompt}.wav"
    desk.hang_up(leg)
    desk.deliver()
    assert not desk.engine._node.offers
    assert not desk.engine._node.lines


def test_the_agent_puts_down_while_it_rings(desk: Desk) -> None:
    leg = desk.places()
    desk.picks_up(leg)
    desk.ring(CONTACT)
    desk.deliver()
    desk.hang_up(leg)
    desk.deliver()
    desk.settle()
    assert desk.failures() == ["agent_left"]
    assert CONTACT not in desk.legs
    assert not desk.engine._node.customers


def test_the_agents_phone_is_not_answered(desk: Desk) -> None:
    leg = desk.places()
    desk.fail(leg, "NO_ANSWER")
    desk.deliver()
    failed = [f for f in desk.facts(facts.OfferFailed) if isinstance(f, facts.OfferFailed)]
    assert [f.outcome for f in failed] == ["no_answer"]
    assert not desk.called()


def test_hold_works_as_on_any_call(desk: Desk) -> None:
    desk.picks_up(desk.places())
    desk.picks_up(CONTACT)
    desk.bridge()
    desk.wish("hold", CONTACT)
    desk.deliver()
    assert desk.state(CONTACT) == "held"
    desk.wish("resume", CONTACT)
    desk.bridge()
    assert desk.answered() == ["", ""]


@pytest.mark.parametrize("dialled", [False, True])
@pytest.mark.parametrize("step", ["agent_rings", "party_rings", "party_answered", "talks"])
def test_killed_at_any_moment(step: str, dialled: bool) -> None:
    desk = Desk()
    leg = desk.places(agent_leg="phone-1" if dialled else "")
    if step == "agent_rings":
        if dialled:
            return  # There is no such moment.
        desk.ring(leg)
        desk.deliver()
        desk.takes_over()
        desk.answer(leg)
        desk.deliver()
        desk.settle()
        assert not desk.legs, "nobody is left on the line with nobody"
        return
    if not dialled:
        desk.picks_up(leg)
    desk.ring(CONTACT)
    desk.deliver()
    if step == "party_rings":
        desk.takes_over()
        desk.answer(CONTACT)
        desk.deliver()
    else:
        desk.answer(CONTACT)
        if step == "talks":
            desk.deliver()
            desk.bridge()
        desk.takes_over()
    desk.advance(3_000)
    desk.bridge()
    desk.advance(1_500)
    assert desk.legs[leg].partner == CONTACT
    assert CONTACT in desk.bridged()
