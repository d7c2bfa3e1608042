"""Legs that the switch itself starts: ``originate`` and the dialling part of the application ``bridge``.

What a failed originate leaves behind differs by cause, as measured: without a registration there is no leg and no event
but the job's answer (SUBSCRIBER_ABSENT); a UUID that exists is refused with DESTINATION_OUT_OF_ORDER, also without a
leg; busy, declined, no answer and a kill end a leg that was there.
"""

from __future__ import annotations

import asyncio
import re
import uuid as uuids
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch.channel import TICK_S, Channel, transfer
from services.simswitch.core.dialplan import Action
from services.simswitch.core.leg import Profile, Times
from services.simswitch.core.leg_variables import outbound_variables, progress_variables
from services.simswitch.core.wire import Value
from services.simswitch.switch import Switch

USAGE: Final = (
    "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] [<cid_num>] "
    "[<timeout_sec>]\n"
)
_HOST: Final = "127.0.0.1"
_APP: Final = re.compile(r"&([A-Za-z_]+)(?:\((.*)\))?$", re.DOTALL)


@dataclass(slots=True)
class DialString:
    """One parsed dial string."""

    endpoint: str
    number: str
    domain: str = ""
    variables: dict[str, Value] = field(default_factory=dict)


def parse_dial_string(text: str) -> DialString | None:
    """``{a=b,c=d}user/1001@domain`` or ``sofia/...``; None for an endpoint that is not there."""
    variables: dict[str, Value] = {}
    text = text.strip()
    while text[:1] in ("{", "[", "<"):
        close = {"{": "}", "[": "]", "<": ">"}[text[0]]
        inner, rest = _bracket(text, text[0], close)
        for pair in separate(inner, ","):
            parts = separate(pair, "=", 2)
            if len(parts) == 2 and parts[0]:
                variables[parts[0]] = parts[1]
        text = rest.strip()
    endpoint, _, rest = text.partition("/")
    if endpoint == "user":
        number, _, domain = rest.partition("@")
        return DialString("user", number, domain, variables)
    if endpoint == "sofia":
        words = rest.split("/")
        if words[0] == "gateway" and len(words) >= 3:
            return DialString("gateway", words[2], words[1], variables)
        target = "/".join(words[1:]).removeprefix("sip:")
        number, _, domain = re.split("[;?]", target)[0].replace("%", "@").partition("@")
        return DialString("sofia", number, domain, variables)
    return None


def _bracket(text: str, opening: str, closing: str) -> tuple[str, str]:
    depth = 0
    for i, c in enumerate(text):
        depth += (c == opening) - (c == closing)
        if depth == 0:
            return text[1:i], text[i + 1 :]
    return text[1:], ""


async def originate(switch: Switch, argument: str) -> str:
    """Carry out the API command; the reply says ``+OK <uuid>`` or ``-ERR <cause>``."""
    words = separate(argument, " ")
    if not 2 <= len(words) <= 7:
        return USAGE
    words += [""] * (7 - len(words))
    url, extension, dialplan, context, cid_name, cid_number, timeout = (
        "" if w == "undef" else w for w in words
    )
    leg, cause = await dial(
        switch,
        url,
        cid_name=cid_name,
        cid_number=cid_number,
        timeout_s=float(timeout) if timeout.isdigit() else 60.0,
    )
    if leg is None:
        return f"-ERR {cause}\n"
    if _taken(leg):
        return f"+OK {leg.uuid}\n"
    if found := _APP.match(extension):
        action = Action(found[1], found[2] or "")
        leg.profile.extension = (action.app, ((action.app, action.data),))
        leg.redirect_to(partial(leg.run_actions, (action,)))
    else:
        transfer(leg, extension, dialplan or "XML", context or "default")
    return f"+OK {leg.uuid}\n"


async def dial(
    switch: Switch,
    url: str,
    *,
    cid_name: str = "",
    cid_number: str = "",
    timeout_s: float = 60.0,
    caller: Channel | None = None,
) -> tuple[Channel | None, str]:
    """Ring ``url`` until it answers; return the answered leg and SUCCESS, or None and the cause."""
    target = parse_dial_string(url)
    if target is None:
        return None, "CHAN_NOT_IMPLEMENTED"
    if switch.refuse_originates:
        return None, switch.refuse_originates
    phone = switch.phones.get(target.number if target.endpoint != "gateway" else "gateway")
    if target.endpoint == "user" and (
        target.number not in switch.registered or target.domain != switch.domain
    ):
        return None, "SUBSCRIBER_ABSENT"
    if phone is None:
        return None, "INVALID_GATEWAY" if target.endpoint == "gateway" else "USER_NOT_REGISTERED"
    given = target.variables
    uuid = str(given.get("origination_uuid") or uuids.uuid4())
    if switch.find(uuid) is not None:
        return None, "DESTINATION_OUT_OF_ORDER"
    if target.endpoint == "user":
        given = {"dialed_user": target.number, "dialed_domain": target.domain, **given}
    if caller is not None:
        cid_name, cid_number = caller.profile.cid_name, caller.profile.cid_number
    leg = _create(switch, target, uuid, given, cid_name, cid_number)
    for name in ("originate_timeout", "leg_timeout"):
        limit = str(given.get(name, ""))
        if limit.isdigit():
            timeout_s = min(timeout_s, float(limit))
    leg.start_outbound()
    phone.invite(leg)
    cause = await _outcome(leg, timeout_s, caller)
    if cause != "SUCCESS":
        return None, cause
    await leg.pause(TICK_S)
    if leg.down:
        return None, leg.hangup_cause
    if _taken(leg):
        return leg, "SUCCESS"
    leg.variables["pre_transfer_caller_id_number"] = leg.profile.cid_number
    leg.variables["channel_cid_flipped"] = "yes"
    leg.hit_dialplan = True
    p = leg.profile
    p.cid_name, p.cid_number, p.callee_name, p.callee_number = p.destination, p.destination, "", p.cid_number
    switch.fire("CALL_UPDATE", leg, head={"Direction": "SEND"})
    return leg, "SUCCESS"


def _create(
    switch: Switch, target: DialString, uuid: str, given: dict[str, Value], cid_name: str, cid_number: str
) -> Channel:
    now = switch.now_us()
    if target.endpoint == "gateway":
        name, address = f"sofia/trunk/{target.number}", f"{target.number}@{_HOST}"
    else:
        name, address = f"sofia/agents/{target.number}@{_HOST}:5070", f"{target.number}@{_HOST}:5070"
    cid_name = str(given.get("origination_caller_id_name", cid_name))
    cid_number = str(given.get("origination_caller_id_number", cid_number)) or "0000000000"
    profile = Profile(
        direction="outbound",
        uuid=uuid,
        chan_name=name,
        source="src/switch_ivr_originate.c",
        context="default",
        destination=target.number,
        cid_name=cid_name,
        cid_number=cid_number,
        orig_cid_name=cid_name,
        orig_cid_number=cid_number,
        callee_name="Outbound Call",
        callee_number=target.number,
        ani=cid_number,
        times=Times(profile_created=now, created=now),
    )
    leg = Channel(switch, uuid, profile, switch.next_session_id())
    leg.running = "CS_NONE"
    leg.state = "CS_INIT"
    leg.variables = outbound_variables(leg, host=_HOST, url=address, given=given)
    switch.add_channel(leg)
    switch.observer.leg_created(leg)
    switch.fire("CHANNEL_OUTGOING", leg, variables=False)
    leg.set_state("CS_INIT")
    leg.insert_row()
    leg.state = "CS_ROUTING"
    switch.fire("CHANNEL_CREATE", leg)
    switch.fire("CHANNEL_ORIGINATE", leg)
    leg.set_state("CS_ROUTING")
    leg.set_state("CS_CONSUME_MEDIA")
    return leg


async def _outcome(leg: Channel, timeout_s: float, caller: Channel | None) -> str:
    """Wait until the phone has answered or the leg is over. A caller who leaves ends the ringing."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not leg.down and not leg.answered:
        if caller is not None and caller.down:
            leg.end("ORIGINATOR_CANCEL", by="switch")
        elif loop.time() >= deadline:
            leg.end("NO_ANSWER", by="switch")
        else:
            await asyncio.sleep(TICK_S)
    if leg.down:
        if leg.task is not None:
            await asyncio.wait({leg.task}, timeout=1.0)
        return leg.hangup_cause
    return "SUCCESS"


def _taken(leg: Channel) -> bool:
    """Whether a client that acts on CHANNEL_ANSWER has bridged or transferred the leg before the job was done."""
    return leg.redirect is not None or leg.running != "CS_CONSUME_MEDIA"


def ringing(leg: Channel) -> None:
    """The phone sends 180."""
    if leg.down or leg.profile.times.progress:
        return
    leg.profile.times.progress = leg.switch.now_us()
    leg.profile.network_addr = _HOST
    leg.profile.callee_name = leg.profile.callee_number
    leg.variables.update(progress_variables(leg, _HOST))
    leg.switch.fire("CHANNEL_PROGRESS", leg)
    leg.set_call_state("RINGING")
