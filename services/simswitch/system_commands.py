"""API commands about the switch itself: version, limits, globals, directory, clock, text helpers (mod_commands.c, mod_dptools.c).

Answers are the real texts, recorded from 1.10.12. ``fsctl shutdown`` ends the simulated process in order; whoever runs a real one
has it started again, so this one is there again after some seconds (after one with ``restart``).
"""

from __future__ import annotations

import hashlib
import re
import uuid as uuids
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from services.simswitch.core import logs
from services.simswitch.core.dialplan import expand_globals
from services.simswitch.core.faults import Fault
from services.simswitch.core.leg import stamp
from services.simswitch.core.limits import Direction
from services.simswitch.core.media import MISSING
from services.simswitch.core.wire import url_encode
from services.simswitch.heartbeat import uptime
from services.simswitch.switch import Switch

_VERSION: Final = "FreeSWITCH Version 1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit (git a88d069 2024-08-02 21:02:27Z 64bit)\n"
_FSCTL: Final = (
    "[api_expansion [on|off]|recover|send_sighup|hupall|pause [inbound|outbound]|resume [inbound|outbound]|"
    "shutdown [cancel|elegant|asap|now|restart]|sps|sps_peak_reset|sync_clock|sync_clock_when_idle|reclaim_mem|max_sessions|"
    "min_dtmf_duration [num]|max_dtmf_duration [num]|default_dtmf_duration [num]|min_idle_cpu|loglevel [level]|"
    "debug_level [level]|mdns_resolve [enable|disable]]"
)
_BACK_AFTER_S: Final = 5.0
_BACK_AFTER_RESTART_S: Final = 1.0
_QUIET: Final = {
    "send_sighup": "+OK\n",
    "save_history": "+OK\n",
    "reclaim_mem": "+OK\n",
    "flush_db_handles": "+OK\n",
    "sync_clock": "+OK clock synchronized\n",
    "recover": "+OK 0 session(s) recovered in total\n",
    "min_idle_cpu": "+OK min idle cpu: DISABLED\n",
    "max_dtmf_duration": "+OK max dtmf duration: 192000\n",
    "min_dtmf_duration": "+OK min dtmf duration: 400\n",
    "default_dtmf_duration": "+OK default dtmf duration: 2000\n",
    "api_expansion": "+OK api_expansion is on \n",
    "threaded_system_exec": "+OK threaded_system_exec is false \n",
    "verbose_events": "+OK verbose_events is off \n",
    "ready_check": "true",
    "shutdown_check": "false",
}


async def version(_: Switch, argument: str) -> str:
    """``version [short]``"""
    return "1.10.12-release\n" if argument == "short" else _VERSION


async def status(switch: Switch, _: str) -> str:
    """``status``"""
    up = uptime(switch.clock.now_us() - switch.started_us)
    limits = switch.limits
    return (
        f"UP {up}\nFreeSWITCH (Version 1.10.12-release git a88d069 2024-08-02 21:02:27Z 64bit) is ready\n"
        f"{switch.sessions_since_start} session(s) since startup\n"
        f"{len(switch.channels)} session(s) - peak {switch.peak}, last 5min {switch.peak} \n"
        f"{limits.sps_last} session(s) per Sec out of max {limits.sps}, peak {limits.sps_peak}, last 5min {limits.sps_peak} \n"
        f"{limits.max_sessions} session(s) max\nmin idle cpu 0.00/50.00\nCurrent Stack Size/Max 240K/8192K\n"
    )


async def _uptime(switch: Switch, argument: str) -> str:
    us = switch.clock.now_us() - switch.started_us
    unit = {
        "us": 1,
        "microseconds": 1,
        "ms": 1000,
        "milliseconds": 1000,
        "m": 60_000_000,
        "minutes": 60_000_000,
    }
    unit |= {"h": 3_600_000_000, "hours": 3_600_000_000, "d": 86_400_000_000, "days": 86_400_000_000}
    return f"{us // unit.get(argument, 1_000_000)}\n"


async def _fsctl(switch: Switch, argument: str) -> str:
    words = argument.split()
    if not words:
        return f"-USAGE: {_FSCTL}\n"
    verb, rest = words[0].lower(), words[1:]
    limits = switch.limits
    if verb in ("pause", "resume", "pause_check"):
        named = [d for d in _DIRECTIONS if d in rest]
        which = named or list(_DIRECTIONS)
        if verb == "pause":
            limits.paused.update(which)
        elif verb == "resume":
            limits.paused.difference_update(which)
        else:
            return "true" if limits.paused.issuperset(which) else "false"
        return "+OK\n"
    if verb == "hupall":
        for leg in list(switch.channels.values()):
            leg.end(rest[0] if rest else "MANAGER_REQUEST", by="command")
        return "+OK\n"
    if verb == "max_sessions":
        limits.max_sessions = _number(rest, limits.max_sessions)
        return f"+OK max sessions: {limits.max_sessions}\n"
    if verb == "sps":
        limits.sps = _number(rest, limits.sps)
        return f"+OK sessions per second: {limits.sps}\n"
    if verb == "last_sps":
        return f"+OK last sessions per second: {limits.sps_last}\n"
    if verb == "sps_peak_reset":
        limits.sps_peak = 0
        return "+OK max sessions per second counter reset\n"
    if verb == "loglevel":
        number = logs.level(rest[0]) if rest else None
        if number is None or not 0 <= number < len(logs.LEVELS):
            return "+OK log level: DISABLE [-1]\n"
        return f"+OK log level: {logs.LEVELS[number]} [{number}]\n"
    if verb == "debug_level":
        return f"+OK DEBUG level: {_number(rest, 0)}\n"
    if verb == "shutdown":
        if rest[:1] != ["cancel"]:
            down_s = _BACK_AFTER_RESTART_S if "restart" in rest else _BACK_AFTER_S
            switch.faults.begin(Fault("restart", for_s=down_s, graceful=True))
        return "+OK\n"
    return _QUIET.get(verb) or f"-ERR Invalid command\nUSAGE: fsctl {_FSCTL}\n"


_DIRECTIONS: Final[tuple[Direction, ...]] = ("inbound", "outbound")


def _number(words: list[str], usual: int) -> int:
    """The number that is given; 0 changes nothing."""
    return (int(words[0]) if words and words[0].isdigit() else 0) or usual


async def _global_getvar(switch: Switch, argument: str) -> str:
    if argument:
        return switch.globals.get(argument, "")
    return "".join(f"{name}={value}\n" for name, value in switch.globals.items()) + "\n"


async def _global_setvar(switch: Switch, argument: str) -> str:
    name, _, value = argument.partition("=")
    value, found, wanted = value.partition("=")
    if name and (not found or switch.globals.get(name, "") == wanted):
        if value:
            switch.globals[name] = value
        else:
            switch.globals.pop(name, None)
    return "+OK"


def _expanded(switch: Switch, text: str) -> str:
    uuid, blank, rest = text.partition(" ")
    leg = switch.find(uuid[5:]) if uuid.startswith("uuid:") and blank else None
    if leg is not None:
        text = rest
    text = expand_globals(text, switch.globals)

    def value(found: re.Match[str]) -> str:
        return (leg.var(found[1]) if leg is not None else "") or switch.globals.get(found[1], "")

    return re.sub(r"\$\{([^{}()]+)\}", value, text)


async def _eval(switch: Switch, argument: str) -> str:
    return _expanded(switch, argument)


async def _expand(switch: Switch, argument: str) -> str:
    name, _, rest = _expanded(switch, argument).partition(" ")
    output = await switch.api(switch, name, rest)
    unknown = output == f"-ERR {name} Command not found!\n"
    return "INVALID COMMAND!\n-ERR Cannot execute command\n" if unknown else output


async def _file_exists(switch: Switch, argument: str) -> str:
    """``file_exists <path>``, a folder's path too. What the settings give a length though it is missing is there: it plays."""
    return "true" if _is_there(switch, argument) else "false"


def _is_there(switch: Switch, path: str) -> bool:
    return bool(path) and (Path(path).exists() or switch.file_ms(path) != MISSING)


async def _module_exists(switch: Switch, argument: str) -> str:
    return ("true" if argument in switch.modules else "false") if argument else ""


async def _user_exists(switch: Switch, argument: str) -> str:
    words = argument.split()
    known = len(words) == 3 and words[0] == "id" and switch.directory.find(words[1], words[2])
    return "true" if known else "false"


async def _user_data(switch: Switch, argument: str) -> str:
    words = argument.split()
    if len(words) != 3:
        return ""
    user, _, domain = words[0].partition("@")
    found = switch.directory.find(user, domain or switch.domain)
    if found is None:
        return ""
    table = {"param": found.params, "var": found.variables, "attr": found.attributes}.get(words[1], {})
    return table.get(words[2], "")


async def _domain_exists(switch: Switch, argument: str) -> str:
    return ("true" if argument in switch.directory.domains else "false") if argument else ""


async def _list_users(switch: Switch, _: str) -> str:
    head = (
        "userid|context|domain|group|contact|callgroup|effective_caller_id_name|effective_caller_id_number\n"
    )
    rows = []
    for user in switch.directory.users.values():
        contact = await switch.api(switch, "sofia_contact", f"{user.id}@{user.domain}")
        context = user.variables.get("user_context", "")
        rows.append(f"{user.id}|{context}|{user.domain}|{user.group}|{contact}|||\n")
    return f"{head}{''.join(rows)}\n+OK\n"


async def _strftime(switch: Switch, argument: str) -> str:
    now_us = switch.clock.now_us()
    if not argument:
        return stamp(now_us)
    return datetime.fromtimestamp(now_us / 1_000_000, UTC).strftime(argument)


async def _strepoch(switch: Switch, argument: str) -> str:
    return str(_epoch_us(switch, argument) // 1_000_000)


async def _strmicroepoch(switch: Switch, argument: str) -> str:
    return str(_epoch_us(switch, argument))


def _epoch_us(switch: Switch, text: str) -> int:
    if not text:
        return switch.clock.now_us()
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000
    except ValueError:
        return 0


async def _regex(_switch: Switch, argument: str) -> str:
    text, _, rest = argument.partition("|")
    pattern, bar, put = rest.rpartition("|") if rest.count("|") else (rest, "", "")
    try:
        found = re.search(pattern, text)
    except re.error:
        return "-ERR"
    if not bar:
        return "true" if found else "false"
    if found is None:
        return text
    return re.sub(r"\$(\d)", lambda m: found[int(m[1])] if int(m[1]) <= len(found.groups()) else "", put)


async def _log(switch: Switch, argument: str) -> str:
    name, _, text = argument.partition(" ")
    number = logs.level(name)
    if number is not None and 0 <= number < len(logs.LEVELS) and text:
        switch.log_line(logs.Line(number, "mod_commands.c", "log_function", 6862, text))
    return "+OK\n"


def _fixed(text: str) -> Callable[[Switch, str], Awaitable[str]]:
    async def answer(_switch: Switch, _argument: str) -> str:
        return text

    return answer


def _text(change: Callable[[str], str]) -> Callable[[Switch, str], Awaitable[str]]:
    async def answer(_: Switch, argument: str) -> str:
        return change(argument)

    return answer


async def _name(switch: Switch, _: str) -> str:
    return switch.name


async def _reloadxml(switch: Switch, _: str) -> str:
    switch.fire("RELOADXML")
    return "+OK [Success]\n"


SYSTEM_COMMANDS: Final[dict[str, Callable[[Switch, str], Awaitable[str]]]] = {
    "create_uuid": _text(lambda _: str(uuids.uuid4())),
    "domain_exists": _domain_exists,
    "echo": _text(str),
    "eval": _eval,
    "expand": _expand,
    "file_exists": _file_exists,
    "fsctl": _fsctl,
    "global_getvar": _global_getvar,
    "global_setvar": _global_setvar,
    "hostname": _name,
    "list_users": _list_users,
    "log": _log,
    "md5": _text(lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()),
    "module_exists": _module_exists,
    "regex": _regex,
    "reloadacl": _fixed("+OK acl reloaded\n"),
    "reloadxml": _reloadxml,
    "status": status,
    "strepoch": _strepoch,
    "strftime": _strftime,
    "strmicroepoch": _strmicroepoch,
    "switchname": _name,
    "tolower": _text(str.lower),
    "toupper": _text(str.upper),
    "uptime": _uptime,
    "url_decode": _text(unquote),
    "url_encode": _text(url_encode),
    "user_data": _user_data,
    "user_exists": _user_exists,
    "version": version,
}
