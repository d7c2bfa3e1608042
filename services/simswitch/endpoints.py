"""Endpoints: what a destination of a dial string becomes. Theory of operation.

A destination either has nobody to ring, and then there is no leg and no event but the job's answer, or it becomes a leg that
is created first and rung after. Measured with our own configuration (directory, gateway) on 1.10.12:

=====================================================  ==================================
``user/1001@domain``, known, not registered             USER_NOT_REGISTERED, no leg
``user/...`` that the directory does not have           SUBSCRIBER_ABSENT, no leg
``sofia/agents/1001%domain`` without registration       USER_NOT_REGISTERED, no leg
``sofia/agents/x@nobody``, a closed port, no such host  a leg, NORMAL_TEMPORARY_FAILURE (503)
``sofia/gateway/none/1``                                INVALID_GATEWAY, no leg
a gateway that is down                                  GATEWAY_DOWN, no leg
``sofia/none/x``; ``sofia`` and ``sofia/agents``        INVALID_PROFILE; INVALID_URL
``error/<cause>``                                       that cause, no leg
an ``origination_uuid`` that exists                     DESTINATION_OUT_OF_ORDER, no leg
``sofia/trunk/...`` in a dialog (``taken_lines``)       the line of another node's leg, or 481
any other endpoint                                      CHAN_NOT_IMPLEMENTED, no leg
=====================================================  ==================================

A loopback call is two legs: the one that was asked for (``-a``), and one that comes in beside it (``-b``) and runs the
dialplan; what happens to one happens to the other. Both speak plain samples from their first moment; the first has its whole
destination in its name until it is called out.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from services.simswitch.channel import Channel
from services.simswitch.core.causes import cause_named
from services.simswitch.core.codecs import L16
from services.simswitch.core.leg import Profile, Times, other_leg
from services.simswitch.core.leg_variables import outbound_variables, unreachable_variables
from services.simswitch.core.wire import Value
from services.simswitch.dial_string import Destination
from services.simswitch.negotiation import open_plain
from services.simswitch.ports import Phone
from services.simswitch.switch import Switch
from services.simswitch.taken_lines import CALL_ID, dialog_at

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Dialled:
    """A leg that exists and does not ring yet. ``start`` gives it its states and lets the other side know."""

    leg: Channel
    destination: Destination
    start: Callable[[], None]


def dialled(
    switch: Switch, to: Destination, cid_name: str, cid_number: str, caller: Channel | None = None
) -> Dialled | str:
    """Make a leg (CHANNEL_OUTGOING), or say why there is none. ``caller`` is who waits for it in the application ``bridge``."""
    if switch.refuse_originates:
        return switch.refuse_originates
    if to.endpoint == "error":
        return cause_named(to.number)
    uuid = str(to.variables.get("origination_uuid") or uuids.uuid4())
    cid_name = str(to.variables.get("origination_caller_id_name", cid_name))
    cid_number = str(to.variables.get("origination_caller_id_number", cid_number)) or "0000000000"
    made: Dialled | str
    if to.endpoint in ("user", "sofia", "gateway"):
        phone = _phone(switch, to)
        if isinstance(phone, str):
            return phone
        if _no_session(switch, uuid):
            return "DESTINATION_OUT_OF_ORDER"
        leg = _leg(switch, to, uuid, cid_name, cid_number, *_address(to))
        if caller is not None:
            _called_by(leg, caller)
        made = Dialled(leg, to, partial(_ring, leg, phone))
    elif to.endpoint == "null":
        if _no_session(switch, uuid):
            return "DESTINATION_OUT_OF_ORDER"
        leg = _leg(switch, to, uuid, cid_name, cid_number, f"null/{to.number}", "")
        made = Dialled(leg, to, partial(_answer_at_once, leg))
    elif to.endpoint == "loopback":
        if _no_session(switch, uuid):
            return "DESTINATION_OUT_OF_ORDER"
        place = f"/{to.place}" if to.place else ""
        leg = _leg(switch, to, uuid, cid_name, cid_number, f"loopback/{to.number}{place}-a", "")
        leg.running, leg.state, leg.has_profile = "CS_NONE", "CS_NEW", False
        open_plain(leg, L16)
        leg.state, leg.has_profile = "CS_INIT", True
        leg.rename(f"loopback/{to.number}-a")
        made = Dialled(leg, to, partial(_loop_back, leg, to))
    else:
        return "CHAN_NOT_IMPLEMENTED"
    switch.fire("CHANNEL_OUTGOING", made.leg, variables=False)
    return made


def _no_session(switch: Switch, uuid: str) -> bool:
    """A full, throttled or paused switch says the same as one that has the UUID already."""
    return switch.find(uuid) is not None or bool(switch.refusal("outbound"))


def _phone(switch: Switch, to: Destination) -> Phone | str | None:
    """Who rings; None when the packet goes nowhere; a cause when there is no leg at all."""
    if to.endpoint == "user":
        if to.place not in ("", switch.domain) or to.number not in switch.phones:
            return "SUBSCRIBER_ABSENT"
        if to.number not in switch.registered:
            return "USER_NOT_REGISTERED"
        return switch.phones[to.number]
    if to.endpoint == "gateway":
        gateway = switch.gateways.get(to.place)
        if gateway is None or not to.number:
            return "INVALID_GATEWAY"
        if not gateway.up:
            return "GATEWAY_DOWN"
        return switch.phones.get("gateway")
    if not to.number:
        return "INVALID_URL"
    if to.place not in switch.sofia_profiles:
        return "INVALID_PROFILE"
    if CALL_ID in to.variables:
        return dialog_at(switch, to)
    if to.place == "nodes":
        return switch.nodes.get(to.host)
    if to.registered and to.number not in switch.registered:
        return "USER_NOT_REGISTERED"
    return switch.phones.get(to.number)


def _address(to: Destination) -> tuple[str, str]:
    """Channel name and SIP address."""
    if to.endpoint == "gateway":
        return f"sofia/trunk/{to.number}", f"{to.number}@{HOST}"
    profile = to.place if to.endpoint == "sofia" else "agents"
    address = f"{to.number}@{to.host or HOST + ':5070'}"
    if to.registered or to.endpoint == "user":
        address = f"{to.number}@{HOST}:5070"
    return f"sofia/{profile}/{address}", address


def _leg(
    switch: Switch, to: Destination, uuid: str, cid_name: str, cid_number: str, name: str, address: str
) -> Channel:
    now = switch.now_us()
    loopback = to.endpoint == "loopback"
    profile = Profile(
        direction="outbound",
        uuid=uuid,
        chan_name=name,
        source="src/switch_ivr_originate.c" if address else "mod_loopback",
        context=to.place if loopback else "default",
        dialplan="xml" if loopback else "",
        destination=to.number,
        cid_name=cid_name,
        cid_number=cid_number,
        orig_cid_name=cid_name,
        orig_cid_number=cid_number,
        callee_name="Outbound Call",
        callee_number=to.place if loopback and to.place else to.number,
        ani=cid_number,
        times=Times(profile_created=now, created=now),
    )
    leg = Channel(switch, uuid, profile, switch.next_session_id())
    leg.running = "CS_NONE"
    leg.state = "CS_INIT"
    given = dict(to.variables)
    if to.endpoint == "user":
        given = {"dialed_user": to.number, "dialed_domain": to.place or switch.domain, **given}
    if to.endpoint == "gateway":
        given = {"sip_gateway_name": to.place, **given}
    leg.variables = (
        outbound_variables(leg, host=HOST, url=address, given=given)
        if address
        else _plain_variables(leg, to.endpoint, given)
    )
    switch.add_channel(leg)
    switch.observer.leg_created(leg)
    return leg


def _called_by(leg: Channel, caller: Channel) -> None:
    """The application ``bridge`` clones the caller's profile for the leg, and says on it whose it is."""
    mine, theirs = leg.profile, caller.profile
    mine.username, mine.dialplan, mine.context = theirs.username, theirs.dialplan, theirs.context
    mine.source, mine.network_addr = theirs.source, theirs.network_addr
    mine.ani = theirs.ani
    mine.orig_cid_name, mine.orig_cid_number = theirs.orig_cid_name, theirs.orig_cid_number
    leg.other = other_leg("originator", theirs)
    if caller.hit_dialplan:
        leg.other["Other-Leg-Logical-Direction"] = "inbound"
    forwards = caller.var("max_forwards")
    own = leg.variables
    for name, value in caller.variables.items():
        if name.startswith("sip_h_"):
            own.setdefault(name, value)
    own["max_forwards"] = str(int(forwards) - 1 if forwards.isdigit() else 70)
    if caller.codec is not None:
        own["originator_codec"] = f"{caller.codec.name}@{caller.codec.rate}h@20i"
        if "absolute_codec_string" not in own:
            own["rtp_use_codec_string"] = own["originator_codec"]
    own["originator"] = own["signal_bond"] = caller.uuid
    # The caller's session description goes to the leg, and with it what video means there.
    sip = caller.name.startswith("sofia/")
    if sip:
        own["switch_m_sdp"] = caller.var("switch_r_sdp")
    own["video_media_flow"] = "inactive" if sip else "sendrecv"
    if caller.profile.cid_name and caller.var("sip_cid_type"):
        own["sip_cid_type"] = caller.var("sip_cid_type")


def _plain_variables(leg: Channel, endpoint: str, given: dict[str, Value]) -> dict[str, Value]:
    """What a leg has that is no SIP call."""
    out: dict[str, Value] = {"direction": leg.direction}
    if leg.direction == "outbound":
        out["is_outbound"] = "true"
    out |= {"uuid": leg.uuid, "call_uuid": leg.uuid, "session_id": str(leg.session_id)}
    out |= {"channel_name": leg.name, "read_codec": "L16", "read_rate": "8000"}
    out |= {"write_codec": "L16", "write_rate": "8000", **given}
    if leg.direction == "outbound":
        out |= {"originate_early_media": "true", "originate_endpoint": endpoint}
    return out


def _introduce(leg: Channel) -> None:
    leg.set_state("CS_INIT")
    _present(leg)


def _present(leg: Channel) -> None:
    leg.insert_row()
    leg.state = "CS_ROUTING"
    leg.switch.fire("CHANNEL_CREATE", leg)
    leg.switch.fire("CHANNEL_ORIGINATE", leg)
    leg.set_state("CS_ROUTING")
    leg.set_state("CS_CONSUME_MEDIA")
    leg.start_outbound()


def _ring(leg: Channel, phone: Phone | None) -> None:
    if leg.down:
        leg.start_outbound()
        return
    _introduce(leg)
    if phone is not None:
        phone.invite(leg)
    else:
        leg.sip_status = 503
        leg.variables |= unreachable_variables(leg)
        leg.end("NORMAL_TEMPORARY_FAILURE", by="switch", disposition="recv_refuse")


def _answer_at_once(leg: Channel) -> None:
    _introduce(leg)
    leg.mark_answered()


def _loop_back(leg: Channel, to: Destination) -> None:
    switch = leg.switch
    now = switch.now_us()
    profile = Profile(
        direction="inbound",
        uuid=str(uuids.uuid4()),
        chan_name=f"loopback/{to.number}-b",
        source="mod_loopback",
        context=to.place,
        destination=to.number,
        dialplan="xml",
        cid_name=leg.profile.cid_name,
        cid_number=leg.profile.cid_number,
        orig_cid_name=leg.profile.cid_name,
        orig_cid_number=leg.profile.cid_number,
        ani=leg.profile.ani,
        callee_name=leg.profile.callee_name,
        callee_number=leg.profile.callee_number,
        times=Times(profile_created=now, created=now),
    )
    other = Channel(switch, profile.uuid, profile, switch.next_session_id())
    shared = {n: v for n, v in to.variables.items() if n not in ("origination_uuid",)}
    other.variables = _plain_variables(other, "loopback", shared)
    for mine, theirs, side in ((leg, other, "A"), (other, leg, "B")):
        mine.variables |= {"loopback_leg": side, "other_loopback_leg_uuid": theirs.uuid}
        mine.twin = theirs
    leg.set_state("CS_INIT")
    switch.add_channel(other)
    switch.observer.leg_created(other)
    other.running = "CS_NONE"
    other.has_profile = False
    open_plain(other, L16)
    other.has_profile = True
    _present(leg)
    other.start_inbound()
