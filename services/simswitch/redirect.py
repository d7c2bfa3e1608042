"""A leg leaves what it does and runs another extension; what its history says of that."""

from __future__ import annotations

import uuid as uuids
from functools import partial

from services.common.esl.quoting import separate
from services.simswitch.channel import Channel
from services.simswitch.core.dialplan import inline


def transfer(leg: Channel, destination: str, dialplan: str, context: str) -> None:
    """``uuid_transfer``: the leg leaves what it does and runs another extension."""
    now = leg.switch.now_us()
    leg.profile.times.transferred = now
    inline_ = dialplan.lower() == "inline"
    context = leg.profile.context if inline_ else context or leg.profile.context
    dialplan = "inline" if inline_ else dialplan or "XML"
    before = leg.profile.destination
    leg.new_profile(destination=destination, dialplan=dialplan, context=context)
    leg.profile.rdnis = before
    leg.variables.pop("signal_bond", None)
    leg.variables.pop("bridge_to", None)
    forwards = leg.var("max_forwards")
    leg.variables["max_forwards"] = str(int(forwards) - 1 if forwards.isdigit() else 70)
    if leg.direction == "outbound":
        leg.profile.logical_direction = "inbound" if leg.hit_dialplan else "outbound"
    leg.other = {}
    note_transfer(leg, f"bl_xfer:{destination}/{context}/{dialplan}")
    if inline_:
        leg.redirect_to(partial(leg.run_inline, inline(destination, separate)), "CS_ROUTING")
    else:
        leg.redirect_to(leg.route, "CS_ROUTING")


def note_transfer(leg: Channel, what: str, *, history_only: bool = False) -> None:
    """``transfer_history`` has every transfer and bridge of a leg, ``transfer_source`` the last."""
    source = f"{leg.switch.now_us() // 1_000_000}:{uuids.uuid4()}:{what}"
    before = leg.variables.get("transfer_history")
    if before is None:
        leg.variables["transfer_history"] = source
    else:
        leg.variables["transfer_history"] = [*([before] if isinstance(before, str) else before), source]
    if not history_only:
        leg.variables["transfer_source"] = source
        leg.profile.transfer_source = source
