"""Agents at a number outside: what offers say of it, and that the phone they are not at does not matter."""

from __future__ import annotations

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import AgentRules, Policy, QueueRules
from services.routing.core.views import AgentState, agent_state
from tests.unit.routing.floor import AGENTS, Floor, center

MOBILE = "+989121112233"


def rules(number: str = MOBILE, *, confirm: bool = True) -> dict[str, AgentRules]:
    return {**AGENTS, "omid": msgspec.structs.replace(AGENTS["omid"], number=number, confirm=confirm)}


def floor(number: str = MOBILE, *, whisper_ms: int = 0, confirm: bool = True) -> Floor:
    made = center(agents=rules(number, confirm=confirm))
    sales = msgspec.structs.replace(made.queues["sales"], connect_ms=whisper_ms)
    made = msgspec.structs.replace(made, desks=frozenset({"90"}), queues={**made.queues, "sales": sales})
    on = Floor(made)
    on.available("omid")
    return on


def unregistered(on: Floor) -> None:
    on.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    on.send(i.PhoneChanged, extension="1002", registered=False, node="fs1")


def activity(on: Floor) -> str:
    return on.engine.state.agent("omid").activity


def test_the_number_is_called_although_the_phone_is_gone() -> None:
    on = floor()
    unregistered(on)
    assert activity(on) == "idle"
    on.waits("c1")
    offer = on.offer("c1")
    assert (offer.agent_number, offer.confirm, offer.agent_node) == (MOBILE, True, "")


@pytest.mark.parametrize(
    ("confirm", "whisper_ms", "open_ms"), [(True, 0, 15_000), (True, 8_000, 23_000), (False, 8_000, 8_000)]
)
def test_the_offer_stays_open_for_the_key_and_the_whisper(
    confirm: bool, whisper_ms: int, open_ms: int
) -> None:
    on = floor(confirm=confirm, whisper_ms=whisper_ms)
    on.waits("c1")
    assert (on.offer("c1").confirm, on.offer("c1").connect_ms) == (confirm, open_ms)


def test_at_a_desk_the_desk_rings() -> None:
    on = floor()
    on.send(
        i.SeatAgent, request_id="r", agent_id="omid", extension="90", by_pin=True, verified=True, force=True, node="fs1"
    )  # fmt: skip
    on.waits("c1")
    offer = on.offer("c1")
    assert (offer.extension, offer.agent_number, offer.confirm) == ("90", "", False)


def test_who_asks_where_an_agent_is_learns_who_works_outside_and_not_the_number() -> None:
    on = floor()

    def seen() -> AgentState:
        return agent_state(on.engine.state, on.engine.center, "omid", on.now_us)

    assert seen().outside
    assert MOBILE not in repr(seen())
    on.send(
        i.SeatAgent, request_id="r", agent_id="omid", extension="90", by_pin=True, verified=True, force=True, node="fs1"
    )  # fmt: skip
    assert (seen().outside, seen().extension) == (False, "90")
    on.send(i.SetAgentPresence, request_id="r", agent_id="omid", presence="offline")
    assert not seen().outside, "does not work at all"
    assert not agent_state(on.engine.state, on.engine.center, "sara", on.now_us).outside


def test_a_desk_that_is_lost_makes_unreachable_and_the_log_out_leads_back_to_the_number() -> None:
    on = floor()
    on.send(
        i.SeatAgent, request_id="r", agent_id="omid", extension="90", by_pin=True, verified=True, force=True, node="fs1"
    )  # fmt: skip
    on.send(i.PhoneChanged, extension="90", registered=False, node="fs1")
    assert activity(on) == "unreachable"
    on.send(i.SetAgentPresence, request_id="r", agent_id="omid", presence="offline")
    on.available("omid")
    on.waits("c1")
    assert on.offer("c1").agent_number == MOBILE


def test_own_calls_of_a_phone_that_the_agent_is_not_at_count_for_nothing() -> None:
    on = floor()
    on.send(i.OwnCallChanged, extension="1002", leg_id="l1", node="fs1", began=True)
    assert activity(on) == "idle"
    on.take_over(via_snapshot=True)
    on.waits("c1")
    assert on.offer("c1").agent_number == MOBILE


def test_a_document_gives_and_takes_the_number() -> None:
    on = floor("")
    unregistered(on)
    assert activity(on) == "unreachable"
    on.send(i.CenterRevised, center=center(agents=rules(), revision="r2"))
    assert activity(on) == "idle"
    on.send(i.CenterRevised, center=center(revision="r3"))
    assert activity(on) == "unreachable"


def test_a_colleague_outside_is_asked_at_the_number() -> None:
    on = floor(whisper_ms=8_000)
    on.send(i.SetAgentPresence, request_id="r", agent_id="omid", presence="offline")
    on.available("sara")
    on.waits("c1")
    on.talks("c1")
    on.available("omid")
    on.report(
        i.TransferRequested, "c1", request_id="r", target_kind="agent", target="omid", consult=True
    )  # fmt: skip
    offer = on.offer("c1")
    assert (offer.kind, offer.agent_number, offer.connect_ms) == ("consult", MOBILE, 15_000)


@pytest.mark.parametrize(("leg_id", "number"), [("", MOBILE), ("own-leg", "")])
def test_a_click_rings_outside_and_a_phone_that_dials_is_where_the_agent_is(leg_id: str, number: str) -> None:
    on = floor()
    on.send(
        i.PlaceCall, request_id="r", agent_id="omid", number="0219", contact_id="n1", leg_id=leg_id, node="fs1"
    )  # fmt: skip
    assert on.offer("n1").agent_number == number


def test_who_sits_down_at_the_own_phone_is_called_there_until_the_log_out() -> None:
    on = floor()
    on.send(
        i.SeatAgent, request_id="r", agent_id="omid", extension="1002", by_pin=True, verified=True, force=True, node="fs2"
    )  # fmt: skip
    on.waits("c1")
    offer = on.offer("c1")
    assert (offer.extension, offer.agent_number, offer.agent_node) == ("1002", "", "fs2")
    on.report(i.OfferFailed, "c1", outcome="withdrawn")
    on.take_over(via_snapshot=True)
    on.send(i.PhoneChanged, extension="1002", registered=False, node="fs2")
    assert activity(on) == "unreachable", "now it is the phone that counts"
    on.send(i.SetAgentPresence, request_id="r", agent_id="omid", presence="offline")
    on.available("omid")
    on.waits("c2")
    assert on.offer("c2").agent_number == MOBILE


def full(**agents: AgentRules) -> Floor:
    """Omid and Zari work outside, Sara at a phone, all in sales; nobody is logged in."""
    everybody = {**rules(), "zari": AgentRules("1009", ("sales",), {"sales": 1}, number="0912"), **agents}
    return Floor(center(agents=everybody), Policy(nodes=("fs1", "fs2")))


def has_no_line(on: Floor, contact: str) -> None:
    on.report(i.OfferFailed, contact, outcome="no_line", cause="trunks-full")


def test_full_trunks_are_nobodys_fault_and_are_not_tried_for_one_agent_after_the_other() -> None:
    on = full()
    on.available("omid", "zari")
    on.waits("c1")
    first = on.offer("c1").agent_id
    has_no_line(on, "c1")
    (ended,) = on.facts(f.OfferEnded)
    assert (ended.outcome, ended.delay_ms) == ("no_line", 0)
    assert len(on.facts(f.OfferMade)) == 1, "the other one outside would be called in vain, too"
    agent = on.engine.state.agent(first)
    assert (agent.presence, agent.activity, agent.delay_until_us, agent.missed, agent.misses) == (
        "available", "idle", 0, 0, {},
    )  # fmt: skip
    on.waits("c2")
    assert len(on.facts(f.OfferMade)) == 1
    on.pass_ms(2_900)
    assert len(on.facts(f.OfferMade)) == 1
    on.pass_ms(200)
    again = [(o.contact_id, o.agent_id) for o in on.facts(f.OfferMade)[1:]]
    assert sorted(c for c, _ in again) == ["c1", "c2"]
    assert on.offer("c1").agent_id != first, "another number may go by a trunk with a line"


def test_meanwhile_agents_at_phones_take_the_contacts_and_those_of_other_nodes_go_out() -> None:
    on = full()
    on.available("omid", "zari")
    on.waits("c1")
    has_no_line(on, "c1")
    on.waits("c2", node="fs2")
    assert on.offer("c2").agent_number, "the other node has trunks of its own"
    on.available("sara")
    offer = on.offer("c1")
    assert (offer.agent_id, offer.agent_number) == ("sara", "")
    assert {e.reason: e.count for e in offer.why.excluded}["no_line"] == 1
    on.take_over(via_snapshot=True)
    on.waits("c3")
    assert [o.contact_id for o in on.facts(f.OfferMade)] == ["c1", "c2", "c1"], "a new owner knows of it"
    on.pass_ms(3_100)
    assert on.offer("c3").agent_number


def test_an_agent_who_comes_in_at_a_number_waits_for_a_line_and_one_who_sits_down_does_not() -> None:
    on = full()
    on.available("omid")
    on.waits("c1")
    has_no_line(on, "c1")
    on.available("zari")
    assert len(on.facts(f.OfferMade)) == 1
    on.send(
        i.SeatAgent, request_id="r", agent_id="zari", extension="1009", by_pin=True, verified=True, force=True, node="fs1"
    )  # fmt: skip
    assert on.offer("c1").agent_id == "zari"


def test_a_preferred_agent_outside_is_not_called_without_a_line() -> None:
    on = Floor(
        center({"q": QueueRules(preferred_ms=60_000)}, {"omid": AgentRules("1002", ("q",), number="0912")})
    )
    on.available("omid")
    on.waits("c1", queue="q", preferred_agent="omid")
    has_no_line(on, "c1")
    on.waits("c2", queue="q", preferred_agent="omid")
    assert len(on.facts(f.OfferMade)) == 1
    on.pass_ms(3_100)
    assert len(on.facts(f.OfferMade)) == 2
