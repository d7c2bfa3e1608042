"""FreeSWITCH's events as inputs, the engine's commands as event-socket commands, its listings as legs.

Commands and races are those that were tried on FreeSWITCH 1.10.12; the engine's modules say why each is there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
from msgspec import Struct
from msgspec.structs import replace

from services.center.numbers import file_string
from services.center.outside import Way, bridge_string, leg_variables
from services.common.errors import ProtocolError, UnsafeCommandError
from services.common.esl import Event, channel_vars, neutralise, setvar_multi
from services.common.ids import derived_id
from services.queue.adapters import supervisor
from services.queue.core import inputs, legs, outputs
from services.queue.core import supervision_messages as sm
from services.queue.core.plan import RINGING

# The shortest list with which the engine sees everything it acts on. CHANNEL_CREATE is there for kills that came too early.
EVENTS = (
    "CHANNEL_CREATE",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_ANSWER",
    "CHANNEL_BRIDGE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_HANGUP",
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "DTMF",
    "MEDIA_BUG_START",
    "MEDIA_BUG_STOP",
)
WAITING = "peyvand::waiting"
HANDED_OVER = "peyvand::handover"
FEATURE = "peyvand::feature"
AGENT_KEYS = "keys XML agent_leg"  # In freeswitch/conf/dialplan: six times bind_meta_app, which were half of an originate's bytes.
SURVEY = "survey XML survey"  # In freeswitch/conf/dialplan.
ROOM = "conference::maintenance"
REFERRED = "sofia::notify_refer"
GATEWAY = "sofia::gateway_state"
WHISPERED = "peyvand::whispered"
SUBCLASSES = (WAITING, HANDED_OVER, FEATURE, ROOM, WHISPERED, supervisor.MODE, GATEWAY, REFERRED)
ROOM_PROFILE = "default"

# 425 Hz, 1 s on and 4 s off: the ringing tone of Iran and most of Europe (ITU-T E.180).
RING_TONE = "tone_stream://%(1000,4000,425);loops=-1"
BEEP = "tone_stream://%(400,100,1000)"
THERE_S = 2  # So much longer a phone of another node rings than it may: the end comes from here while this node lives.
NODE_GONE_MS = 10_000  # So long a leg through another node may be without a packet; there is one every 20 ms.
HELD_MS = 1_800_000  # The same while the phone holds and says nothing.
SILENCE_LEVEL = 200  # Mean amplitude of a frame below which mod_dptools' record counts it as silence; line noise stays under it.

NOT_HEARD = ("FILE NOT FOUND", "PLAYBACK ERROR")  # mod_dptools.c, playback_function.

_SAFE_PATH = re.compile(r"[A-Za-z0-9_./+!:@-]+")
# origination_uuid may be any text; ours and FreeSWITCH's own are of these.
_UUID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SIP_USER = re.compile(r"[A-Za-z0-9._-]{1,150}")
_NUMBER = re.compile(r"\+?[0-9*#]{2,24}")
_BRIDGED_STATES = ("CS_SOFT_EXECUTE", "CS_EXCHANGE_MEDIA")
_DOWN = frozenset(
    {"FAILED", "FAIL_WAIT", "TIMEOUT", "DOWN"}
)  # Of a gateway: sofia_reg.c's states without a way out.
_DEAD_STATES = ("CS_HANGUP", "CS_REPORTING", "CS_DESTROY")
WAITED_MAX_MS = 24 * 3_600_000  # More is a clock that was set.
_NUMBER_MAX = 2**53  # Beyond it no fact could carry the number, and the caller would never be heard of.
_UNPAIRED = str.maketrans("", "", "{}[]<>;,'\"")


class Dialing(Struct, frozen=True, kw_only=True):
    """How numbers and files are written for this installation's FreeSWITCH."""

    agent_dial: str  # Template with {extension} and {domain}.
    sip_domain: str
    transfer_dial: str  # Template with {number}.
    nodes: Mapping[
        str, str
    ] = {}  # SIP addresses (host:port) by node, for phones that are registered with another one.
    recordings_dir: str  # As FreeSWITCH sees it, without a slash at the end.


# ------------------------------------------------------------------------------------------------------------- events


def to_input(event: Event, at_us: int) -> inputs.Input | None:
    """Return what an event means to the engine, or None. Raises ProtocolError for one about no channel."""
    if event.subclass == ROOM and not event.unique_id:
        return None  # About the room itself.
    if event.subclass == GATEWAY:
        up = event.get("Ping-Status") != "DOWN" and event.get("State") not in _DOWN
        return inputs.GatewayChanged(at_us=at_us, gateway=event.get("Gateway"), up=up)
    if event.subclass == HANDED_OVER:
        return _handed_over(event, at_us)
    if event.subclass == REFERRED:
        status = event.body.split(" ", 2)[1:2]  # SIP/2.0 200 OK
        return inputs.ReferEnded(at_us=at_us, leg=event.get("UniqueID"), status=_number("".join(status)))
    if not _UUID.fullmatch(event.unique_id):
        raise ProtocolError(f"{event.name} about the channel {event.unique_id[:80]!r}, which is no UUID")
    match event.name:
        case "CHANNEL_CREATE":
            return inputs.LegCreated(at_us=at_us, leg=event.unique_id, trunk=trunk_leg(event))
        case "CHANNEL_PROGRESS" | "CHANNEL_PROGRESS_MEDIA":
            return inputs.LegRinging(at_us=at_us, leg=event.unique_id)
        case "CHANNEL_ANSWER":
            customer = caller_leg(event) if event.variable("cc_state") == "callback" else None
            return inputs.LegAnswered(at_us=at_us, leg=event.unique_id, customer=customer)
        case "CHANNEL_BRIDGE":
            return inputs.LegBridged(at_us=at_us, leg=event.unique_id, partner=_other_leg(event))
        case "CHANNEL_UNBRIDGE":
            return inputs.LegUnbridged(at_us=at_us, leg=event.unique_id, partner=_other_leg(event))
        case "CHANNEL_HANGUP":
            return inputs.LegHungUp(at_us=at_us, leg=event.unique_id, cause=event.get("Hangup-Cause"))
        case "DTMF":
            return inputs.DigitPressed(at_us=at_us, leg=event.unique_id, digit=event.get("DTMF-Digit"))
        case "MEDIA_BUG_STOP":
            if event.get("Media-Bug-Function") == "displace":
                return inputs.AnnouncementEnded(
                    at_us=at_us, leg=event.unique_id, file=event.get("Media-Bug-Target")
                )
        case "CHANNEL_HOLD" | "CHANNEL_UNHOLD":
            return inputs.LegHeld(at_us=at_us, leg=event.unique_id, held=event.name == "CHANNEL_HOLD")
        case "CUSTOM" if event.subclass == FEATURE:
            return inputs.FeaturePressed(at_us=at_us, leg=event.unique_id, what=event.get("what"))
        case "CUSTOM" if event.subclass == ROOM:
            if (action := event.get("Action")) in ("add-member", "del-member"):
                return inputs.RoomChanged(
                    at_us=at_us,
                    leg=event.unique_id,
                    room=event.get("Conference-Name"),
                    joined=action == "add-member",
                )
        case "MEDIA_BUG_START" if event.get("Media-Bug-Function") == "eavesdrop":
            return sm.LegOverheard(at_us=at_us, leg=event.unique_id)
        case "CUSTOM" if event.subclass == supervisor.MODE:
            return sm.ModeKeyed(at_us=at_us, leg=event.unique_id, mode=event.get("mode"))
        case "CUSTOM" if event.subclass == WHISPERED:
            return inputs.WhisperEnded(
                at_us=at_us, leg=event.unique_id, heard=event.get("response") not in NOT_HEARD
            )
        case "CUSTOM" if event.subclass == WAITING:
            return inputs.LegParked(at_us=at_us, caller=caller_leg(event))
    return None


def parked_before(
    given: inputs.LegParked | inputs.LegHandedOver, late_ms: int
) -> inputs.LegParked | inputs.LegHandedOver:
    """The input when its event is so late: the caller has waited for so much longer, and keeps that place."""
    waited_ms = given.caller.waited_ms + late_ms
    return replace(given, caller=replace(given.caller, waited_ms=waited_ms))


def _handed_over(event: Event, at_us: int) -> inputs.LegHandedOver:
    # ivr wrote the event: it may not have Unique-ID, or FreeSWITCH would keep it for the channel's thread.
    leg = event.get("Leg")
    if not _UUID.fullmatch(leg):
        raise ProtocolError(f"{HANDED_OVER} about the channel {leg[:80]!r}, which is no UUID")
    return inputs.LegHandedOver(at_us=at_us, caller=replace(caller_leg(event), leg=leg))


def _other_leg(event: Event) -> str:
    a, b = event.get("Bridge-A-Unique-ID"), event.get("Bridge-B-Unique-ID")
    if a and b:
        return b if a == event.unique_id else a
    return event.get("Other-Leg-Unique-ID")


def caller_leg(event: Event) -> legs.CallerLeg:
    """A caller's leg from an event that carries its variables, or from ``uuid_dump``."""
    var = event.variable
    return legs.CallerLeg(
        leg=event.unique_id,
        tenant=var("cc_tenant"),
        queue=var("cc_queue"),
        priority=_number(var("cc_priority")),
        skills=tuple(var("cc_skills").split()),
        language=var("cc_language"),
        customer=var("cc_customer"),
        ani=var("cc_number") or event.get("Caller-Caller-ID-Number"),
        caller_name=event.get("Caller-Caller-ID-Name"),
        entry_point=var("cc_entry") or event.get("Caller-Destination-Number"),
        service_class=var("cc_class"),
        preferred_agent=var("cc_preferred_agent"),
        preferred_ms=_number(var("cc_preferred_ms")),
        no_answer=var("cc_no_answer"),
        wish=var("cc_wish"),
        survey=var("cc_survey"),
        revision=var("cc_revision"),
        started_ms=_number(var("cc_started_ms")),
        waiting_ms=_number(var("cc_waiting_ms")),
        waited_ms=_waited_ms(event),
        bridged_ms=_number(var("cc_bridged_ms")),
        state=var("cc_state"),
        offer=var("cc_offer"),
        agent=var("cc_agent"),
        supervisions=supervisor.names(var("cc_supervisions")),
        bridged=_is_bridged(event),
        partner=_partner(event),
        heard=var("cc_heard"),
        step=var("cc_step"),
        second=var("cc_second"),
        held_ms=_number(var("cc_held_ms")),
        silent=event.get("Channel-State") == "CS_PARK",
        met=(met := _met(event, derived_id("leg", var("cc_offer")))),
        met_ago_ms=_met_ago_ms(event) if met else 0,
        out=var("cc_out"),
        kind=var("cc_kind"),
        callback=var("cc_callback"),
        answered=event.get("Answer-State") == "answered",
        arrived=var("cc_arrived"),
        moving=var("cc_move"),
        refer_status=_number(var("sip_refer_status_code")),
        taken=bool(var("cc_taken")),
    )


def trunk_leg(event: Event) -> legs.TrunkLeg | None:
    """The trunk that a leg is on, and what is kept behind it; None for a leg on none of ours."""
    var = event.variable
    if not (var("cc_trunk") and var("cc_tenant")):
        return None
    then = [tuple(word.split(":")) for word in var("cc_then").split()]
    return legs.TrunkLeg(
        leg=event.unique_id,
        tenant=var("cc_tenant"),
        trunk=var("cc_trunk"),
        gateway=var("cc_gateway"),
        contact=var("cc_contact"),
        answered=event.get("Answer-State") == "answered",
        then=tuple((x[0], x[1], x[2]) for x in then if len(x) == 3),
    )


def agent_leg(event: Event) -> legs.AgentLeg | None:
    """An agent's leg from ``uuid_dump``; None when it carries no offer of ours."""
    var = event.variable
    if not (var("cc_offer") and var("cc_contact") and var("cc_tenant")):
        return None
    return legs.AgentLeg(
        leg=event.unique_id,
        tenant=var("cc_tenant"),
        contact=var("cc_contact"),
        offer=var("cc_offer"),
        agent=var("cc_agent"),
        answered=event.get("Answer-State") == "answered",
        bridged_ms=_number(var("cc_bridged_ms")),
        bridged=_is_bridged(event),
        partner=_partner(event),
        kind=var("cc_kind"),
        elsewhere=bool(var("cc_phone_node")),
        callback=var("cc_callback"),
        codes=var("cc_codes"),
        unconfirmed=bool(var("cc_confirm")) and not var("cc_confirmed"),
        met=(met := bool(_met(event, var("cc_contact")))),
        met_ago_ms=_met_ago_ms(event) if met else 0,
    )


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        return 0
    return number if abs(number) <= _NUMBER_MAX else 0


def _waited_ms(event: Event) -> int:
    """From the parking to the event, both by the switch's clock: its difference from ours does not matter."""
    parked_us, now_us = _number(event.variable("cc_parked_us")), _number(event.get("Event-Date-Timestamp"))
    waited_ms = (now_us - parked_us) // 1000 if parked_us and now_us else 0
    return waited_ms if 0 < waited_ms < WAITED_MAX_MS else 0


def _met(event: Event, other: str) -> str:
    """``other`` when it is the leg with which this one was bridged last, else empty.

    FreeSWITCH sets the variable as it fires CHANNEL_BRIDGE (switch_ivr_multi_threaded_bridge), and leaves it when the bridge is over.
    """
    return other if event.variable("last_bridge_to") == other else ""


def _met_ago_ms(event: Event) -> int:
    bridged_us, now_us = (
        _number(event.get("Caller-Channel-Bridged-Time")),
        _number(event.get("Event-Date-Timestamp")),
    )
    return max(0, now_us - bridged_us) // 1000 if bridged_us and now_us else 0


def _is_bridged(event: Event) -> bool:
    # ``application`` and ``callstate`` are stale after a bridge; the state is not.
    return event.get("Channel-State") in _BRIDGED_STATES and bool(_partner(event))


def _partner(event: Event) -> str:
    return event.variable("bridge_uuid") or event.variable("signal_bond") or event.get("Other-Leg-Unique-ID")


# ----------------------------------------------------------------------------------------------------------- listings


def channel_rows(text: str) -> list[dict[str, Any]]:
    """Rows of ``show channels as json``. Raises ProtocolError when FreeSWITCH says something else."""
    try:
        rows = orjson.loads(text).get("rows", [])
    except (orjson.JSONDecodeError, AttributeError):
        raise ProtocolError(
            f"show channels as json: expected an object with rows, found {text[:80]!r}"
        ) from None
    return [row for row in rows if isinstance(row, dict) and _UUID.fullmatch(str(row.get("uuid")))]


def dumped(text: str) -> Event | None:
    """The leg of ``uuid_dump <uuid> json`` as an event; None when there is no such leg or it is ending."""
    if text.startswith("-"):
        return None
    try:
        headers = orjson.loads(text)
    except orjson.JSONDecodeError:
        # A caller's name in another encoding than UTF-8 is copied as it came; our own variables are plain.
        headers = orjson.loads(text.encode("utf-8", "replace"))
    event = Event.of(headers)
    return None if event.get("Channel-State") in _DEAD_STATES else event


def probed(leg: str, text: str, at_us: int) -> inputs.LegProbed:
    """The answer to a probe."""
    event = dumped(text)
    if event is None:
        return inputs.LegProbed(at_us=at_us, leg=leg, alive=False)
    caller = caller_leg(event) if event.variable("cc_role") not in ("agent", "supervisor") else None
    answered = event.get("Answer-State") == "answered"
    return inputs.LegProbed(at_us=at_us, leg=leg, alive=True, answered=answered, caller=caller)


# ----------------------------------------------------------------------------------------------------------- commands


def api_line(command: outputs.Command, dialing: Dialing) -> str:
    """Return the API command for anything but an originate. Raises UnsafeCommandError for what must not be sent."""
    leg = command.leg
    match command:
        case outputs.SetVars():
            return f"uuid_setvar_multi {leg} {setvar_multi(dict(command.values))}"
        case outputs.PlayMusic():
            return f"uuid_transfer {leg} '{_music(command.music)}' inline"
        case outputs.RingBack():
            keys = [f"execute_extension:{AGENT_KEYS}"] if command.keys else []
            steps = "^".join([*keys, f"playback:{RING_TONE}", "park:"])
            return f"uuid_transfer {leg} 'm:^:{steps}' inline"
        case outputs.Park():
            return f"uuid_transfer {leg} park: inline"
        case outputs.JoinRoom():
            if not _UUID.fullmatch(command.room):
                raise UnsafeCommandError(f"not a room: {command.room[:40]!r}")
            both = " -both" if command.both else ""
            return f"uuid_transfer {leg}{both} conference:{command.room}@{ROOM_PROFILE} inline"
        case outputs.StartAnnouncement():
            return f"uuid_displace {leg} start {_path(command.file)} 0"
        case outputs.StopAnnouncement():
            return f"uuid_displace {leg} stop {_path(command.file)}"
        case outputs.Whisper():
            return f"uuid_transfer {leg} '{_whisper(command)}' inline"
        case outputs.PlayTo():
            return f"uuid_broadcast {leg} {_path(command.file)} aleg"
        case outputs.Kill():
            return f"uuid_kill {leg} {command.cause}"
        case outputs.Bridge():
            return f"uuid_bridge {leg} {command.caller_leg}"
        case outputs.Record():
            return f"uuid_record {leg} start {_path(f'{dialing.recordings_dir}/{command.path}')}"
        case outputs.Farewell():
            if not command.file:
                return f"uuid_kill {leg} NORMAL_CLEARING"
            return f"uuid_transfer {leg} 'playback:{_path(command.file)},hangup:NORMAL_CLEARING' inline"
        case outputs.RunSurvey():
            return f"uuid_transfer {leg} {SURVEY}"
        case outputs.StopRecording():
            return f"uuid_record {leg} stop all"
        case outputs.LeaveMessage():
            return f"uuid_transfer {leg} '{_message(command, dialing)}' inline"
        case outputs.TransferOut():
            return f"uuid_transfer {leg} '{_way_out(command, dialing)}' inline"
        case sm.Listen():
            return supervisor.listen_line(command)
        case outputs.Refer():
            return f"uuid_deflect {leg} sip:{_user(command.user)}@{command.address}"
        case outputs.SetGlobal():
            return f"global_setvar {command.name}={command.value}"
        case outputs.Probe():
            return f"uuid_dump {leg} json"
    raise UnsafeCommandError(f"no API command for {type(command).__name__}")


def _user(user: str) -> str:
    if not _SIP_USER.fullmatch(user):
        raise UnsafeCommandError(f"not the user part of a SIP address: {user[:80]!r}")
    return user


def _music(music: str) -> str:
    if music == RINGING:
        return f"m:^:playback:{RING_TONE}^park:"
    return f"playback:{_path(music)},park:"


def _whisper(command: outputs.Whisper) -> str:
    play = file_string(_path(file) for file in command.files)
    # Expanded before the application event runs: what the playback has come to.
    ended = f"Event-Name=CUSTOM,Event-Subclass={WHISPERED},response=${{current_application_response}}"
    return f"m:^:playback:{play}^event:{ended}^park:"


def _message(command: outputs.LeaveMessage, dialing: Dialing) -> str:
    path = _path(f"{dialing.recordings_dir}/{command.path}")
    ask = [f"playback:{_path(command.file)}"] if command.file else []
    thanks = [f"playback:{_path(command.thanks_file)}"] if command.thanks_file else []
    steps = [
        "set:playback_terminators=none",  # A key must not skip the beep.
        *ask,
        f"mkdir:{path.rpartition('/')[0]}",  # record makes no folders, and hangs up when it cannot write.
        f"playback:{BEEP}",
        "set:playback_terminators=#",
        f"record:{path} {command.most_s} {SILENCE_LEVEL} {command.silence_s}",
        *thanks,
        "hangup:NORMAL_CLEARING",
    ]
    return "m:^:" + "^".join(steps)


def _way_out(command: outputs.TransferOut, dialing: Dialing) -> str:
    ways = [_checked_way(way) for way in command.ways]
    dial = bridge_string(ways, dialing.transfer_dial, command.tenant, command.contact)
    if command.returns:
        end = [
            "set:cc_state=waiting",
            f"event:Event-Name=CUSTOM,Event-Subclass={WAITING}",
            f"playback:{RING_TONE if command.music == RINGING else _path(command.music)}",
            "park:",
        ]
    else:
        sorry = [f"playback:{_path(command.sorry_file)}"] if command.sorry_file else []
        end = [*sorry, "hangup:NORMAL_CLEARING"]
    # A separator of our own: dial strings may hold commas.
    return "m:^:" + "^".join(["set:cc_state=transferred", f"bridge:{dial}", *end])


def _checked_way(way: Way) -> Way:
    """Refuse what is no number: rewriting for a carrier may have made anything of it."""
    if not _NUMBER.fullmatch(way.number):
        raise UnsafeCommandError(f"not a number to call: {way.number[:40]!r}")
    if way.caller_id and not _NUMBER.fullmatch(way.caller_id):
        return msgspec.structs.replace(way, caller_id="")
    return way


def _path(path: str) -> str:
    # Blanks separate the arguments of an API command, commas those of an inline dialplan.
    if not _SAFE_PATH.fullmatch(path) or ".." in path:
        raise UnsafeCommandError(f"not a plain path: {path[:120]!r}")
    return path


def originate_line(command: outputs.Originate, node: str, dialing: Dialing) -> str:
    """Return the originate of an agent's leg, to be run by bgapi."""
    variables = {
        "origination_uuid": command.leg,
        "originate_timeout": str(max(1, round(command.ring_ms / 1000))),
        "ignore_early_media": "true",
        "origination_caller_id_number": _words(command.ani) or "anonymous",
        "origination_caller_id_name": _words(command.caller_name) or "anonymous",
        "cc_tenant": command.tenant,
        "cc_contact": command.contact,
        "cc_offer": command.offer,
        "cc_agent": command.agent,
        "cc_node": node,
        "cc_role": "agent",
        "presence_data": f"a/{command.tenant}/{command.contact}/{command.offer}",
        "accountcode": command.contact,
    }
    if isinstance(command, sm.CallSupervisor):
        variables |= supervisor.call_variables(command)
        variables = {name: value for name, value in variables.items() if value}
    if command.kind:
        variables["cc_kind"] = command.kind
    if not isinstance(command, sm.CallSupervisor):
        # On the leg from its answer on, whatever becomes of us: *<key> is no DTMF to the caller, but an event.
        variables["execute_on_answer"] = f"execute_extension {AGENT_KEYS}"
    if command.callback:
        variables["cc_callback"] = command.callback
    if command.confirm:
        variables["cc_confirm"] = "1"
    if command.way is not None:
        way = _checked_way(command.way)
        variables |= leg_variables(way, command.tenant, command.contact)
        variables["origination_caller_id_number"] = way.caller_id or "anonymous"
        del variables["origination_caller_id_name"]  # The caller's name is nothing for a carrier.
        variables["playback_terminators"] = "none"
        return f"originate {channel_vars(variables)}{way.dial(dialing.transfer_dial)} &park()"
    if not _NUMBER.fullmatch(command.extension):
        raise UnsafeCommandError(f"not an extension: {command.extension[:40]!r}")
    address = dialing.nodes.get(command.phone_node, "") if command.phone_node != node else ""
    if address:
        variables |= between_nodes(command, node)
        dial = f"sofia/nodes/{command.extension}@{address}"
    else:
        dial = dialing.agent_dial.format(extension=command.extension, domain=dialing.sip_domain)
    return f"originate {channel_vars(variables)}{dial} &park()"


def between_nodes(command: outputs.Originate, node: str) -> dict[str, str]:
    """What an agent's leg needs besides when it goes through the node that the phone is registered with.

    The headers say there whose legs these are, and how long to ring: the CANCEL of a node that is gone never comes, and the phone
    would ring for nobody for a minute. The sound from there never pauses (dialplan ``nodes``), so its absence means that the
    node is gone; nobody else would say so.
    """
    return {
        "cc_phone_node": command.phone_node,
        "sip_h_X-CC-Leg": command.leg,
        "sip_h_X-CC-Tenant": command.tenant,
        "sip_h_X-CC-Contact": command.contact,
        "sip_h_X-CC-Node": node,
        "sip_h_X-CC-Ring": str(math.ceil(command.ring_ms / 1000) + THERE_S),
        **({"sip_h_X-CC-Offer": command.offer} if not isinstance(command, sm.CallSupervisor) else {}),
        "media_timeout": str(NODE_GONE_MS),
        "media_hold_timeout": str(HELD_MS),
    }


def customer_line(command: outputs.CallCustomer, node: str, dialing: Dialing) -> str:
    """Return the originate of a customer's leg, to be run by bgapi. The leg gets what the dialplan gives a caller's."""
    way = _checked_way(command.way)
    variables = {
        "origination_uuid": command.leg,
        "originate_timeout": str(max(1, round(command.ring_ms / 1000))),
        "ignore_early_media": "true",
        "origination_caller_id_number": way.caller_id or "anonymous",
        "playback_terminators": "none",
        "hold_music": "local_stream://moh",
        "uuid_bridge_park_on_cancel": "true",
        "cc_node": node,
        **dict(command.variables),
    }
    return f"originate {channel_vars(variables)}{way.dial(dialing.transfer_dial)} &park()"


def _words(text: str) -> str:
    """What a caller says about themselves, made harmless for the agent's display."""
    return neutralise(text).translate(_UNPAIRED).replace(":_:", " ").strip()[:60]
