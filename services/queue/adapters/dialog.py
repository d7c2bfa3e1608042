"""The SIP dialog of a caller's line in FreeSWITCH's words: what can be read of one, and the originate that goes on with it elsewhere.

The variables are those with which FreeSWITCH's own ``sofia recover`` writes its re-INVITE (sofia_glue.c, sofia_recover_callback and
sofia_glue_do_invite of 1.10.12). What stands in them comes from outside: nothing but plain words is let through.
"""

from __future__ import annotations

import re

from services.common.errors import UnsafeCommandError
from services.common.esl import Event, channel_vars
from services.queue.core.legs import Line
from services.queue.core.outputs import TakeLine

_CALL_ID = re.compile(r"[A-Za-z0-9_.@:!%*+~()-]{1,256}")
_TAG = re.compile(r"[A-Za-z0-9_.!%*+~-]{1,128}")
_ADDRESS = re.compile(
    r"(?:[A-Za-z0-9_.!~*+&=$?/%-]{1,128}@)?(?:[A-Za-z0-9_.-]{1,128}|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?"
)
_PARAMETERS = re.compile(r"(?:;?[A-Za-z0-9_.-]{1,32}(?:=[A-Za-z0-9_.:-]{1,64})?){0,8}")
_ROUTE = re.compile(
    r"<sips?:[A-Za-z0-9_.!~*+&=$@:;%\[\]-]{1,256}>(?:,\s*<sips?:[A-Za-z0-9_.!~*+&=$@:;%\[\]-]{1,256}>){0,4}"
)
_PROFILE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUMBER = re.compile(r"\+?[0-9*#]{1,24}")


def line_of(event: Event) -> Line | None:
    """The dialog of an answered leg, from ``uuid_dump``; None when it has none that we could go on with."""
    var = event.variable
    us, them = ("to", "from") if event.get("Call-Direction") == "inbound" else ("from", "to")
    ours, theirs = var(f"sip_{us}_uri"), var(f"sip_{them}_uri")
    our_tag, their_tag = var(f"sip_{us}_tag"), var(f"sip_{them}_tag")
    target, parameters = var("sip_contact_uri"), var("sip_contact_params")
    route = var("sip_invite_route_uri")
    came_from = f"{var('sip_network_ip')}:{var('sip_network_port')}"
    profile = var("sofia_profile_name")
    plain = (
        event.get("Answer-State") == "answered"
        and _CALL_ID.fullmatch(var("sip_call_id"))
        and all(_ADDRESS.fullmatch(uri) for uri in (ours, theirs, target))
        and all(_TAG.fullmatch(tag) for tag in (our_tag, their_tag))
        and _PARAMETERS.fullmatch(parameters)
        and (not route or _ROUTE.fullmatch(route))
        and _PROFILE.fullmatch(profile)
    )
    if not plain:
        return None
    number = var("cc_number") or event.get("Caller-Caller-ID-Number")
    straight = bool(route) or target.rpartition("@")[2] == came_from or not _ADDRESS.fullmatch(came_from)
    return Line(
        call_id=var("sip_call_id"),
        ours=f"<sip:{ours}>;tag={our_tag}",
        theirs=f"<sip:{theirs}>;tag={their_tag}",
        target=f"sip:{target}" + (f";{parameters.removeprefix(';')}" if parameters else ""),
        route=route,
        proxy="" if straight else f"sip:{came_from}",
        profile=profile,
        number=number if _NUMBER.fullmatch(number) else "",
        cseq=int(cseq) if (cseq := var("cc_cseq")).isascii() and cseq.isdigit() and len(cseq) < 11 else 0,
    )


def take_line(command: TakeLine, node: str) -> str:
    """Return the originate of a leg in the dialog of another node's, to be run by bgapi; answered, the leg is a caller who has come here.

    Raises UnsafeCommandError for a line that is none of ``line_of``.
    """
    line = command.line
    address, _, parameters = line.target.removeprefix("sip:").partition(";")
    if not (
        _ADDRESS.fullmatch(address) and _PARAMETERS.fullmatch(parameters) and _PROFILE.fullmatch(line.profile)
    ):
        raise UnsafeCommandError(f"not the address of a line: {line.target[:80]!r}")
    variables = {
        "origination_uuid": command.leg,
        "originate_timeout": str(max(1, round(command.ring_ms / 1000))),
        "origination_caller_id_number": line.number or "anonymous",
        "sip_invite_call_id": line.call_id,
        "sip_handle_full_from": line.ours,
        "sip_handle_full_to": line.theirs,
        "sip_invite_cseq": str(command.cseq),
        "cc_cseq": str(command.cseq),
        "sip_invite_route_uri": line.route,
        "sip_route_uri": line.proxy,
        "cc_taken": "1",
        "cc_node": node,
        "cc_tenant": command.tenant,
        "cc_contact": command.contact,
        "cc_role": "caller",
    }
    chosen = channel_vars({name: value for name, value in variables.items() if value})
    return f"originate {chosen}sofia/{line.profile}/{line.target} move-{command.tenant}.{command.contact} XML public"
