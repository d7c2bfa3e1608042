"""Agents who log in at another phone than their own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from tests.unit.routing.floor import AGENTS, Floor, center

RULES = msgspec.structs.replace(center(), desks=frozenset({"90", "91"}), pin_attempts=3, pin_lock_ms=60_000)


@pytest.fixture
def on() -> Floor:
    return Floor(RULES)


def sits(on: Floor, agent_id: str, extension: str, **fields: Any) -> str:
    """Somebody logs in by the right PIN; returns the slug of a refusal."""
    wish = {"by_pin": True, "verified": True, "force": True, "node": "fs1"} | fields
    on.send(i.SeatAgent, request_id="r", agent_id=agent_id, extension=extension, **wish)
    return next((o.slug for o in on.outputs if isinstance(o, i.Refuse)), "")


def shown(on: Floor, agent_id: str) -> tuple[str, str]:
    """Presence and phone as people see them."""
    state = views.agent_state(on.engine.state, on.engine.center, agent_id, on.now_us)
    return state.presence, state.extension


def test_calls_ring_where_the_agent_is(on: Floor) -> None:
    assert sits(on, "omid", "90") == ""
    assert on.names() == ["AgentSeatChanged", "AgentPresenceChanged"]
    assert shown(on, "omid") == ("available", "90")
    on.waits("c1")
    assert on.offer("c1").extension == "90"


def test_the_seat_survives_owners_snapshots_and_new_documents(on: Floor) -> None:
    sits(on, "omid", "90")
    on.take_over(via_snapshot=True)
    on.send(i.CenterRevised, center=msgspec.structs.replace(RULES, revision="r2"))
    on.waits("c1")
    assert on.offer("c1").extension == "90"


def test_codes_and_calls_of_the_phone_are_those_of_who_is_there(on: Floor) -> None:
    sits(on, "omid", "90")
    on.send(i.OwnCallChanged, extension="90", leg_id="l1", node="fs1", began=True)
    assert on.engine.state.agent("omid").activity == "own_call"
    on.send(i.OwnCallChanged, extension="90", leg_id="l1", node="fs1", began=False)
    on.send(i.SetAgentPresence, request_id="r", extension="90", presence="break", reason="lunch")
    assert on.engine.state.agent("omid").presence == "break"
    on.send(i.PhoneChanged, extension="90", registered=False, node="fs1")
    assert on.engine.state.agent("omid").activity == "unreachable"
    on.send(i.PhonesListed, node="fs1", extensions=frozenset({"90"}))
    assert on.engine.state.agent("omid").activity == "idle"
    on.send(i.PhoneChanged, extension="1002", registered=False, node="fs1")
    assert on.engine.state.agent("omid").activity == "idle", "the own phone, where the agent is not"


def test_one_phone_has_one_agent(on: Floor) -> None:
    on.available("sara")
    assert sits(on, "omid", "1001") == ""
    assert shown(on, "sara")[0] == "offline"
    assert on.facts(f.AgentPresenceChanged)[-2].reason == "phone_taken"
    on.send(i.SetAgentPresence, request_id="r", agent_id="sara", presence="available")
    assert [o.slug for o in on.outputs if isinstance(o, i.Refuse)] == ["phone-taken"]
    on.send(i.SetAgentPresence, request_id="r", extension="1001", presence="break")
    assert shown(on, "omid") == ("break", "1001")
    assert sits(on, "sara", "1001") == "", "back at the own phone"
    assert (shown(on, "sara"), shown(on, "omid")) == (("available", "1001"), ("offline", "1002"))


def test_logging_in_elsewhere_leaves_the_former_phone(on: Floor) -> None:
    sits(on, "omid", "90")
    on.send(i.OwnCallChanged, extension="90", leg_id="l1", node="fs1", began=True)
    assert sits(on, "omid", "91", node="fs2") == ""
    agent = on.engine.state.agent("omid")
    assert (agent.node, agent.own_legs, agent.activity) == ("fs2", {}, "idle")
    on.send(i.SetAgentPresence, request_id="r", extension="90", presence="break")
    assert [o.slug for o in on.outputs if isinstance(o, i.Refuse)] == ["unknown-agent"]


@pytest.mark.parametrize("extension", ["90", ""])
def test_logging_out_ends_it(on: Floor, extension: str) -> None:
    sits(on, "omid", "90")
    who = {"extension": extension} if extension else {"agent_id": "omid"}
    on.send(i.SetAgentPresence, request_id="r", presence="offline", **who)
    assert shown(on, "omid") == ("offline", "1002")
    on.send(i.SetAgentPresence, request_id="r", extension="90", presence="available")
    assert [o.slug for o in on.outputs if isinstance(o, i.Refuse)] == ["unknown-agent"], "no PIN, no agent"


def test_who_logs_out_in_a_conversation_sits_there_to_its_end(on: Floor) -> None:
    sits(on, "omid", "90")
    on.waits("c1")
    on.talks("c1")
    on.send(i.SetAgentPresence, request_id="r", agent_id="omid", presence="offline")
    assert shown(on, "omid") == ("offline", "90")
    assert sits(on, "sara", "90") == "phone-busy"
    assert sits(on, "omid", "91") == "agent-busy"
    on.report(i.ConversationEnded, "c1", ended_by="caller")
    assert shown(on, "omid") == ("offline", "90")
    on.send(i.SetDisposition, request_id="r", extension="90", code="1", by="code")
    assert shown(on, "omid") == ("offline", "1002")


def test_three_wrong_pins_in_a_row_and_none_is_taken_for_a_while(on: Floor) -> None:
    assert [sits(on, "omid", "90", verified=False) for _ in range(2)] == ["wrong-pin"] * 2
    assert sits(on, "omid", "90") == "", "the right one begins the count anew"
    assert [sits(on, "omid", "91", verified=False) for _ in range(3)] == ["wrong-pin", "wrong-pin", "locked"]
    refused = on.facts(f.AgentLoginRefused)
    assert [(r.attempts, r.locked_ms) for r in refused] == [(1, 0), (2, 0), (1, 0), (2, 0), (3, 60_000)]
    on.take_over(via_snapshot=True)
    on.pass_ms(59_999)
    assert sits(on, "omid", "91") == "locked", "the right one, too"
    assert sits(on, "sara", "91") == "", "one agent is locked, not the phone"
    on.pass_ms(1)
    assert sits(on, "omid", "91") == ""


def test_a_locked_agent_logs_in_by_name_and_password_all_the_same(on: Floor) -> None:
    for _ in range(3):
        sits(on, "omid", "90", verified=False)
    assert sits(on, "omid", "90", by_pin=False, verified=False, force=False, actor="agent") == ""


def test_refusals(on: Floor) -> None:
    on.available("sara")
    assert sits(on, "nobody", "90") == "unknown-agent"
    assert sits(on, "omid", "77") == "unknown-phone"
    assert sits(on, "omid", "1001", by_pin=False, force=False) == "phone-taken"
    assert on.facts(f.AgentSeatChanged) == []


def test_a_desk_that_is_gone_from_the_document_logs_out_who_is_there(on: Floor) -> None:
    sits(on, "omid", "90")
    on.send(i.CenterRevised, center=msgspec.structs.replace(RULES, desks=frozenset({"91"})))
    assert shown(on, "omid") == ("offline", "1002")


def test_an_agent_who_is_gone_from_the_document_leaves_the_phone(on: Floor) -> None:
    sits(on, "omid", "90")
    left = {name: rules for name, rules in AGENTS.items() if name != "omid"}
    on.send(i.CenterRevised, center=msgspec.structs.replace(RULES, agents=left))
    assert on.engine.state.seats == {}
    assert sits(on, "sara", "90") == ""


def test_a_colleague_is_reached_by_number_wherever_they_are(on: Floor) -> None:
    on.available("sara")
    on.waits("c1")
    on.talks("c1")
    sits(on, "omid", "90")
    asked = {"request_id": "t", "target_kind": "keyed", "consult": True}
    on.report(i.TransferRequested, "c1", target="1002", **asked)
    (offer,) = [o for o in on.facts(f.OfferMade) if o.kind == "consult"]
    assert (offer.agent_id, offer.extension) == ("omid", "90")


def test_a_repeated_wish_is_answered_again(on: Floor) -> None:
    wish = {"request_id": "r", "agent_id": "omid", "extension": "90", "by_pin": True, "verified": True}
    on.send(i.SeatAgent, input_id="same", **wish)
    on.send(i.SeatAgent, input_id="same", **wish)
    (answer,) = [o for o in on.outputs if isinstance(o, i.Answer)]
    assert answer.agent is not None
    assert answer.agent.extension == "90"
    assert len(on.facts(f.AgentSeatChanged)) == 1
