"""Caller and both agents in one room of mod_conference, named by the contact.

It grows out of a consultation: the two agents are sent into the room together (one by one, the second would be parked in between, and a
transfer meets a leg that is on its way), the caller beside them. When two are left they stay in the room: it sounds like a bridge, and
taking a pair out of a room into a bridge is two more moments in which somebody can be lost. When who had the contact
leaves, the colleague has it.
"""

from __future__ import annotations

from services.queue.core.aside import consult_ended
from services.queue.core.conversation import conversation_ended, hold_ended, left_by_agent, start_talking
from services.queue.core.facts import ConferenceStarted, PartyJoined, PartyLeft
from services.queue.core.inputs import RoomChanged
from services.queue.core.node import Node
from services.queue.core.outputs import JoinRoom, Kill
from services.queue.core.records import Aside, Caller, Offer, Phase, Room, Stage
from services.queue.core.treatment import say_sorry

CONFERENCE = "conference"
INSIDE = "inside"  # cc_step once all are in the room.


def begin(node: Node, caller: Caller, aside: Aside) -> None:
    """All three into the room."""
    second = aside.second
    assert second is not None
    del node.asides[caller.contact]
    room = Room(
        contact=caller.contact,
        name=caller.contact,
        first=aside.first,
        second=second,
        consulting_since_us=aside.consulting_since_us,
    )
    node.rooms[caller.contact] = room
    caller.stage = Stage.CONFERENCE
    node.set_vars(caller.contact, caller.contact, cc_state=CONFERENCE, cc_step="", cc_second=second.offer_id)
    gather(node, room)
    hold_ended(node, room.first)
    node.report(
        caller.tenant,
        ConferenceStarted(contact_id=caller.contact, room=room.name, at_us=node.at_us),
        "conference-started",
        second.offer_id,
    )


def gather(node: Node, room: Room) -> None:
    """Send everybody into the room; who is there already comes in again."""
    node.emit(
        JoinRoom(contact=room.contact, leg=room.first.leg, room=room.name, both=True),
        JoinRoom(contact=room.contact, leg=room.contact, room=room.name),
    )


def changed(node: Node, event: RoomChanged) -> None:
    """A leg joined or left a room of ours."""
    room = node.rooms.get(event.room)
    if room is None:
        return
    offer = node.offer_on(event.leg)
    if event.joined and event.leg not in room.joined:
        agent = room.joined[event.leg] = offer.agent if offer is not None else ""
        joined = PartyJoined(
            contact_id=room.contact, room=room.name, leg_id=event.leg, agent_id=agent, at_us=node.at_us
        )
        node.report(room.first.tenant, joined, "joined", event.leg)
        if len(room.joined) == 3:
            node.set_vars(room.contact, room.contact, cc_step=INSIDE)
            node.grant(room.contact, CONFERENCE)
    elif not event.joined and event.leg in room.joined:
        _left(node, room, event.leg, offer.cause if offer is not None else "")


def _left(node: Node, room: Room, leg: str, cause: str) -> None:
    agent = room.joined.pop(leg)
    left = PartyLeft(
        contact_id=room.contact, room=room.name, leg_id=leg, agent_id=agent, cause=cause, at_us=node.at_us
    )
    node.report(room.first.tenant, left, "left", leg)


def _close(node: Node, room: Room, cause: str) -> None:
    """The room is of no use any more."""
    del node.rooms[room.contact]
    for leg in list(room.joined):
        _left(node, room, leg, cause)


def drop(node: Node, room: Room, agent: str) -> bool:
    """End one agent's leg; False when that agent is not in the room."""
    for offer in (room.first, room.second):
        if offer is not None and offer.serves and offer.agent == agent:
            offer.cause = offer.cause or "DROPPED"
            node.emit(Kill(contact=room.contact, leg=offer.leg, cause="NORMAL_CLEARING"))
            return True
    return False


def review(node: Node) -> None:
    """Go on with whoever is left."""
    for room in list(node.rooms.values()):
        caller = node.callers.get(room.contact)
        second = room.second if room.second is not None and room.second.serves else None
        if caller is None or caller.stage is not Stage.CONFERENCE:
            _close(node, room, "CALLER_GONE")
            _end_all(node, room, second)
        elif room.first.serves:
            if room.second is not None and second is None:
                _second_left(node, room, room.second, "cancelled")
        elif second is not None:
            _hand_over(node, caller, room, second)
        else:
            _close(node, room, room.first.cause)
            left_by_agent(node, caller, room.first, room.first.cause)
            node.deny(room.contact, "agents-gone", "both agents have left")


def _second_left(node: Node, room: Room, second: Offer, outcome: str) -> None:
    room.second = None
    consult_ended(node, room.contact, room.first, second, room.consulting_since_us, outcome)
    node.grant(room.contact, "drop")
    node.deny(room.contact, "colleague-gone", f"agent {second.agent} has left")


def _hand_over(node: Node, caller: Caller, room: Room, second: Offer) -> None:
    """Who had the contact has left; the colleague has it, and the room stays."""
    former = room.first
    room.first, room.second = second, None
    node.set_vars(
        caller.contact, caller.contact, cc_offer=second.offer_id, cc_agent=second.agent, cc_second=""
    )
    start_talking(node, caller, second, node.at_us)
    caller.stage = Stage.CONFERENCE
    consult_ended(node, room.contact, former, second, room.consulting_since_us, "completed")
    conversation_ended(node, caller, former, "transfer", second.agent)
    caller.parted = False
    node.grant(room.contact, "drop")
    node.deny(room.contact, "agent-gone", f"agent {former.agent} has left")


def _end_all(node: Node, room: Room, second: Offer | None) -> None:
    """The caller is gone: who had the contact wraps up outside, the colleague is told."""
    node.deny(room.contact, "caller-gone", "the caller has left")
    if second is not None:
        consult_ended(node, room.contact, room.first, second, room.consulting_since_us, "failed")
        say_sorry(node, second)
    if room.first.phase is Phase.WRAP_UP:
        node.park(room.first)
