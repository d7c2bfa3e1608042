"""API commands (``api``, ``bgapi``): their effects and the texts of their answers (mod_commands.c of 1.10.12)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch.call_commands import CALL_COMMANDS, NO_CHANNEL
from services.simswitch.core.wire import Value, header_lines, to_json, url_encode
from services.simswitch.show_command import show
from services.simswitch.sofia_commands import SOFIA_COMMANDS
from services.simswitch.switch import Switch
from services.simswitch.system_commands import SYSTEM_COMMANDS, status


async def run(switch: Switch, name: str, argument: str) -> str:
    """Carry out one command; empty output becomes ``-ERR no reply`` on the socket."""
    command = COMMANDS.get(name.lower())
    if command is None:
        return f"-ERR {name} Command not found!\n"
    return await command(switch, argument.strip(" "))


def _words(argument: str, count: int) -> list[str]:
    words = separate(argument, " ")
    return words + [""] * (count - len(words))


async def _uuid_exists(switch: Switch, argument: str) -> str:
    leg = switch.find(argument)
    # A leg that hung up and lingers for its controller can no longer be taken hold of.
    return "true" if leg is not None and not leg.down else "false"


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
    """Each pair without a name is complained of; the usage follows when nothing was set, the leg that is not there included."""
    usage = "-USAGE: <uuid> <var>=<value>;<var>=<value>...\n"
    uuid, blank, rest = argument.partition(" ")
    if not blank:
        return usage
    leg = switch.find(uuid)
    if leg is None:
        return NO_CHANNEL + usage
    told, done = "", usage
    for pair in separate(rest, ";"):
        name, _, value = pair.partition("=")
        if name:
            leg.set(name, value)
            done = "+OK\n"
        else:
            told += "-ERR No variable specified\n"
    return told + done


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
    if fmt.lower() == "xml":
        lines = "".join(f"    <{k}>{_xml(v)}</{k}>\n" for k, v in headers.items())
        return f"<event>\n  <headers>\n{lines}  </headers>\n</event>\n"
    if fmt.lower() == "plain":
        return "".join(f"{k}: {v}\n" for k, v in headers.items()) + "\n"
    return header_lines(headers).decode() + "\n"


def _xml(value: Value) -> str:
    text = value if isinstance(value, str) else "ARRAY::" + "|:".join(value)
    return url_encode(text)


async def _show(switch: Switch, argument: str) -> str:
    if argument.lower() == "status":
        return await status(switch, "")
    return show(switch, argument, COMMANDS)


COMMANDS: Final[dict[str, Callable[[Switch, str], Awaitable[str]]]] = {
    **CALL_COMMANDS,
    **SYSTEM_COMMANDS,
    **SOFIA_COMMANDS,
    "show": _show,
    "uuid_dump": _uuid_dump,
    "uuid_exists": _uuid_exists,
    "uuid_getvar": _uuid_getvar,
    "uuid_setvar": _uuid_setvar,
    "uuid_setvar_multi": _uuid_setvar_multi,
}
