"""Counters of calls and a store of small values: ``limit`` and ``hash`` of mod_hash, as trunks use them. Measured on 1.10.12.

A leg counts in a resource until it ends or leaves it. One that is too many goes to the extension that the application was
given, or is hung up when that is ``!CAUSE``. Without an extension it goes to ``limit_exceeded``.
"""

from __future__ import annotations

from services.common.esl.quoting import separate
from services.simswitch.channel import Channel
from services.simswitch.redirect import transfer
from services.simswitch.switch import Switch

_HASH_USAGE = "-ERR Usage: hash insert|insert_ifempty|select|delete|delete_ifmatch/realm/key[/value]\n"


async def limit(leg: Channel, data: str) -> str:
    """Application ``limit hash <realm> <id> [<max>] [<exten> [<dialplan> [<context>]]]``."""
    words = separate(data, " ")
    if len(words) < 3 or words[0] != "hash":
        return ""
    most = int(words[3]) if len(words) > 3 and words[3].isdigit() else -1
    if _count(leg, words[1], words[2], most):
        return ""
    where = [*words[4:], "", "", ""]
    if where[0].startswith("!"):
        leg.end(where[0][1:], by="dialplan")
    else:
        transfer(leg, where[0] or "limit_exceeded", where[1] or "XML", where[2] or "default")
    return ""


async def limit_execute(leg: Channel, data: str) -> str:
    """Application ``limit_execute hash <realm> <id> <max> <app> <data>``: what is too many does not run."""
    words = separate(data, " ", 6)
    if len(words) >= 5 and words[3].lstrip("-").isdigit() and _count(leg, words[1], words[2], int(words[3])):
        await leg.execute(words[4], words[5] if len(words) > 5 else "")
        _release(leg, (words[1], words[2]))
    return ""


async def hash_app(leg: Channel, data: str) -> str:
    """Application ``hash insert/realm/key/value`` or ``delete/realm/key``."""
    await hash_command(leg.switch, data)
    return ""


async def hash_command(switch: Switch, argument: str) -> str:
    """API ``hash``."""
    words = argument.split("/", 3)
    if len(words) < 3:
        return _HASH_USAGE
    verb, realm, key = words[:3]
    value, table, place = (words[3] if len(words) > 3 else ""), switch.hash_table, f"{realm}_{key}"
    if verb == "select":
        return table.get(place, "")
    if verb == "insert" or (verb == "insert_ifempty" and place not in table):
        table[place] = value
        return "+OK\n"
    if verb in ("delete", "delete_ifmatch"):
        if place not in table or (verb == "delete_ifmatch" and table[place] != value):
            return "-ERR Not found\n"
        del table[place]
        return "+OK\n"
    return "-ERR\n"


async def limit_usage(switch: Switch, argument: str) -> str:
    """API ``limit_usage hash <realm> <id>``."""
    words = separate(argument, " ")
    if len(words) < 3:
        return "USAGE: limit_usage <backend> <realm> <id> [rate]\n"
    return str(len(switch.counted.get((words[1], words[2]), ()))) if words[0] == "hash" else "0"


def release_all(leg: Channel) -> None:
    """The leg ends."""
    for resource in [r for r, legs in leg.switch.counted.items() if leg.uuid in legs]:
        _release(leg, resource)


def _count(leg: Channel, realm: str, name: str, most: int) -> bool:
    """Count the leg in; False when that would be more than ``most`` (negative: no limit)."""
    legs = leg.switch.counted.setdefault((realm, name), set())
    if leg.uuid not in legs and 0 <= most <= len(legs):
        return False
    legs.add(leg.uuid)
    leg.variables |= {"limit_realm": realm, "limit_id": name, "limit_max": str(most)}
    usage = {"backend": "hash", "realm": realm, "key": name, "usage": str(len(legs)), "rate": "0"}
    usage |= {"max": str(most), "ratemax": str(most)}
    leg.switch.fire("CUSTOM", None, subclass="limit::usage", tail=usage, location="limit::usage")
    return True


def _release(leg: Channel, resource: tuple[str, str]) -> None:
    legs = leg.switch.counted.get(resource)
    if legs is not None:
        legs.discard(leg.uuid)
        if not legs:
            del leg.switch.counted[resource]
