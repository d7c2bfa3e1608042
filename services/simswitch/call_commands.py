"""API commands that do something to calls; `commands` has those that ask and those of the system.

Replies, word for word, are those of mod_commands.c of FreeSWITCH 1.10.12. Some of them surprise: ``uuid_hold`` of a leg that does not
exist succeeds, and ``uuid_broadcast`` calls a channel "uuid".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch import bugs, conference, hold, limits, schedule, transfers
from services.simswitch.bridge import uuid_bridge
from services.simswitch.messages import broadcast_message
from services.simswitch.originate import USAGE, originate
from services.simswitch.supervise import display
from services.simswitch.switch import Switch

NO_CHANNEL: Final = "-ERR No such channel!\n"
NO_SESSION: Final = "-ERR Cannot locate session!\n"
_FAILED: Final = "-ERR Operation failed\n"
_RECORD_USAGE: Final = "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"
_DISPLACE_USAGE: Final = "-USAGE: <uuid> [start|stop] <path> [<limit>] [mux]\n"
_AUDIO_USAGE: Final = "-USAGE: <uuid> [start [read|write] [mute|level <level>]|stop]\n"
_TRANSFER_USAGE: Final = "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n"
_DUAL_USAGE: Final = (
    "-USAGE: <uuid> <A-dest-exten>[/<A-dialplan>][/<A-context>] <B-dest-exten>[/<B-dialplan>][/<B-context>]\n"
)


def _words(argument: str, count: int) -> list[str]:
    words = separate(argument, " ")
    return words + [""] * (count - len(words))


async def _originate(switch: Switch, argument: str) -> str:
    return await originate(switch, argument) if argument else USAGE


async def _uuid_kill(switch: Switch, argument: str) -> str:
    uuid, cause = _words(argument, 2)[:2]
    if not uuid:
        return "-USAGE: <uuid> [cause]\n"
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL
    leg.end(cause or "NORMAL_CLEARING", by="command")
    return "+OK\n"


async def _hupall(switch: Switch, argument: str) -> str:
    """``hupall [<cause> [<variable> <value>]]``."""
    cause, name, value = _words(argument, 3)[:3]
    for leg in list(switch.channels.values()):
        if not name or leg.var(name) == value:
            leg.end(cause or "MANAGER_REQUEST", by="command")
    return f"+OK hangup all channels with cause {cause or 'MANAGER_REQUEST'}\n"


async def _uuid_bridge(switch: Switch, argument: str) -> str:
    first, second = _words(argument, 2)[:2]
    if not first or not second:
        return "-USAGE: <uuid> <other_uuid>\n"
    return uuid_bridge(switch, first, second)


async def _uuid_transfer(switch: Switch, argument: str) -> str:
    words = separate(argument, " ")
    if not 2 <= len(words) <= 5:
        return _TRANSFER_USAGE
    leg = switch.find(words[0])
    if leg is None:
        return NO_CHANNEL
    flag = words[1] if words[1].startswith("-") else ""
    destination, dialplan, context = [*(words[2:] if flag else words[1:]), "", "", ""][:3]
    if not destination:
        return _TRANSFER_USAGE
    transfers.uuid_transfer(leg, flag, destination, dialplan, context)
    return "+OK\n"


async def _uuid_dual_transfer(switch: Switch, argument: str) -> str:
    uuid, first, second = _words(argument, 3)[:3]
    if not (uuid and first and second):
        return _DUAL_USAGE
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL
    transfers.dual_transfer(leg, first, second)
    return "+OK\n"


async def _uuid_park(switch: Switch, argument: str) -> str:
    leg = switch.find(argument)
    if leg is None:
        return NO_CHANNEL
    if not leg.down:
        leg.redirect_to(leg.park_state, "CS_PARK")
    return "+OK\n"


async def _uuid_broadcast(switch: Switch, argument: str) -> str:
    """``aleg`` (the default here: the leg), ``bleg`` (whom it talks to), ``both``, ``holdb`` (the other gets the hold music)."""
    uuid, path, legs = _words(argument, 3)[:3]
    if not uuid or not path:
        return "-USAGE: <uuid> <path> [aleg|bleg|holdb|both]\n"
    leg = switch.find(uuid)
    if leg is None:
        return "-ERR invalid uuid\n"
    app, found, data = path.partition("::")
    if not found:
        app, data = "playback", path
    app, _, cause = app.partition("!")
    other = leg.partner
    hears_music = "holdb" in legs and other is not None
    if other is not None and legs in ("bleg", "both"):
        other.queue(broadcast_message(app, data))
    if legs != "bleg":
        message = broadcast_message(app, data)
        if hears_music and other is not None:
            message.role = "holdb"
            music = leg.var("hold_music") or switch.globals.get("hold_music", "")
            other.queue(broadcast_message("playback", music, loops=-1, role="hold"))
            message.after = lambda: other.stop_broadcast("hold")
        leg.queue(message)
        if cause:
            leg.queue(broadcast_message("hangup", cause))
    return "+OK Message sent\n"


async def _uuid_break(switch: Switch, argument: str) -> str:
    uuid, flag = _words(argument, 2)[:2]
    if not uuid:
        return "-USAGE: <uuid> [all]\n"
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL
    leg.break_playback("all" in flag)
    return "+OK\n"


async def _uuid_record(switch: Switch, argument: str) -> str:
    uuid, action, path, limit, settings = _words(argument, 5)[:5]
    if not (uuid and action and path):
        return _RECORD_USAGE
    leg = switch.find(uuid)
    if leg is None:
        return NO_SESSION
    if action == "start":
        return bugs.start_recording(
            leg,
            path,
            limit_s=int(limit) if limit.isdigit() else 0,
            settings=dict(pair.split("=", 1) for pair in settings.strip("{}").split(",") if "=" in pair),
        )
    if action == "stop":
        return bugs.stop_recording(leg, path)
    if action in ("mask", "unmask"):
        return bugs.mask_recording(leg, path, action == "mask")
    return _RECORD_USAGE


async def _uuid_displace(switch: Switch, argument: str) -> str:
    uuid, action, path, limit = _words(argument, 4)[:4]
    if not (uuid and action and path):
        return _DISPLACE_USAGE
    leg = switch.find(uuid)
    if leg is None:
        return NO_SESSION
    if action == "start":
        return bugs.start_displace(leg, path, limit_s=int(limit) if limit.isdigit() else 0)
    if action == "stop":
        return bugs.stop_displace(leg, path)
    return _DISPLACE_USAGE


async def _uuid_audio(switch: Switch, argument: str) -> str:
    """``start read|write mute|level <n>``: one bug a leg, however many settings; ``stop`` succeeds always."""
    uuid, action, side, what, level = _words(argument, 5)[:5]
    if not uuid:
        return _AUDIO_USAGE
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL
    if action == "stop":
        bugs.stop_audio(leg)
        return "+OK\n"
    if action != "start" or side not in ("read", "write") or what not in ("mute", "level") or not level:
        return _AUDIO_USAGE
    bugs.start_audio(leg, what)
    return "+OK\n"


async def _recv_dtmf(switch: Switch, argument: str) -> str:
    uuid, digits = _words(argument, 2)[:2]
    if not (uuid and digits):
        return "-USAGE: <uuid> <dtmf_data>\n"
    leg = switch.find(uuid)
    if leg is None:
        return NO_SESSION
    for digit in digits.partition("@")[0]:
        leg.press(digit, "APP")
    return f"+OK {uuid} received DTMF {digits}.\n"


async def _send_dtmf(switch: Switch, argument: str) -> str:
    uuid, digits = _words(argument, 2)[:2]
    if not (uuid and digits):
        return "-USAGE: <uuid> <dtmf_data>\n"
    if switch.find(uuid) is None:
        return NO_SESSION
    return f"+OK {uuid} sent DTMF {digits}.\n"


async def _deflect(switch: Switch, argument: str) -> str:
    """REFER to the other end. Only the form that does not hang up: ``sip_refer_continue_after_reply``; without it the leg ends with
    BLIND_TRANSFER whatever the other end says (mod_sofia.c, SWITCH_MESSAGE_INDICATE_DEFLECT)."""
    uuid, uri = _words(argument, 2)[:2]
    if not (uuid and uri):
        return "-USAGE: <uuid> <uri>\n"
    leg = switch.find(uuid)
    if leg is None or leg.down:
        return f"-ERR No such channel {uuid}!\n"
    status = leg.party.on_refer(leg, uri) if leg.party is not None else 405
    if status:
        leg.variables["sip_refer_status_code"] = str(status)
    if not leg.truth("sip_refer_continue_after_reply"):
        leg.end("BLIND_TRANSFER", by="command")
    return "+OK:(null)\n"


async def _flush_dtmf(switch: Switch, argument: str) -> str:
    leg = switch.find(argument)
    if leg is None:
        return NO_SESSION
    leg.drop_digits()
    return "+OK\n"


async def _uuid_jitterbuffer(switch: Switch, argument: str) -> str:
    """``<uuid> <ms>[:<most ms>]|pause|resume|stop``: a size is kept as the variable that a new description of the media looks at."""
    uuid, what = _words(argument, 2)[:2]
    if not (uuid and what):
        return "-USAGE: <uuid> [0|<min_msec>[:<max_msec>]]\n"
    leg = switch.find(uuid)
    if leg is None:
        return _FAILED
    if what not in ("pause", "resume", "stop"):
        leg.variables["jitterbuffer_msec"] = what
    return "+OK Success\n"


async def _uuid_hold(switch: Switch, argument: str) -> str:
    words = _words(argument, 2)
    if not words[0]:
        return f"-USAGE: [off|toggle] <uuid> [<display>]\n{_FAILED}"
    how = words[0].lower() if words[0].lower() in ("off", "toggle") else ""
    leg = switch.find(words[1] if how else words[0])
    if leg is None:
        return "+OK Success\n"
    if how == "off" or (how == "toggle" and leg.held):
        done = hold.command_unhold(leg)
    else:
        done = hold.command_hold(leg)
    return "+OK Success\n" if done else _FAILED


async def _uuid_display(switch: Switch, argument: str) -> str:
    uuid, _, shown = argument.partition(" ")
    leg = switch.find(uuid)
    if leg is None:
        return _FAILED
    display(leg, shown)
    return "+OK Success\n"


async def _uuid_answer(switch: Switch, argument: str) -> str:
    leg = switch.find(argument)
    if leg is None:
        return "-ERROR\n"
    leg.mark_answered()
    return "+OK\n"


async def _uuid_pre_answer(switch: Switch, argument: str) -> str:
    leg = switch.find(argument)
    if leg is None:
        return "-ERROR\n"
    if not leg.answered and leg.answer_state != "early":
        leg.early_media()
    return "+OK\n"


CALL_COMMANDS: Final[dict[str, Callable[[Switch, str], Awaitable[str]]]] = {
    "conference": conference.conference_command,
    "hash": limits.hash_command,
    "hupall": _hupall,
    "limit_usage": limits.limit_usage,
    "originate": _originate,
    "sched_api": schedule.sched_api,
    "sched_broadcast": schedule.sched_broadcast,
    "sched_del": schedule.sched_del,
    "sched_hangup": schedule.sched_hangup,
    "sched_transfer": schedule.sched_transfer,
    "uuid_answer": _uuid_answer,
    "uuid_audio": _uuid_audio,
    "uuid_break": _uuid_break,
    "uuid_bridge": _uuid_bridge,
    "uuid_broadcast": _uuid_broadcast,
    "uuid_displace": _uuid_displace,
    "uuid_display": _uuid_display,
    "uuid_dual_transfer": _uuid_dual_transfer,
    "uuid_flush_dtmf": _flush_dtmf,
    "uuid_hold": _uuid_hold,
    "uuid_jitterbuffer": _uuid_jitterbuffer,
    "uuid_kill": _uuid_kill,
    "uuid_park": _uuid_park,
    "uuid_pre_answer": _uuid_pre_answer,
    "uuid_record": _uuid_record,
    "uuid_recv_dtmf": _recv_dtmf,
    "uuid_deflect": _deflect,
    "uuid_send_dtmf": _send_dtmf,
    "uuid_transfer": _uuid_transfer,
}
