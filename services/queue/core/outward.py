"""A caller's way to a number outside: an agent's transfer, a queue's way out, the outage of everything.

The number and what it is for stand on the leg (``cc_out``) before anything else, with ``cc_state=outward``. Then a line is taken and the leg is
sent to a bridge, which marks it ``transferred`` as its first act: from there on FreeSWITCH needs nobody of us. While every trunk is full the
caller hears music and a line is looked for every other second; a new owner of the node goes on with that. After half a minute, as after a
call that reached nobody:

* a caller whom an agent sent there waits in the queue again, at the old place: routing has closed the contact and opens it anew;
* a caller whose queue had no other way is told so and hung up, for the queue would send them the same way again.
"""

from __future__ import annotations

from services.center.outside import NO_ROUTE
from services.queue.core import lines, schedule
from services.queue.core.node import Node
from services.queue.core.outputs import PlayMusic, TransferOut
from services.queue.core.records import Caller, Stage, WayOut
from services.queue.core.treatment import (
    announce_waiting,
    back_to_music,
    farewell,
    leave,
    stop_announcement,
)

OUTWARD = "outward"
TRANSFER = "transfer"
RETRY_MS = 2_000
PATIENCE_MS = 30_000  # A line comes free within the length of a call divided by the channels: seconds on any trunk worth waiting for.


def send(node: Node, caller: Caller, number: str, purpose: str) -> None:
    """Send the caller to a number outside."""
    if caller.stage is Stage.LEAVING:
        return
    stop_announcement(node, caller)
    caller.way_out = WayOut(number, purpose, node.at_us)
    node.set_vars(caller.contact, caller.contact, cc_out=f"{purpose} {number}")
    leave(node, caller, OUTWARD)
    _go(node, caller, caller.way_out)


def _go(node: Node, caller: Caller, way_out: WayOut, *, again: bool = False) -> None:
    taken = lines.take(
        node,
        caller.center,
        way_out.number,
        purpose=way_out.purpose,
        contact=caller.contact,
        caller_id=caller.leg.ani,
        quiet=again,
    )
    if taken.ways:
        # The leg has had park_after_bridge if an agent answered before; here the end of the bridge is the end of the call.
        node.set_vars(caller.contact, caller.contact, park_after_bridge="false", hangup_after_bridge="true")
        node.emit(
            TransferOut(
                contact=caller.contact,
                leg=caller.contact,
                tenant=caller.tenant,
                ways=taken.ways,
                sorry_file=caller.prompt("sorry"),
                returns=way_out.purpose == TRANSFER,
                music=caller.queue.music,
            )
        )
    elif taken.refusal == NO_ROUTE or node.at_us - way_out.since_us >= PATIENCE_MS * 1000:
        _give_up(node, caller, way_out)
    else:
        if not again:
            node.emit(PlayMusic(contact=caller.contact, leg=caller.contact, music=caller.queue.music))
        node.timer(f"way-out:{caller.contact}", RETRY_MS)


def look_again(node: Node, contact: str) -> None:
    """Perhaps a line is free now."""
    caller = node.callers.get(contact)
    if caller is not None and caller.stage is Stage.LEAVING and caller.way_out is not None:
        _go(node, caller, caller.way_out, again=True)


def resume(node: Node, caller: Caller, text: str) -> None:
    """A new owner finds a leg that is on its way and has not got there."""
    purpose, _, number = text.partition(" ")
    caller.stage = Stage.LEAVING
    caller.way_out = WayOut(number, purpose, node.at_us)
    node.timer(f"way-out:{caller.contact}", RETRY_MS)


def _give_up(node: Node, caller: Caller, way_out: WayOut) -> None:
    if way_out.purpose == TRANSFER:
        came_back(node, caller)
        return
    caller.stage, caller.way_out = Stage.WAITING, None
    farewell(node, caller, "sorry")


def came_back(node: Node, caller: Caller) -> None:
    """Nobody was reached: the caller waits again, at the old place."""
    caller.way_out = None
    caller.parted = False
    caller.recovered = True
    caller.again += 1
    back_to_music(node, caller)
    node.set_vars(caller.contact, caller.contact, cc_out="", hangup_after_bridge="false")
    schedule.arm(node, caller)
    announce_waiting(node, caller, f"back-{node.at_us}")
