"""Nodes and phones that are lost and come back."""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from services.routing.core import views
from tests.unit.routing.floor import Floor


def test_contacts_of_a_lost_node_are_frozen_and_offered_when_it_is_back() -> None:
    floor = Floor()
    floor.waits("c1", "support", node="fs2")
    floor.send(i.NodeSeen, node="fs2", up=False)
    floor.available("sara")
    floor.pass_ms(120_000)
    assert floor.facts(f.OfferMade) == []
    assert floor.facts(f.ContactOverflowed) == []
    assert views.position(floor.engine.state, floor.engine.index, "c1").position == 1
    floor.waits("c2", "support", node="fs1")
    assert floor.offer("c2").agent_id == "sara"
    floor.available("mina")
    floor.send(i.NodeSeen, node="fs2", up=True)
    assert floor.offer("c1").agent_id == "mina"


def test_offer_on_a_lost_node_stays_reserved_and_gets_the_grace_anew() -> None:
    floor = Floor()
    floor.available("omid")
    floor.waits("c1")
    floor.send(i.NodeSeen, node="fs1", up=False)
    floor.pass_ms(600_000)
    assert floor.engine.state.agent("omid").activity == "offered"
    floor.send(i.NodeSeen, node="fs1", up=True)
    floor.pass_ms(4_999)
    assert floor.facts(f.OfferEnded) == []
    floor.pass_ms(1)
    assert floor.facts(f.OfferEnded)[0].outcome == "expired"


def test_lost_phone_makes_the_agent_unreachable_until_it_registers() -> None:
    floor = Floor()
    floor.available("omid")
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    assert floor.names() == []
    floor.send(i.PhoneChanged, extension="1002", registered=False, node="fs2")
    assert floor.ignored() == "phone is registered with another node"
    floor.send(i.PhoneChanged, extension="1002", registered=False, node="fs1")
    assert floor.engine.state.agent("omid").activity == "unreachable"
    floor.waits("c1")
    assert floor.facts(f.OfferMade) == []
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    assert floor.offer("c1").agent_id == "omid"


def test_list_of_phones_corrects_what_was_missed() -> None:
    floor = Floor()
    floor.available("omid", "sara", "mina")
    floor.send(i.PhoneChanged, extension="1001", registered=True, node="fs2")
    floor.send(i.PhonesListed, node="fs1", extensions=frozenset({"1002", "7777"}))
    assert floor.facts(f.AgentPhoneChanged)[1:] == [f.AgentPhoneChanged("omid", True, "fs1")]
    floor.send(i.PhonesListed, node="fs1", extensions=frozenset())
    activity = {name: floor.engine.state.agent(name).activity for name in ("sara", "omid", "mina")}
    assert activity == {"sara": "idle", "omid": "unreachable", "mina": "idle"}


def test_phone_lost_during_a_talk_shows_after_it() -> None:
    floor = Floor()
    floor.available("mina")
    floor.waits("c1", "billing")
    floor.talks("c1")
    floor.send(i.PhoneChanged, extension="1003", registered=False, node="fs1")
    assert floor.engine.state.agent("mina").activity == "talking"
    floor.report(i.ConversationEnded, "c1", ended_by="agent")
    assert floor.engine.state.agent("mina").activity == "unreachable"


def test_agents_of_a_lost_node_are_unreachable_while_it_is_gone() -> None:
    floor = Floor()
    floor.available("omid")
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs2")
    floor.send(i.NodeSeen, node="fs2", up=False)
    assert floor.engine.state.agent("omid").activity == "unreachable"
    floor.send(i.NodeSeen, node="fs2", up=True)
    assert floor.engine.state.agent("omid").activity == "idle"


def test_phone_of_nobody_and_node_without_news_lead_to_nothing() -> None:
    floor = Floor()
    floor.send(i.PhoneChanged, extension="9999", registered=True, node="fs1")
    assert floor.outputs == []
    floor.send(i.NodeSeen, node="fs1", up=True)
    assert floor.outputs == []
