"""API commands (``api``, ``bgapi``): their effects and the texts of their answers (mod_commands.c of 1.10.12)."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Awaitable, Callable
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch.call_commands import CALL_COMMANDS, NO_CHANNEL
from services.simswitch.core.leg import stamp
from services.simswitch.core.wire import header_lines, to_json
from services.simswitch.switch import Switch, uptime

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


async def _uuid_exists(switch: Switch, argument: str) -> str:
    return "true" if switch.find(argument) is not None else "false"


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
    "show": _show,
    "sofia": _sofia,
    "sofia_contact": _sofia_contact,
    "status": _status,
    "strepoch": _strepoch,
    "strftime": _strftime,
    "uuid_dump": _uuid_dump,
    "uuid_exists": _uuid_exists,
    "uuid_getvar": _uuid_getvar,
    "uuid_setvar": _uuid_setvar,
    "uuid_setvar_multi": _uuid_setvar_multi,
    "switchname": _switchname,
    "version": _version,
    **CALL_COMMANDS,
}
