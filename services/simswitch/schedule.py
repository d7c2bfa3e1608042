"""Things that happen later: ``sched_hangup``, ``sched_transfer``, ``sched_broadcast``, ``sched_api``, ``sched_del``.

Times are ``+seconds`` or seconds of the epoch; the real switch's scheduler looks once a second, so a task comes up to a
second early or late there (measured 0.5 to 1.0 s for ``+1``), here in time. A task of a leg that is gone does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from services.common.esl.quoting import separate
from services.simswitch.channel import Channel
from services.simswitch.messages import broadcast_message
from services.simswitch.redirect import transfer
from services.simswitch.switch import Switch

_NO_CHANNEL = "-ERR No such channel!\n"


class Schedule:
    """The tasks of one switch; each has an id and a group (a leg's UUID, or what ``sched_api`` was given)."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._tasks: dict[int, tuple[str, asyncio.TimerHandle]] = {}
        self._last = 0

    def add(self, when: str, group: str, act: Callable[[], None]) -> int:
        """Do ``act`` at ``when``; return the task's id."""
        self._last += 1
        number = self._last

        def run() -> None:
            self._tasks.pop(number, None)
            act()

        timer = asyncio.get_running_loop().call_later(self._delay_s(when), run)
        self._tasks[number] = (group, timer)
        return number

    def drop(self, wanted: str) -> int:
        """Forget the task of this id, or the tasks of this group; return how many there were."""
        found = [n for n, (group, _) in self._tasks.items() if wanted in (str(n), group)]
        for number in found:
            self._tasks.pop(number)[1].cancel()
        return len(found)

    def _delay_s(self, when: str) -> float:
        seconds = float(when.removeprefix("+")) if when.removeprefix("+").isdigit() else 0.0
        if when.startswith("+"):
            return seconds
        return max(0.0, seconds - self._switch.clock.now_us() / 1_000_000)


def _of(switch: Switch) -> Schedule:
    if not isinstance(switch.schedule, Schedule):
        switch.schedule = Schedule(switch)
    return switch.schedule


def _end(leg: Channel, cause: str) -> None:
    leg.end(cause, by="switch")


def _transfer(leg: Channel, destination: str, dialplan: str, context: str) -> None:
    if not leg.down:
        transfer(leg, destination, dialplan, context)


def _broadcast(leg: Channel, path: str) -> None:
    app, found, data = path.partition("::")
    leg.queue(broadcast_message(app, data) if found else broadcast_message("playback", path))


async def sched_hangup_app(leg: Channel, data: str) -> str:
    """Application ``sched_hangup <when> [<cause>]``; ``cancel`` forgets what is planned for this leg."""
    words = [*separate(data, " "), "", ""]
    if words[0] == "cancel":
        _of(leg.switch).drop(leg.uuid)
    elif words[0]:
        _of(leg.switch).add(words[0], leg.uuid, partial(_end, leg, words[1] or "ALLOTTED_TIMEOUT"))
    return ""


async def sched_transfer_app(leg: Channel, data: str) -> str:
    """Application ``sched_transfer <when> <exten> [<dialplan> [<context>]]``."""
    when, destination, dialplan, context = [*separate(data, " "), "", "", "", ""][:4]
    if when and destination:
        _of(leg.switch).add(when, leg.uuid, partial(_transfer, leg, destination, dialplan, context))
    return ""


async def sched_broadcast_app(leg: Channel, data: str) -> str:
    """Application ``sched_broadcast <when> <path>``."""
    when, path = [*separate(data, " "), "", ""][:2]
    if when and path:
        _of(leg.switch).add(when, leg.uuid, partial(_broadcast, leg, path))
    return ""


async def sched_hangup(switch: Switch, argument: str) -> str:
    """``sched_hangup [+]<time> <uuid> [<cause>]``"""
    when, uuid, cause = [*separate(argument, " "), "", "", ""][:3]
    if not (when and uuid):
        return "-USAGE: [+]<time> <uuid> [<cause>]\n"
    leg = switch.find(uuid)
    if leg is None:
        return _NO_CHANNEL
    _of(switch).add(when, uuid, partial(_end, leg, cause or "ALLOTTED_TIMEOUT"))
    return "+OK\n"


async def sched_transfer(switch: Switch, argument: str) -> str:
    """``sched_transfer [+]<time> <uuid> <extension> [<dialplan>] [<context>]``"""
    when, uuid, destination, dialplan, context = [*separate(argument, " "), *[""] * 5][:5]
    if not (when and uuid and destination):
        return "-USAGE: [+]<time> <uuid> <extension> [<dialplan>] [<context>]\n"
    leg = switch.find(uuid)
    if leg is None:
        return _NO_CHANNEL
    _of(switch).add(when, uuid, partial(_transfer, leg, destination, dialplan, context))
    return "+OK\n"


async def sched_broadcast(switch: Switch, argument: str) -> str:
    """``sched_broadcast [+]<time> <uuid> <path> [aleg|bleg|both]``"""
    when, uuid, path = [*separate(argument, " "), "", "", ""][:3]
    if not (when and uuid and path):
        return "-USAGE: [[+]<time>|@time] <uuid> <path> [aleg|bleg|both]\n"
    leg = switch.find(uuid)
    if leg is None:
        return _NO_CHANNEL
    _of(switch).add(when, uuid, partial(_broadcast, leg, path))
    return "+OK Message scheduled\n"


async def sched_api(switch: Switch, argument: str) -> str:
    """``sched_api [+]<time> <group> <command>``"""
    words = separate(argument, " ", 3)
    if len(words) < 3:
        return "-ERR Invalid syntax. USAGE: [+@]<time> <group_name> <command_string>[&]\n"
    name, _, rest = words[2].partition(" ")

    def act() -> None:
        async def run() -> None:
            await switch.api(switch, name, rest)

        switch.spawn(run(), f"sched_api {name}")

    return f"+OK Added: {_of(switch).add(words[0], words[1], act)}\n"


async def sched_del(switch: Switch, argument: str) -> str:
    """``sched_del <task id>|<group>``"""
    return f"+OK Deleted: {_of(switch).drop(argument)}\n" if argument else "-USAGE: <task_id>|<group_id>\n"
