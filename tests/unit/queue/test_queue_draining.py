"""Emptying a node: new calls refused, waiting callers moved or kept, talks left alone; killed between any two steps."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.common.errors import UnsafeCommandError
from services.common.esl import Event
from services.queue.adapters import switch
from services.queue.adapters.names import LegNames
from services.queue.core import drain_facts, facts, inputs, outputs
from tests.unit.queue.drain_rig import Node
from tests.unit.queue.rig import Leg, Rig


@pytest.fixture
def node() -> Node:
    return Node()


def reported(node: Rig, kind: type[object]) -> list[object]:
    return [fact for fact in node.facts() if isinstance(fact, kind)]


def test_the_switch_is_told_at_once_and_the_tenants_hear_of_it(node: Node) -> None:
    node.drain()
    assert int(node.cc_draining) == node.now_us // 1000
    fact = reported(node, drain_facts.NodeDrainChanged)[0]
    assert isinstance(fact, drain_facts.NodeDrainChanged)
    assert (fact.node, fact.draining, fact.actor) == ("fs1", True, "root")
    node.drain()
    assert len(reported(node, drain_facts.NodeDrainChanged)) == 1, "the same wish again changes nothing"
    node.drain(draining=False)
    assert node.cc_draining == "0"
    assert [getattr(f, "draining", None) for f in reported(node, drain_facts.NodeDrainChanged)] == [
        True,
        False,
    ]


def test_a_waiting_caller_is_sent_on_and_let_go_when_routing_has_it_elsewhere(node: Node) -> None:
    node.call("c1")
    node.drain()
    assert [(r.user, r.address) for r in node.refers] == [("move-demo.c1", "10.0.0.2:5080")]
    assert node.legs["c1"].vars["sip_refer_continue_after_reply"] == "true"
    assert node.legs["c1"].mode == "music", "the caller hears music until the carrier has moved them"
    node.moved()
    node.deliver()
    assert "c1" not in node.legs
    node.advance(20_000)
    assert not reported(node, facts.ContactGone), "a caller who is elsewhere has not gone"
    assert node.engine.calls() == []


def test_a_caller_whose_carrier_refuses_stays_and_is_served(node: Node) -> None:
    node.refer_status = 405
    node.call("c1")
    node.drain()
    node.advance(2_000)
    assert node.state() == "waiting"
    node.talk("c1")
    assert node.state() == "talking"
    assert len(node.refers) == 1, "asked no second time"


def test_a_caller_whom_nobody_brings_anywhere_stays_too(node: Node) -> None:
    node.call("c1")
    node.drain()
    node.advance(7_000)
    leg = node.offer("c1")
    assert not node.dialled, "nobody is rung for a caller who may be elsewhere in a moment"
    failed = reported(node, facts.OfferFailed)[-1]
    assert isinstance(failed, facts.OfferFailed)
    assert (failed.outcome, failed.cause) == ("withdrawn", "contact_moving")
    node.advance(2_000)
    node.talk("c1", "o2")
    assert leg
    assert node.state() == "talking"


def test_a_caller_who_hangs_up_on_the_way_is_reported_when_nobody_saw_them_arrive(node: Node) -> None:
    node.call("c1")
    node.drain()
    node.advance(500)
    left_at_us = node.now_us
    node.hang_up("c1")
    node.deliver()
    assert not reported(node, facts.ContactGone)
    node.advance(15_000)
    gone = reported(node, facts.ContactGone)
    assert [(g.state, g.at_us) for g in gone if isinstance(g, facts.ContactGone)] == [("waiting", left_at_us)]


def test_a_caller_whose_first_leg_ends_before_routing_knows_is_not_gone(node: Node) -> None:
    node.call("c1")
    node.drain()
    node.hang_up("c1")
    node.deliver()
    node.advance(3_000)
    node.moved()
    node.advance(20_000)
    assert not reported(node, facts.ContactGone)


@pytest.mark.parametrize("status", [200, 503])
def test_a_line_that_the_switch_has_ended_is_not_offered_to_anybody(node: Node, status: int) -> None:
    """FreeSWITCH ends the line with the last NOTIFY, good or bad, and leaves the channel: nobody must talk to it."""
    node.call("c1")
    node.drain()
    node.feed(inputs.ReferEnded(at_us=node.now_us, leg="c1", status=100))
    assert "c1" in node.legs
    node.feed(inputs.ReferEnded(at_us=node.now_us, leg="c1", status=status))
    node.deliver()
    assert "c1" not in node.legs
    assert not reported(node, facts.ContactGone), "they may arrive yet"
    node.advance(15_000)
    assert len(reported(node, facts.ContactGone)) == 1


def test_who_talks_and_who_is_being_offered_is_left_alone(node: Node) -> None:
    node.call("c1")
    node.talk("c1")
    node.call("c2")
    ringing = node.offer("c2", "o2", "reza")
    node.ring(ringing)
    node.drain()
    assert not node.refers
    node.answer(ringing)
    node.deliver()
    node.complete_bridges()
    node.deliver()
    assert (node.state("c1"), node.state("c2")) == ("talking", "talking")


def test_callers_are_not_all_sent_on_in_one_moment(node: Node) -> None:
    for n in range(25):
        node.call(f"c{n}")
    node.drain()
    assert len(node.refers) == 20
    node.moved("c0")
    node.deliver()
    assert len(node.refers) == 21


def test_nodes_that_are_being_emptied_or_unknown_get_nobody(node: Node) -> None:
    node.feed(inputs.PeerSeen(at_us=node.now_us, node="fs2", up=False))
    node.call("c1")
    node.drain()
    assert [r.address for r in node.refers] == ["10.0.0.3:5080"]
    node.feed(inputs.PeerSeen(at_us=node.now_us, node="fs3", draining=True))
    node.call("c2")
    assert len(node.refers) == 1
    node.feed(inputs.PeerSeen(at_us=node.now_us, node="fs2", up=True))
    assert [r.address for r in node.refers] == ["10.0.0.3:5080", "10.0.0.2:5080"]


def test_a_node_is_drained_when_the_last_leg_of_any_kind_has_left(node: Node) -> None:
    node.call("c1")
    leg = node.talk("c1")
    node.legs["menu"] = Leg("menu", caller=True, vars={"cc_state": "ivr"})
    node.drain()
    node.advance(6_000)
    node.hang_up("c1")
    node.hang_up(leg)
    node.advance(30_000)
    assert not reported(node, drain_facts.NodeDrained), "a call in the menu is a call"
    del node.legs["menu"]
    node.advance(40_000)
    done = reported(node, drain_facts.NodeDrained)
    assert len(done) == 1
    status = node.engine.status()
    assert (status.drained, status.contacts) == (True, 0)


def test_a_new_owner_and_a_restarted_switch_go_on_emptying(node: Node) -> None:
    node.drain()
    since = node.cc_draining
    node.take_over()
    node.deliver()
    assert node.engine.status().draining_since_us == int(since) * 1000
    node.cc_draining = ""  # FreeSWITCH was restarted.
    node.feed(inputs.DrainFound(at_us=node.now_us, said="", by_switch=True))
    assert node.cc_draining == since
    node.cc_draining = ""  # And so was everything else.
    node.take_over()
    node.feed(inputs.DrainFound(at_us=node.now_us, said=since, by_switch=False))
    assert node.cc_draining == since


def test_an_owner_that_died_before_it_could_say_so_has_told_the_switch(node: Node) -> None:
    node.drain()
    before = [r.fact_id for r in node.reports if isinstance(r.fact, drain_facts.NodeDrainChanged)]
    node.reports.clear()
    node.take_over()
    again = [r.fact_id for r in node.reports if isinstance(r.fact, drain_facts.NodeDrainChanged)]
    assert again == before, "the same fact, whoever says it"
    node.drain(draining=False)
    node.take_over()
    node.feed(
        inputs.DrainFound(at_us=node.now_us, said="123", by_switch=False)
    )  # Routing has not heard of it.
    assert node.engine.status().draining_since_us == 0


# --- arriving


def test_who_arrives_is_the_same_contact_at_the_same_place(node: Node) -> None:
    node.arrives()
    assert [(q.tenant, q.contact) for q in node.questions] == [("demo", "c9")]
    assert node.engine.calls() == []
    node.is_known()
    said = reported(node, facts.ContactWaiting)[-1]
    assert isinstance(said, facts.ContactWaiting)
    assert said.waiting_since_us // 1000 == node.now_us // 1000 - 60_000
    assert (said.contact_id, said.node, said.queue, said.priority, said.skills, said.customer, said.recovered) == (
        "c9", "fs1", "sales", 3, ("fa:3",), "k-7", True,
    )  # fmt: skip
    ids = [r.fact_id for r in node.reports if isinstance(r.fact, facts.ContactWaiting)]
    assert ids != ["c9:waiting:0"], "the node it comes from has said so under this id; the bus would drop it"
    node.take_over()
    node.deliver()
    again = [r.fact_id for r in node.reports if isinstance(r.fact, facts.ContactWaiting)]
    assert again[-1] == ids[-1], "whoever says it again says the same"
    kept = node.legs["c9"].vars
    assert (kept["cc_state"], kept["cc_queue"], kept["cc_customer"]) == ("waiting", "sales", "k-7")
    node.talk("c9")
    assert node.state("c9") == "talking"


def test_routing_is_asked_again_and_at_last_the_caller_is_served_with_what_is_known(node: Node) -> None:
    node.arrives()
    node.advance(5_000)
    assert len(node.questions) == 3
    node.advance(60_000)
    assert node.state("c9") == "waiting"


def test_who_hangs_up_before_routing_has_answered_leaves_nothing(node: Node) -> None:
    node.arrives()
    node.hang_up("c9")
    node.deliver()
    node.is_known()
    node.advance(60_000)
    assert node.engine.calls() == []
    assert not node.reports


def test_a_new_owner_asks_for_those_who_had_just_arrived(node: Node) -> None:
    node.arrives()
    node.take_over()
    node.deliver()
    assert [q.contact for q in node.questions] == ["c9", "c9"]
    node.is_known()
    assert node.state("c9") == "waiting"


@pytest.mark.parametrize("steps", range(1, 5))
def test_an_owner_killed_in_the_middle_of_a_move_loses_nobody(steps: int) -> None:
    """After each of the commands of a move; the caller is where routing says, and is said to wait once."""
    for node_of_contact in ("fs1", "fs2"):
        node = Node()
        node.call("c1")
        node.sent.clear()
        node.dies_after = steps
        node.drain()
        moving = bool(node.legs["c1"].vars.get("cc_move"))
        node.take_over()
        node.deliver()
        if moving:
            assert node.questions, (
                "a leg in the middle of a move is not said to wait before routing was asked"
            )
            node.is_known("c1", node_of_contact)
            node.deliver()
        if node_of_contact == "fs2" and moving:
            assert "c1" not in node.legs, "what was left behind is let go"
        else:
            node.advance(60_000)
            assert node.legs["c1"].mode == "music"
            assert node.state() == "waiting"


def test_an_entry_read_again_does_not_end_a_caller_who_came_back(node: Node) -> None:
    node.arrives("c1")
    node.is_known("c1", "fs1")
    node.moved("c1", "fs2")
    node.deliver()
    assert node.state() == "waiting"


# --- the adapters


def event(uuid: str, **variables: str) -> Event:
    return Event.of({"Event-Name": "CUSTOM", "Event-Subclass": "peyvand::waiting", "Unique-ID": uuid}
                 | {f"variable_{k}": v for k, v in variables.items()})  # fmt: skip


def test_a_leg_with_another_uuid_has_its_contacts_name() -> None:
    names = LegNames()
    arrived = event("uuid-2", cc_state="moved", cc_contact="c9", cc_tenant="demo")
    names.learn(arrived)
    given = switch.to_input(arrived, 1)
    assert isinstance(given, inputs.LegParked)
    assert names.named(given).caller.leg == "c9"
    assert names.named(inputs.LegBridged(at_us=1, leg="leg-1", partner="uuid-2")).partner == "c9"
    bridge = outputs.Bridge(contact="c9", leg="leg-1", caller_leg="c9", offer="o")
    sent = names.addressed(bridge)
    assert isinstance(sent, outputs.Bridge)
    assert (sent.caller_leg, sent.contact) == ("uuid-2", "c9")
    names.forget("uuid-2")
    assert names.addressed(bridge) is bridge


def test_a_listing_tells_the_names_too() -> None:
    names = LegNames()
    names.know_row("uuid-2", "c/demo/c9")
    names.know_row("c1", "c/demo/c1")
    names.know_row("leg-1", "a/demo/c1/o1")
    assert (names.name("uuid-2"), names.name("c1"), names.name("leg-1")) == ("c9", "c1", "leg-1")


def test_what_became_of_a_refer_is_read_from_the_carriers_words() -> None:
    said = Event.of(
        {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::notify_refer", "UniqueID": "c1"}, "SIP/2.0 503 X"
    )
    assert switch.to_input(said, 7) == inputs.ReferEnded(at_us=7, leg="c1", status=503)


def test_a_leg_says_how_far_its_move_is() -> None:
    leg = switch.caller_leg(event("c1", cc_move="fs2", cc_arrived="fs1-9", sip_refer_status_code="405"))
    assert (leg.moving, leg.arrived, leg.refer_status) == ("fs2", "fs1-9", 405)


def test_a_refer_is_one_command_and_takes_no_strange_address() -> None:
    dialing = switch.Dialing(
        agent_dial="user/{extension}@{domain}", sip_domain="d", transfer_dial="{number}", recordings_dir="/rec"
    )  # fmt: skip
    refer = outputs.Refer(contact="c1", leg="c1", user="move-demo.c1", address="10.0.0.2:5080")
    assert switch.api_line(refer, dialing) == "uuid_deflect c1 sip:move-demo.c1@10.0.0.2:5080"
    with pytest.raises(UnsafeCommandError):
        switch.api_line(replace(refer, user="move-x y"), dialing)
