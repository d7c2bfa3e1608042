"""API commands (``api``, ``bgapi``): their effects and the texts of their answers (mod_commands.c of 1.10.12)."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Awaitable, Callable
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch import bugs
from services.simswitch.bridge import uuid_bridge
from services.simswitch.channel import Channel, Message, transfer
from services.simswitch.core.leg import stamp
from services.simswitch.core.wire import header_lines, to_json
from services.simswitch.originate import USAGE, originate
from services.simswitch.switch import Switch, uptime

NO_CHANNEL: Final = "-ERR No such channel!\n"
_REGISTRATION: Final = (
    "reg_user",
    "realm",
    "token",
    "url",
    "expires",
    "network_ip",
    "network_port",
    "network_proto",
)


async def run(switch: Switch, name: str, argument: str) -> str:
    """Carry out one command; empty output becomes ``-ERR no reply`` on the socket."""
    command = COMMANDS.get(name.lower())
    if command is None:
        return f"-ERR {name} Command not found!\n"
    return await command(switch, argument.strip())


def _words(argument: str, count: int) -> list[str]:
    words = separate(argument, " ")
    return words + [""] * (count - len(words))


async def _version(_: Switch, __: str) -> str:
    return "FreeSWITCH Version 1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit (git a88d069 2024-08-02 21:02:27Z 64bit)\n"


async def _switchname(switch: Switch, _: str) -> str:
    return switch.name


async def _status(switch: Switch, _: str) -> str:
    up = uptime(switch.clock.now_us() - switch.started_us)
    limits = switch.limits
    return (
        f"UP {up}\nFreeSWITCH (Version 1.10.12-release git a88d069 2024-08-02 21:02:27Z 64bit) is ready\n"
        f"{switch.sessions_since_start} session(s) since startup\n"
        f"{len(switch.channels)} session(s) - peak {switch.peak}, last 5min {switch.peak} \n"
        f"{limits.sps_last} session(s) per Sec out of max {limits.sps}, peak {limits.sps_peak}, last 5min {limits.sps_peak} \n"
        f"{limits.max_sessions} session(s) max\nmin idle cpu 0.00/50.00\nCurrent Stack Size/Max 240K/8192K\n"
    )


async def _echo(_: Switch, argument: str) -> str:
    return argument


async def _create_uuid(_: Switch, __: str) -> str:
    return str(uuids.uuid4())


async def _global_getvar(switch: Switch, argument: str) -> str:
    if argument:
        return switch.globals.get(argument, "")
    return "".join(f"{name}={value}\n" for name, value in switch.globals.items())


async def _originate(switch: Switch, argument: str) -> str:
    return await originate(switch, argument) if argument else USAGE


async def _uuid_exists(switch: Switch, argument: str) -> str:
    return "true" if switch.find(argument) is not None else "false"


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
    cause = argument.split()[0] if argument else "MANAGER_REQUEST"
    for leg in list(switch.channels.values()):
        leg.end(cause, by="command")
    return f"+OK hangup all channels with cause {cause}\n"


async def _uuid_bridge(switch: Switch, argument: str) -> str:
    first, second = _words(argument, 2)[:2]
    if not first or not second:
        return "-USAGE: <uuid> <other_uuid>\n"
    return uuid_bridge(switch, first, second)


async def _uuid_setvar(switch: Switch, argument: str) -> str:
    uuid, _, rest = argument.partition(" ")
    name, _, value = rest.partition(" ")
    if not uuid:
        return "-USAGE: <uuid> <var> [value]\n"
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL
    if not name:
        return "-ERR No variable specified\n"
    leg.set(name, value)
    return "+OK\n"


async def _uuid_setvar_multi(switch: Switch, argument: str) -> str:
    uuid, _, rest = argument.partition(" ")
    if not uuid or not rest:
        return "-USAGE: <uuid> <var>=<value>;<var>=<value>...\n"
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL
    for pair in separate(rest, ";"):
        name, _, value = pair.partition("=")
        if not name:
            return "-ERR No variable specified\n"
        leg.set(name, value)
    return "+OK\n"


async def _uuid_getvar(switch: Switch, argument: str) -> str:
    uuid, name = _words(argument, 2)[:2]
    if not uuid:
        return "-USAGE: <uuid> <var>\n"
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL
    if not name:
        return "-ERR No variable name specified!\n"
    return leg.var(name) or "_undef_"


async def _uuid_dump(switch: Switch, argument: str) -> str:
    uuid, fmt = _words(argument, 2)[:2]
    if not uuid:
        return "-USAGE: <uuid> [format]\n"
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL
    headers = {**switch.base("CHANNEL_DATA", 0, "uuid_dump"), **leg.with_variables()}
    if fmt.lower() == "json":
        return to_json(headers).decode("utf-8", "surrogateescape")
    if fmt.lower() == "plain":
        return "".join(f"{k}: {v}\n" for k, v in headers.items()) + "\n"
    return header_lines(headers).decode() + "\n"


async def _uuid_transfer(switch: Switch, argument: str) -> str:
    usage = "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n"
    words = separate(argument, " ")
    if not 2 <= len(words) <= 5:
        return usage
    leg = switch.find(words[0])
    if leg is None:
        return NO_CHANNEL
    flag = words[1] if words[1].startswith("-") else ""
    rest = [*(words[2:] if flag else words[1:]), "", "", ""]
    destination, dialplan, context = rest[:3]
    if not destination:
        return usage
    other = switch.find(leg.var("bridge_to"))
    legs: list[Channel] = [leg]
    if flag == "-bleg" and other is not None:
        legs = [other]
    elif flag == "-both" and other is not None:
        legs = [leg, other]
    for x in legs:
        if not x.down:
            transfer(x, destination, dialplan, context or x.profile.context)
    return "+OK\n"


async def _uuid_park(switch: Switch, argument: str) -> str:
    if not argument:
        return "-USAGE: <uuid>\n"
    leg = switch.find(argument)
    if leg is None:
        return NO_CHANNEL
    if not leg.down:
        leg.redirect_to(leg.park_state, "CS_PARK")
    return "+OK\n"


async def _uuid_broadcast(switch: Switch, argument: str) -> str:
    uuid, path, legs = _words(argument, 3)[:3]
    if not uuid or not path:
        return "-USAGE: <uuid> <path> [aleg|bleg|holdb|both]\n"
    leg = switch.find(uuid)
    if leg is None:
        return "-ERR invalid uuid\n"
    app, found, data = path.partition("::")
    if not found:
        app, data = "playback", path
    targets = [leg]
    if legs in ("bleg", "both") and (other := switch.find(leg.var("bridge_to"))) is not None:
        targets = [other] if legs == "bleg" else [leg, other]
    for target in targets:
        target.queue(
            Message(
                app=app.partition("!")[0],
                data=data,
                locked=True,
                headers={
                    "call-command": "execute",
                    "execute-app-name": app,
                    "execute-app-arg": data,
                    "event-lock": "true",
                    "lead-frames": "5",
                    "loops": "1",
                },
            )
        )
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
    uuid, action, path = _words(argument, 3)[:3]
    if not (uuid and action and path):
        return "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"
    leg = switch.find(uuid)
    if leg is None:
        return "-ERR Cannot locate session!\n"
    if action == "start":
        return bugs.start_recording(leg, path)
    if action == "stop":
        return bugs.stop_recording(leg, path)
    if action in ("mask", "unmask"):
        return bugs.mask_recording(leg, path, action == "mask")
    return "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"


async def _uuid_displace(switch: Switch, argument: str) -> str:
    uuid, action, path = _words(argument, 3)[:3]
    leg = switch.find(uuid)
    if leg is None:
        return "-ERR Cannot locate session!\n"
    if action == "start" and path:
        return bugs.start_displace(leg, path)
    if action == "stop" and path:
        return bugs.stop_displace(leg, path)
    return "-USAGE: <uuid> [start|stop] <path> [<limit>] [mux]\n"


async def _recv_dtmf(switch: Switch, argument: str) -> str:
    uuid, digits = _words(argument, 2)[:2]
    leg = switch.find(uuid)
    if leg is None:
        return "-ERR Cannot locate session!\n"
    for digit in digits.partition("@")[0]:
        leg.press(digit, "APP")
    return f"+OK {uuid} received DTMF {digits}.\n"


async def _send_dtmf(switch: Switch, argument: str) -> str:
    uuid, digits = _words(argument, 2)[:2]
    if switch.find(uuid) is None:
        return "-ERR Cannot locate session!\n"
    return f"+OK {uuid} sent DTMF {digits}.\n"


async def _uuid_hold(switch: Switch, argument: str) -> str:
    words = _words(argument, 2)
    off = words[0] == "off"
    leg = switch.find(words[1] if off or words[0] == "toggle" else words[0])
    if leg is None or leg.down or not leg.answered:
        return "-ERR Operation failed\n"
    now = switch.now_us()
    if off:
        leg.set_call_state("UNHELD")
        leg.set_call_state("ACTIVE")
        leg.profile.times.hold_accum += now - (leg.profile.times.last_hold or now)
        switch.fire("CHANNEL_UNHOLD", leg)
    else:
        leg.set_call_state("HELD")
        leg.profile.times.last_hold = now
        switch.fire("CHANNEL_HOLD", leg)
    return "+OK Success\n"


def _calls(switch: Switch) -> list[dict[str, str]]:
    names = [
        "uuid",
        "direction",
        "created",
        "created_epoch",
        "name",
        "state",
        "cid_name",
        "cid_num",
        "ip_addr",
        "dest",
        "presence_id",
        "presence_data",
        "accountcode",
        "callstate",
        "callee_name",
        "callee_num",
        "callee_direction",
        "call_uuid",
        "hostname",
        "sent_callee_name",
        "sent_callee_num",
    ]
    b_names = [n for n in names if n not in ("call_uuid", "hostname")]
    seen: set[str] = set()
    out = []
    for uuid, row in switch.rows.items():
        if uuid in seen:
            continue
        leg = switch.find(uuid)
        partner = leg.partner if leg is not None else None
        b_row = switch.rows.get(partner.uuid, {}) if partner is not None else {}
        seen |= {uuid, b_row.get("uuid", "")}
        call = {n: row[n] for n in names} | {f"b_{n}": b_row.get(n, "") for n in b_names}
        out.append(call | {"call_created_epoch": row["created_epoch"]})
    return out


def _registrations(switch: Switch) -> list[dict[str, str]]:
    rows = []
    for extension, since_us in switch.registered.items():
        url = f"sofia/agents/sip:{extension}@127.0.0.1:5070"
        expires = str(since_us // 1_000_000 + 3600)
        values = (extension, switch.domain, f"reg-{extension}", url, expires, "127.0.0.1", "5070", "udp")
        rows.append(dict(zip(_REGISTRATION, values, strict=True)) | {"hostname": switch.name, "metadata": ""})
    return rows


async def _show(switch: Switch, argument: str) -> str:
    words = [*argument.split(), "", "", ""]
    what = words[0].lower()
    if what == "channels":
        rows = list(switch.rows.values())
    elif what in ("calls", "bridged_calls"):
        rows = _calls(switch)
        if what == "bridged_calls":
            rows = [r for r in rows if r["b_uuid"]]
    elif what == "registrations":
        rows = _registrations(switch)
    elif what == "status":
        return await _status(switch, "")
    else:
        return "-USAGE: codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]\n"
    as_json = "json" in (w.lower() for w in words[1:])
    if words[1].lower() == "count":
        if as_json:
            return to_json({"row_count": len(rows)}).decode()
        return f"\n{len(rows)} total.\n"
    if as_json:
        if not rows:
            return '{"row_count": 0}\n'
        return to_json({"row_count": len(rows), "rows": rows}).decode("utf-8", "surrogateescape")
    lines = [",".join(rows[0])] if rows else []
    lines += [",".join(row.values()) for row in rows]
    return "".join(line + "\n" for line in lines) + f"\n{len(rows)} total.\n"


async def _sofia(switch: Switch, argument: str) -> str:
    if not argument.startswith("status"):
        return "-USAGE: sofia help\n"
    line = "=" * 97
    body = "".join(
        f"{name:>25}\tprofile\t         sip:mod_sofia@127.0.0.1:{port}\tRUNNING ({count})\n"
        for name, port, count in (("agents", 5060, len(switch.registered)), ("trunk", 5080, 0))
    )
    head = f"{'Name':>25}\t   Type\t                                      Data\tState\n"
    return f"{head}{line}\n{body}{line}\n2 profiles 0 aliases\n"


async def _sofia_contact(switch: Switch, argument: str) -> str:
    extension = argument.rpartition("/")[2].partition("@")[0]
    if extension in switch.registered:
        return f"sofia/agents/sip:{extension}@127.0.0.1:5070"
    return "error/user_not_registered"


async def _strepoch(switch: Switch, argument: str) -> str:
    return str(switch.clock.now_us() // 1_000_000) if not argument else "0"


async def _strftime(switch: Switch, _: str) -> str:
    return stamp(switch.clock.now_us())


COMMANDS: Final[dict[str, Callable[[Switch, str], Awaitable[str]]]] = {
    "create_uuid": _create_uuid,
    "echo": _echo,
    "global_getvar": _global_getvar,
    "hupall": _hupall,
    "originate": _originate,
    "show": _show,
    "sofia": _sofia,
    "sofia_contact": _sofia_contact,
    "status": _status,
    "strepoch": _strepoch,
    "strftime": _strftime,
    "uuid_break": _uuid_break,
    "uuid_bridge": _uuid_bridge,
    "uuid_broadcast": _uuid_broadcast,
    "uuid_displace": _uuid_displace,
    "uuid_dump": _uuid_dump,
    "uuid_exists": _uuid_exists,
    "uuid_getvar": _uuid_getvar,
    "uuid_hold": _uuid_hold,
    "uuid_kill": _uuid_kill,
    "uuid_park": _uuid_park,
    "uuid_record": _uuid_record,
    "uuid_recv_dtmf": _recv_dtmf,
    "uuid_send_dtmf": _send_dtmf,
    "uuid_setvar": _uuid_setvar,
    "uuid_setvar_multi": _uuid_setvar_multi,
    "switchname": _switchname,
    "uuid_transfer": _uuid_transfer,
    "version": _version,
}
