"""Phones and FreeSWITCH nodes: which node an agent's phone is reached over, and who learns of it in the offer."""

from __future__ import annotations

from services.routing.core import facts as f
from services.routing.core import inputs as i
from tests.unit.routing.floor import Floor


def floor_with(*nodes: str) -> Floor:
    """omid is available; the phone has registered with these nodes, in this order."""
    floor = Floor()
    floor.available("omid")
    for node in nodes:
        floor.send(i.PhoneChanged, extension="1002", registered=True, node=node)
    return floor


def phone(floor: Floor) -> tuple[str, str, tuple[str, ...]]:
    agent = floor.engine.state.agent("omid")
    return agent.activity, agent.node, agent.also


def test_an_offer_says_where_the_agents_phone_is() -> None:
    floor = floor_with("fs2")
    floor.waits("c1", node="fs1")
    made = floor.offer("c1")
    assert (made.node, made.agent_node) == ("fs1", "fs2")


def test_a_phone_that_was_never_seen_is_dialled_from_the_callers_node() -> None:
    floor = floor_with()
    floor.waits("c1", node="fs1")
    assert floor.offer("c1").agent_node == ""


def test_a_phone_that_moves_is_called_where_it_registered_last_and_falls_back() -> None:
    floor = floor_with("fs1", "fs2")
    assert phone(floor) == ("idle", "fs2", ("fs1",))
    floor.send(i.PhoneChanged, extension="1002", registered=True, node="fs1")
    assert phone(floor) == ("idle", "fs1", ("fs2",))
    floor.send(i.PhonesListed, node="fs1", extensions=frozenset())
    assert phone(floor) == ("idle", "fs2", ())
    floor.send(i.PhonesListed, node="fs2", extensions=frozenset())
    assert phone(floor)[0] == "unreachable"


def test_what_is_left_of_a_former_place_does_not_move_the_phone_back() -> None:
    floor = floor_with("fs2")
    floor.send(i.PhonesListed, node="fs1", extensions=frozenset({"1002"}))
    assert phone(floor) == ("idle", "fs2", ("fs1",))
    floor.send(i.PhonesListed, node="fs2", extensions=frozenset())
    assert phone(floor) == ("idle", "fs1", ())


def test_lists_of_a_start_may_come_in_any_order() -> None:
    """The phone moved while nobody looked: the new node's list comes before the one that has lost it."""
    floor = floor_with("fs1")
    floor.send(i.PhonesListed, node="fs2", extensions=frozenset({"1002"}))
    floor.send(i.PhonesListed, node="fs1", extensions=frozenset())
    assert phone(floor) == ("idle", "fs2", ())


def test_while_a_node_is_unknown_its_phones_are_called_over_the_other_that_has_them() -> None:
    floor = floor_with("fs1", "fs2")
    floor.send(i.NodeSeen, node="fs2", up=False)
    floor.waits("c1", node="fs1")
    assert floor.offer("c1").agent_node == "fs1"
    alone = floor_with("fs2")
    alone.send(i.NodeSeen, node="fs2", up=False)
    assert phone(alone)[0] == "unreachable"


def test_a_new_owner_knows_all_places_of_a_phone() -> None:
    floor = floor_with("fs1", "fs2")
    floor.take_over(via_snapshot=True)
    assert phone(floor) == ("idle", "fs2", ("fs1",))
    floor.take_over()
    assert phone(floor) == ("idle", "fs2", ("fs1",))


def test_a_log_of_one_node_is_read_as_before() -> None:
    floor = floor_with("fs1")
    assert floor.facts(f.AgentPhoneChanged) == [f.AgentPhoneChanged("omid", True, "fs1")]
