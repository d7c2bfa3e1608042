"""Agents who answered in vain: no order comes, on whatever node, before their phone is free; nor do they wait for ever."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core.center import CallbackRules, QueueRules
from services.routing.core.records import CLOSING_MS
from tests.unit.routing.floor import Floor, center

RULES = center(
    {"sales": QueueRules(wrap_up_ms=20_000, callback=CallbackRules(first="agent")), "support": QueueRules()}
)


@pytest.fixture
def floor() -> Floor:
    floor = Floor(RULES)
    floor.available("omid")
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    return floor


def activity(floor: Floor) -> tuple[str, str]:
    agent = floor.engine.state.agent("omid")
    return agent.activity, agent.contact_id


def offered(floor: Floor) -> list[str]:
    return [made.contact_id for made in floor.facts(f.OfferMade)]


def released(floor: Floor, offer_id: str, contact: str) -> None:
    floor.send(i.AgentReleased, offer_id=offer_id, contact_id=contact, agent_id="omid")


def caller_left(floor: Floor, **more: Any) -> str:
    """omid has answered c1's offer, c2 waits on another node, and c1 hangs up; returns the offer."""
    floor.waits("c1", node="fs1")
    made = floor.offer("c1")
    floor.report(i.OfferRinging, "c1")
    floor.report(i.OfferAnswered, "c1")
    floor.waits("c2", node="fs2")
    floor.send(i.ContactGone, contact_id="c1", cause="ORIGINATOR_CANCEL", **more)
    return made.offer_id


def test_who_is_told_that_the_caller_left_is_offered_nothing_meanwhile(floor: Floor) -> None:
    offer = caller_left(floor, kept_offer_id="c1-1")
    assert activity(floor) == ("closing", "c1")
    assert offered(floor) == ["c1"]
    released(floor, offer, "another")
    assert activity(floor) == ("closing", "c1")
    released(floor, offer, "c1")
    assert offered(floor) == ["c1", "c2"]
    assert activity(floor) == ("offered", "c2")
    assert [e.outcome for e in floor.facts(f.OfferEnded)] == ["withdrawn"]
    released(floor, offer, "c1")
    assert floor.ignored() == "agent is free already"


def test_a_phone_that_only_rang_is_free_at_once(floor: Floor) -> None:
    caller_left(floor)
    assert offered(floor) == ["c1", "c2"]


@pytest.mark.parametrize("killed", [False, True])
def test_nobody_waits_for_ever_for_a_report_that_does_not_come(floor: Floor, *, killed: bool) -> None:
    caller_left(floor, kept_offer_id="c1-1")
    if killed:
        floor.take_over(via_snapshot=True)
    floor.pass_ms(CLOSING_MS - 1)
    assert offered(floor) == ["c1"]
    floor.pass_ms(1)
    assert offered(floor) == ["c1", "c2"]


def test_so_with_a_callback_whose_customer_is_not_reached(floor: Floor) -> None:
    floor.waits("c1", node="fs1")
    floor.send(i.CallbackAccepted, contact_id="c1", number="09121234567", own_number=True)
    made = floor.offer("c1-cb1")
    floor.send(i.OfferAnswered, offer_id=made.offer_id, contact_id="c1-cb1", agent_id="omid")
    floor.waits("c2", node="fs2")
    floor.send(i.CallbackAttempted, contact_id="c1-cb1", callback_id="c1", outcome="busy",
               kept_offer_id=made.offer_id)  # fmt: skip
    assert activity(floor) == ("closing", "c1-cb1")
    assert "c2" not in offered(floor)
    released(floor, made.offer_id, "c1-cb1")
    assert activity(floor) == ("offered", "c2")


def placed(floor: Floor, contact: str) -> str:
    outputs = floor.send(
        i.PlaceCall, request_id="w", contact_id=contact, agent_id="omid", number="021234", actor="agent"
    )
    return next((o.slug for o in outputs if isinstance(o, i.Refuse)), "")


def test_the_agent_may_place_the_next_call_while_hearing_that_nobody_was_reached(floor: Floor) -> None:
    """By the node of the former leg, whose owner ends it: the click is not refused for a prompt."""
    assert placed(floor, "out-1") == ""
    made = floor.facts(f.OfferMade)[-1]
    floor.send(i.OutboundFailed, contact_id="out-1", outcome="busy", kept_offer_id=made.offer_id)
    floor.waits("c2", node="fs2")
    assert activity(floor) == ("closing", "out-1")
    assert placed(floor, "out-2") == ""
    assert activity(floor) == ("offered", "out-2")
    released(floor, made.offer_id, "out-1")
    assert activity(floor) == ("offered", "out-2")


def test_who_logs_out_or_loses_the_phone_meanwhile_is_offered_nothing_afterwards(floor: Floor) -> None:
    offer = caller_left(floor, kept_offer_id="c1-1")
    floor.send(i.PhoneChanged, extension="1002", registered=False, node="fs1")
    assert activity(floor) == ("closing", "c1")
    released(floor, offer, "c1")
    assert activity(floor) == ("unreachable", "")


def test_a_talk_that_begins_meanwhile_counts(floor: Floor) -> None:
    offer = caller_left(floor, kept_offer_id="c1-1")
    floor.send(i.AgentBridged, offer_id="x", contact_id="c2", agent_id="omid", queue="sales", node="fs2")
    assert activity(floor) == ("talking", "c2")
    released(floor, offer, "c1")
    assert activity(floor) == ("talking", "c2")


def test_a_center_without_the_agent_lets_it_end(floor: Floor) -> None:
    offer = caller_left(floor, kept_offer_id="c1-1")
    others = {name: rules for name, rules in RULES.agents.items() if name != "omid"}
    floor.send(i.CenterRevised, center=replace(RULES, agents=others, revision="r2"))
    released(floor, offer, "c1")
    assert activity(floor)[0] in ("idle", "unreachable")
