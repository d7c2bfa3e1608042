"""Transfers: by commands, by applications, and by the phone's REFER as the switch sees it. Theory of operation.

Event orders were measured on 1.10.12:

* ``uuid_transfer`` moves the leg, ``-bleg`` the one it talks to, ``-both`` both. Who stays behind is hung up, unless a
  variable such as ``park_after_bridge`` says otherwise.
* A blind REFER moves the other leg to the extension, in the context of that leg; then the phone that sent it hangs up.
* A REFER with Replaces joins the two partners: ``uuid_bridge`` of the caller with the one who was asked. The consultation leg
  is parked and ends with ATTENDED_TRANSFER when the new bridge stands.
* ``att_xfer`` dials while the first partner is held (music, RING_WAIT). If the asked one does not answer, everything is as
  before. ``#`` by the asker, or the end of the asked one, brings the first partner back by ``uuid_bridge``. When the
  asker hangs up, both partners are parked and joined. ``0`` lets the asked one into the first call (``three_way``).
* ``intercept`` takes a leg over: whom it talks to ends with PICKED_OFF, and the two are joined by ``uuid_bridge``.
"""

from __future__ import annotations

import asyncio
from functools import partial

from services.common.esl.quoting import separate
from services.simswitch.bridge import announce_bridge, uuid_bridge
from services.simswitch.channel import Channel
from services.simswitch.core.dialplan import Action
from services.simswitch.core.leg import other_leg
from services.simswitch.originate import dial
from services.simswitch.redirect import note_transfer, transfer
from services.simswitch.waiting import TICK_S


def uuid_transfer(leg: Channel, flag: str, destination: str, dialplan: str, context: str) -> None:
    """``uuid_transfer <uuid> [-bleg|-both] <exten> [<dialplan> [<context>]]``."""
    other = leg.switch.find(leg.var("bridge_to"))
    legs = [leg]
    if flag == "-bleg" and other is not None:
        legs = [other]
    elif flag == "-both" and other is not None:
        legs = [leg, other]
    for x in legs:
        if not x.down:
            transfer(x, destination, dialplan, context)


def dual_transfer(leg: Channel, first: str, second: str) -> None:
    """``uuid_dual_transfer``: the leg to one extension (``exten/dialplan/context``), whom it talks to to another."""
    other = leg.switch.find(leg.var("bridge_to"))
    for x, where in ((leg, first), (other, second)):
        if x is not None and not x.down:
            destination, dialplan, context = (*where.split("/", 2), "", "")[:3]
            transfer(x, destination, dialplan, context)


def refer(leg: Channel, destination: str) -> bool:
    """The phone of ``leg`` sends REFER. False when it talks to nobody (the switch answers 403)."""
    other = leg.partner
    if other is None or leg.down or other.down:
        if not leg.down:
            leg.end("NORMAL_CLEARING", by="agent")
        return False
    leg.variables["transfer_to"] = f"blind:{other.uuid}"
    leg.variables["transfer_fallback_extension"] = leg.profile.destination
    other.variables["sip_refer_to"] = f"<sip:{destination}@127.0.0.1>"
    leg.variables["park_after_bridge"] = "true"
    transfer(other, destination, "XML", other.profile.context)
    asyncio.get_running_loop().call_later(TICK_S, partial(leg.end, "NORMAL_CLEARING", by="agent"))
    return True


def refer_replaces(leg: Channel, consultation: Channel) -> bool:
    """The phone that talks on ``leg`` and on ``consultation`` joins its two partners and is out of both calls."""
    caller, asked = leg.partner, consultation.partner
    if caller is None or asked is None or leg.down or consultation.down:
        return False
    leg.variables["transfer_to"] = f"att:{asked.uuid}"
    for x in (caller, asked):
        who = f"{leg.profile.destination}@127.0.0.1/{x.profile.cid_number}@127.0.0.1"
        note_transfer(x, f"att_xfer:{who}", history_only=True)
    consultation.variables["park_after_bridge"] = "true"
    leg.variables["park_after_bridge"] = "true"
    uuid_bridge(leg.switch, caller.uuid, asked.uuid)
    loop = asyncio.get_running_loop()
    loop.call_soon(partial(leg.end, "NORMAL_CLEARING", by="agent"))
    leg.switch.spawn(_when_joined(caller, asked, consultation), "attended transfer")
    return True


async def _when_joined(caller: Channel, asked: Channel, consultation: Channel) -> None:
    while not (caller.partner is asked or caller.down or asked.down or consultation.down):
        await caller.pause(TICK_S)
    consultation.end("ATTENDED_TRANSFER", by="switch")


async def intercept(leg: Channel, data: str) -> str:
    """Application ``intercept [-bleg] <uuid>``."""
    words = separate(data, " ")
    target = leg.switch.find(words[-1]) if words else None
    if target is not None and words[0] == "-bleg":
        target = target.partner
    if target is None or target is leg or target.down:
        return ""
    other = target.partner
    if leg.truth("intercept_unbridged_only") and other is not None:
        return ""
    if not leg.answered:
        leg.mark_answered(early=False)
    if other is not None:
        other.end("PICKED_OFF", by="switch")
    uuid_bridge(leg.switch, leg.uuid, target.uuid)
    return ""


async def att_xfer(leg: Channel, data: str) -> str:
    """Application ``att_xfer <dial string>``: a consultation in the middle of a call."""
    held = leg.partner
    if leg.answered:
        leg.set_call_state("RING_WAIT")
    if held is not None:
        leg.variables["soft_holding_uuid"] = held.uuid
    asked, cause = await dial(leg.switch, data, caller=leg)
    if leg.answered and not leg.down:
        leg.set_call_state("ACTIVE")
    leg.variables["originate_disposition"] = cause
    if asked is None:
        leg.variables.pop("soft_holding_uuid", None)
        return ""
    how = await _consult(leg, asked)
    leg.variables.pop("soft_holding_uuid", None)
    if held is None or held.down:
        if how in ("key", "over"):
            asked.end("NORMAL_CLEARING", by="switch")
        return ""
    if how == "left":
        for x in (held, asked):
            x.redirect_to(x.park_state, "CS_PARK")
        leg.switch.spawn(_join_parked(asked, held), "attended transfer")
        return ""
    if how == "three":
        asked.redirect_to(partial(_let_in, asked, leg), "CS_RESET")
    elif not asked.down:
        asked.end("NORMAL_CLEARING", by="switch")
    uuid_bridge(leg.switch, leg.uuid, held.uuid)
    return ""


async def _consult(leg: Channel, asked: Channel) -> str:
    """Asker and asked talk. ``left``: the asker hung up; ``over``: the asked one did; ``key``: ``#``; ``three``: ``0``."""
    switch = leg.switch
    held, keys = leg.partner, leg.var("attxfer_conf_key") or "0"
    cancel = leg.var("attxfer_cancel_key") or "#"
    leg.other = other_leg("originatee", asked.profile)
    asked.other = other_leg("originator", leg.profile)
    ends = {"Bridge-A-Unique-ID": leg.uuid, "Bridge-B-Unique-ID": asked.uuid}
    asked.redirect_to(partial(_asked, asked, leg))
    announce_bridge(leg, asked)
    how = "over"
    while True:
        key = await leg.wait(
            None, digits="take", accept=keys + cancel, until=lambda: asked.down or asked.partner is not leg
        )
        if key == "stop" and leg.down:
            how = "left"
        elif key == keys:
            how = "three"
        elif key == cancel:
            how = "key"
            asked.end("NORMAL_CLEARING", by="switch")
        break
    switch.observer.unbridged(leg, asked)
    asked.partner = None
    leg.partner = held
    asked.variables.pop("bridge_to", None)
    if held is not None:
        for mine, theirs in ((leg, held), (held, leg)):
            mine.variables["signal_bond"] = mine.variables["bridge_uuid"] = theirs.uuid
            mine.variables["bridge_to"] = theirs.uuid
    if not asked.leaving:
        asked.wake()
    switch.fire("CHANNEL_UNBRIDGE", leg, head=ends)
    return how


async def _let_in(asked: Channel, asker: Channel) -> None:
    asked.set_state("CS_RESET")
    await asked.run_actions((Action("three_way", asker.uuid),))


async def _asked(asked: Channel, asker: Channel) -> None:
    await asked.wait(None, digits="keep", messages=False, until=lambda: asked.partner is asker)
    await asked.wait(None, until=lambda: asked.partner is not asker)
    if asked.partner is asker:  # it was killed or redirected by somebody else
        asked.partner = None
        asker.wake()
    # what follows was decided by the asker: parked, three_way, or the end
    if not asked.leaving:
        await asked.wait(1.0, digits="keep", messages=False)
    if not asked.leaving:
        asked.end("NORMAL_CLEARING", by="switch")


async def _join_parked(a: Channel, b: Channel) -> None:
    while not (a.parked and b.parked) and not (a.down or b.down):
        await a.pause(0)
    if not (a.down or b.down):
        uuid_bridge(a.switch, a.uuid, b.uuid)
        return
    for x in (a, b):
        x.end("NORMAL_CLEARING", by="switch")
