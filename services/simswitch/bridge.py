"""Two legs joined by ``uuid_bridge`` or by the application ``bridge``, with the races of the real switch. Theory.

``uuid_bridge A C`` answers ``+OK`` as soon as both exist. Then both legs leave what they do, each in its own task: A, the
originator, goes CS_HIBERNATE, CS_RESET, CS_SOFT_EXECUTE and waits in 20 ms steps until C stands in CS_RESET, sends it to
CS_SOFT_EXECUTE, and only then makes the bridge (about 45 ms in all). So

* C hangs up meanwhile: A is hung up (ORIGINATOR_CANCEL), or parked with ``uuid_bridge_park_on_cancel``;
* A hangs up meanwhile: C stays in CS_RESET or CS_SOFT_EXECUTE, silent, for ever: nothing but a kill or a transfer ends
  that. This is why a client must watch for CHANNEL_BRIDGE and rescue the caller;
* A is transferred meanwhile: it does not look, makes C ready, finds itself not ready, and hangs up *C*
  (DESTINATION_OUT_OF_ORDER) before it goes where it was sent. Transferred before it waits (it has not left its application yet), it goes
  there at once, and C stays silent as above;
* C is transferred meanwhile: it goes there, and A waits on, silent. After a thousand looks at a leg whose state does not change, 20 s
  later, A hangs up both, C wherever it is by then.

CHANNEL_BRIDGE and CHANNEL_UNBRIDGE come once, with the originator as their leg, so with the agent first they carry the
agent's Unique-ID. When the bridge ends, the leg that is left looks at ``park_after_bridge``, then
``transfer_after_bridge``, then ``hangup_after_bridge``; with none of them a ``uuid_bridge`` leg is hung up.
(switch_ivr_bridge.c: uuid_bridge_on_soft_execute, switch_ivr_multi_threaded_bridge, audio_bridge_on_exchange_media.)
"""

from __future__ import annotations

import asyncio
from functools import partial

from services.simswitch.bugs import hear_partner
from services.simswitch.channel import Channel
from services.simswitch.core.leg import other_leg
from services.simswitch.core.wire import Value
from services.simswitch.redirect import note_transfer, transfer
from services.simswitch.switch import Switch
from services.simswitch.waiting import TICK_S

_LOOKS = 1000
"""So often the originator looks at a leg that stands in some other state than the bridge needs."""


def uuid_bridge(switch: Switch, first: str, second: str) -> str:
    """Carry out the API command and return its reply."""
    a, b = switch.find(first), switch.find(second)
    if a is None or b is None or a is b:
        return "-ERR Invalid uuid\n"
    if a.direction == "outbound" and not a.hit_dialplan:
        a.flip_caller_id()
    if b.direction == "outbound":
        b.hit_dialplan = False
    a.variables["uuid_bridge"] = b.uuid
    for leg, other in ((a, b), (b, a)):
        leg.variables["bridge_channel"] = other.name
        leg.variables["bridge_uuid"] = other.uuid
        leg.variables["signal_bond"] = other.uuid
    if a.direction == "inbound" and a.b_leg:
        a.profile.invert_caller_id()
        b.b_leg = False
    if b.direction == "inbound" and not b.b_leg:
        b.profile.invert_caller_id()
        b.b_leg = True
    for leg, other in ((a, b), (b, a)):
        leg.variables["original_destination_number"] = leg.profile.destination
        if leg.profile.cid_name:
            leg.variables["original_caller_id_name"] = leg.profile.cid_name
        leg.variables["original_caller_id_number"] = leg.profile.cid_number
        leg.new_profile()
        if leg.direction == "outbound":
            leg.profile.logical_direction = "inbound" if leg.hit_dialplan else "outbound"
        note_transfer(leg, f"uuid_br:{other.uuid}")
    a.other, b.other = other_leg("originatee", b.profile), other_leg("originator", a.profile)
    p, q = a.profile, b.profile
    p.callee_name, p.callee_number = q.callee_name, q.callee_number
    q.cid_name, q.cid_number = p.cid_name, p.cid_number
    b.joined_by = a
    a.redirect_to(partial(_originator, a, b), "CS_HIBERNATE")
    b.redirect_to(partial(_joined, b, a), "CS_HIBERNATE")
    return f"+OK {second}\n"


async def _originator(a: Channel, b: Channel) -> None:
    a.variables.pop("uuid_bridge", None)
    bridged = a.running == "CS_SOFT_EXECUTE"
    for state in (
        ("CS_RESET", "CS_SOFT_EXECUTE") if bridged else ("CS_HIBERNATE", "CS_RESET", "CS_SOFT_EXECUTE")
    ):
        a.set_state(state)
    if b.gone:
        await _without_partner(a)
        return
    if not await _stands_ready(a, b):
        return
    fire = a.switch.fire
    for leg, other, place in ((a, b, "uuid_bridge a"), (b, a, "uuid_bridge b")):
        fire(
            "CHANNEL_EXECUTE",
            leg,
            tail={"Application": "uuid_bridge", "Application-Data": other.uuid},
            location=place,
        )
        leg.update_row("uuid_bridge", other.uuid)
    await talk(a, b)
    if a.leaving:
        return
    if not _after_bridge(a, b):
        a.set_state("CS_EXECUTE")
        if a.call_state == "UNHELD":
            a.set_call_state("ACTIVE")
        a.end("NORMAL_CLEARING", by="switch")


async def _stands_ready(a: Channel, b: Channel) -> bool:
    """Wait, as the originator, until the other leg stands in CS_SOFT_EXECUTE. False when it comes to no bridge."""
    looks = 0
    while not (a.down or b.down):
        if b.state != b.running:
            looks = 0
        elif b.joined_by is a and b.running == "CS_SOFT_EXECUTE":
            break
        else:
            looks += 1
            if looks >= _LOOKS:
                a.end("DESTINATION_OUT_OF_ORDER", by="switch")
                b.end("DESTINATION_OUT_OF_ORDER", by="switch")
                return False
            if b.joined_by is a and b.running == "CS_RESET":
                b.set_state("CS_SOFT_EXECUTE")
        await a.pause(TICK_S)
    if a.down:
        return False
    if b.down:
        if a.truth("uuid_bridge_park_on_cancel"):
            a.redirect_to(a.park_state, "CS_PARK")
        elif a.redirect is None:
            a.end("ORIGINATOR_CANCEL", by="switch")
        return False
    if a.redirect is not None:
        b.end("DESTINATION_OUT_OF_ORDER", by="switch")
        return False
    return True


async def _without_partner(a: Channel) -> None:
    if a.truth("park_after_bridge"):
        a.redirect_to(a.park_state, "CS_PARK")
    elif target := a.var("transfer_after_bridge"):
        _transfer_after(a, target)
    else:
        a.end("DESTINATION_OUT_OF_ORDER", by="switch")


async def _joined(b: Channel, a: Channel) -> None:
    b.set_state("CS_HIBERNATE")
    b.set_state("CS_RESET")
    # Nothing but a kill or another redirection ends this when the originator never comes.
    await b.wait(None, digits="keep", messages=False, until=lambda: b.partner is a)
    await exchange_media(b, a)


async def exchange_media(b: Channel, a: Channel) -> None:
    """The second leg's side of a bridge, until it is over for it."""
    if b.leaving:
        return
    await b.wait(None, until=lambda: b.partner is not a)
    if b.leaving:
        b.running = "CS_RESET" if b.running == "CS_EXCHANGE_MEDIA" else b.running
        if b.partner is a:
            b.partner = None  # the originator must see it, also when this leg is in its next step already
        a.wake()
        return
    if b.truth("park_after_bridge"):
        b.redirect_to(b.park_state, "CS_PARK")
    elif target := b.var("transfer_after_bridge"):
        _transfer_after(b, target)
    else:
        b.end("NORMAL_CLEARING", by="switch")


def announce_bridge(a: Channel, b: Channel, *, called_first: bool = False) -> None:
    """CHANNEL_BRIDGE and all that comes with it: from now on the two hear each other.

    In the application ``bridge`` the called leg's thread is there first, after ``uuid_bridge`` the originator's.
    """
    switch = a.switch
    now = switch.now_us()
    b.variables["call_uuid"] = a.uuid
    for leg in (a, b):
        leg.profile.times.bridged = now
    switch.fire("CHANNEL_BRIDGE", a, head=_ends(a, b))
    for leg, other in ((a, b), (b, a)):
        leg.variables["bridge_to"] = other.uuid
        leg.variables["last_bridge_to"] = other.uuid
        leg.variables["bridge_channel"] = other.name
        leg.variables["bridge_uuid"] = other.uuid
        leg.variables["signal_bond"] = other.uuid
        if (row := switch.rows.get(leg.uuid)) is not None:
            row["call_uuid"] = a.uuid
    a.partner, b.partner = b, a
    b.set_state("CS_EXCHANGE_MEDIA")
    b.wake()
    hear_partner(a)
    hear_partner(b)
    switch.observer.bridged(a, b)
    for leg, other in ((b, a), (a, b)) if called_first else ((a, b), (b, a)):
        shown_name, shown = _display(a, b, leg)
        leg.variables["last_sent_callee_id_name"] = shown_name
        leg.variables["last_sent_callee_id_number"] = shown
        if leg.twin is not None:
            # There is no phone to show it: the other half of the loopback has a new caller.
            leg.twin.profile.cid_name, leg.twin.profile.cid_number = shown_name, shown
            continue
        switch.fire(
            "CALL_UPDATE",
            leg,
            head={
                "Direction": "SEND",
                "Sent-Callee-ID-Name": shown_name,
                "Sent-Callee-ID-Number": shown,
                "Bridged-To": other.uuid,
            },
        )
        if _notices(leg, other):
            leg.party.on_bridged(leg, other)


async def talk(a: Channel, b: Channel, *, called_first: bool = False) -> None:
    """From CHANNEL_BRIDGE to CHANNEL_UNBRIDGE, in the originator's task, which keeps the second leg from being destroyed."""
    b.bridge_over = over = asyncio.Event()
    try:
        await _talk(a, b, called_first)
    finally:
        over.set()


async def _talk(a: Channel, b: Channel, called_first: bool) -> None:
    switch = a.switch
    announce_bridge(a, b, called_first=called_first)
    await a.wait(None, until=lambda: b.leaving or a.partner is not b or b.partner is not a)
    if a.redirect is None and b.redirect is None:
        await a.pause(TICK_S)
    for leg in (a, b):
        if leg.held and not leg.down:
            leg.unhold_quietly()
    switch.observer.unbridged(a, b)
    a.partner = None
    if b.partner is a:
        b.partner = None
    b.wake()
    while b.running == "CS_EXCHANGE_MEDIA" and not b.gone:
        await a.pause(0)
    hear_partner(a)
    if not b.gone:
        hear_partner(b)
    a.variables.pop("bridge_to", None)
    b.variables.pop("bridge_to", None)
    if b.hangup_cause:
        a.variables["last_bridge_hangup_cause"] = b.hangup_cause
        a.variables["bridge_hangup_cause"] = b.hangup_cause
    if not b.down:
        b.variables["call_uuid"] = b.uuid
    switch.fire("CHANNEL_UNBRIDGE", a, head=_ends(a, b))
    for leg, other in ((a, b), (b, a)):
        if _notices(leg, other):
            leg.party.on_unbridged(leg)


def _notices(leg: Channel, other: Channel) -> bool:
    """Whether somebody is there who notices the other: a call on its way through this node is nobody."""
    return leg.party is not None and not (other.party is not None and other.party.relays)


def _display(a: Channel, b: Channel, leg: Channel) -> tuple[str, str]:
    """Name and number that the phone of ``leg`` shows while ``a`` talks to ``b`` (``send_display``)."""
    p, q = a.profile, b.profile
    if leg is b:
        number = q.cid_number or p.cid_number or "UNKNOWN"
        return q.cid_name or p.cid_name or number, number
    number = q.callee_number or q.destination
    return q.callee_name or number, number


def _ends(a: Channel, b: Channel) -> dict[str, Value]:
    return {"Bridge-A-Unique-ID": a.uuid, "Bridge-B-Unique-ID": b.uuid}


def _after_bridge(a: Channel, b: Channel) -> bool:
    if a.truth("park_after_bridge"):
        a.redirect_to(a.park_state, "CS_PARK")
    elif target := a.var("transfer_after_bridge"):
        _transfer_after(a, target)
    elif a.truth("hangup_after_bridge"):
        a.end(b.hangup_cause or "NORMAL_CLEARING", by="switch")
    else:
        return False
    return True


async def bridge_application(a: Channel, b: Channel) -> None:
    """The application ``bridge`` after its outgoing leg was answered; afterwards the dialplan goes on, or not."""
    b.joined_by = a
    step = partial(_bridged_by_application, b, a)
    b.redirect_to(step)
    # Until it has begun that step the other leg counts as leaving, which would end the bridge before it is one.
    while b.redirect is step and not b.down:
        await a.pause(0)
    if a.interrupted or b.down:
        b.end("ORIGINATOR_CANCEL", by="switch")
        return
    await talk(a, b, called_first=True)
    if not a.interrupted:
        _after_bridge(a, b)


async def _bridged_by_application(b: Channel, a: Channel) -> None:
    await b.wait(None, digits="keep", messages=False, until=lambda: b.partner is a)
    await exchange_media(b, a)


def _transfer_after(leg: Channel, target: str) -> None:
    destination, _, rest = target.partition(":")
    dialplan, _, context = rest.partition(":")
    transfer(leg, destination, dialplan, context)
