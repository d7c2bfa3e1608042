"""Conferences: the application ``conference`` and its API, with ``conference::maintenance`` events. Measured on 1.10.12.

``conference <name>@<profile>[+flags{mute|deaf}]``. The first member makes it (``conference-create``), each one is
``add-member``; the first who may speak gets the floor (``floor-change``). Who leaves gives the floor back first, then is
``del-member``; after the last comes ``conference-destroy``. A member who is kicked or hung up goes on with its dialplan. Event of
members carry the leg's headers without variables. Member ids count over all conferences of the switch. PRESENCE_IN,
energy, video and sounds at entry are left out.
"""

from __future__ import annotations

import asyncio
import re
import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from services.common.esl.quoting import separate
from services.simswitch import bugs
from services.simswitch.channel import Channel
from services.simswitch.core.media import ENDLESS, MISSING, duration_ms
from services.simswitch.core.wire import Value, to_json
from services.simswitch.recorder import Recorder
from services.simswitch.switch import Switch
from services.simswitch.waiting import TICK_S

_ARGUMENT: Final = re.compile(r"([^@+]+)(?:@([^+]+))?(?:\+(?!flags\{)([^+]*))?(?:\+flags\{([^}]*)\})?$")
_FLAGS: Final = "running|answered|enforce_min|dynamic|exit_sound|enter_sound|json_status"
_USAGE: Final = (
    "<conf name> list [count]\n<conf name> json_list\n<conf name> mute|unmute|tmute|deaf|undeaf|hold|unhold <id|all|last>\n"
    "<conf name> kick|hup <id|all|last>\n<conf name> play <file_path> [<member_id>]\n<conf name> stop [all]\n"
    "<conf name> lock|unlock\n<conf name> record|norecord <path>|all\n"
)


@dataclass(slots=True, eq=False)
class Member:
    """One leg in a conference."""

    number: int
    leg: Channel
    hears: bool = True
    speaks: bool = True
    held: bool = False
    leaves: bool = False

    def flags(self, floor: Member | None) -> str:
        """As ``list`` shows them."""
        named = (("hear", self.hears), ("speak", self.speaks), ("hold", self.held), ("floor", floor is self))
        return "|".join(name for name, on in named if on)

    def headers(self, floor: Member | None) -> dict[str, Value]:
        """What the events of this member carry, apart from the leg's own headers."""
        told = {"Hear": self.hears, "See": True, "Speak": self.speaks, "Talking": False, "Mute-Detect": False}
        told["Hold"] = self.held
        out: dict[str, Value] = {"Video": "false"}
        out |= {name: "true" if on else "false" for name, on in told.items()}
        return out | {
            "Member-ID": str(self.number),
            "Member-Type": "member",
            "Member-Ghost": "false",
            "Energy-Level": "0",
            "Current-Energy": "0",
        }


@dataclass(slots=True, eq=False)
class Conference:
    """One conference; it exists while it has members."""

    switch: Switch
    name: str
    profile: str
    members: dict[int, Member] = field(default_factory=dict)
    floor: Member | None = None
    locked: bool = False
    recorders: dict[str, Recorder] = field(default_factory=dict)
    files: dict[asyncio.TimerHandle, Callable[[], None]] = field(default_factory=dict)
    uuid: str = field(default_factory=lambda: str(uuids.uuid4()))

    def fire(self, action: str, member: Member | None = None, **more: str) -> None:
        """One ``conference::maintenance`` event."""
        head: dict[str, Value] = {
            "Conference-Name": self.name,
            "Conference-Domain": self.switch.domain,
            "Conference-Size": str(len(self.members)),
            "Conference-Ghosts": "0",
            "Conference-Profile-Name": self.profile,
            "Conference-Unique-ID": self.uuid,
        }
        tail: dict[str, Value] = {}
        if member is not None:
            head["Floor"] = "true" if self.floor is member else "false"
            tail = member.headers(self.floor)
        tail["Action"] = action
        tail |= {name.replace("_", "-"): value for name, value in more.items()}
        leg = member.leg if member is not None else None
        self.switch.fire(
            "CUSTOM",
            leg,
            subclass="conference::maintenance",
            head=head,
            tail=tail,
            variables=False,
            location=f"conference {action}",
        )

    def give_floor(self) -> None:
        """To the first who may speak, when nobody has it."""
        if self.floor is None:
            for member in self.members.values():
                if member.speaks:
                    self.floor = member
                    self.fire("floor-change", member, Old_ID="none", New_ID=str(member.number))
                    return

    def drop(self, member: Member) -> None:
        """A member leaves."""
        del self.members[member.number]
        if self.floor is member:
            self.floor = None
            self.fire("floor-change", Old_ID="none", New_ID="none")
        self.fire("del-member", member)
        if not self.members:
            for path in list(self.recorders):
                self.stop_recording(path)
            for timer in self.files:
                timer.cancel()
            self.switch.conferences.pop(self.name, None)
            self.fire("conference-destroy")

    def lines(self) -> str:
        """``list``: newest first."""
        return "".join(
            f"{m.number};{m.leg.name};{m.leg.uuid};{m.leg.profile.cid_name or m.leg.profile.cid_number};"
            f"{m.leg.profile.cid_number};{m.flags(self.floor)};0;0;0\n"
            for m in reversed(self.members.values())
        )

    def play(self, path: str, member: Member | None) -> str:
        """``play``; the file's end is an event."""
        ms = duration_ms(path, self.switch.file_ms)
        to = "" if member is None else f" to member {member.number}"
        if ms == MISSING:
            return f"(play) File: {path} not found.\n"
        start, end = ("play-file", "play-file-done")
        if member is not None:
            start, end = "play-file-member", "play-file-member-done"
        self.fire(start, member, File=path, Async="false")
        if ms != ENDLESS:
            finish = partial(self.fire, end, member, File=path)
            timer = asyncio.get_running_loop().call_later(ms / 1000, finish)
            self.files[timer] = finish
        return f"+OK (play) Playing file {path}{to}\n"

    def stop_files(self) -> str:
        """``stop``"""
        waiting = [
            (t, f)
            for t, f in self.files.items()
            if not t.cancelled() and t.when() > asyncio.get_running_loop().time()
        ]
        for timer, finish in waiting:
            timer.cancel()
            finish()
        self.files.clear()
        return f"+OK Stopped {len(waiting)} files.\n"

    def record(self, path: str) -> str:
        """``record <path>``"""
        try:
            self.recorders[path] = bugs.open_recorder(self.switch, path, 440, 440)
        except OSError:
            return f"-ERR Cannot record to {path}\n"
        self.fire("start-recording", Path=path)
        return f"+OK Record file {path}\n"

    def stop_recording(self, path: str) -> None:
        """``norecord``"""
        recorder = self.recorders.pop(path)
        self.switch.drop_recorder(recorder)
        size = recorder.close(self.switch.clock.now_us())
        self.fire(
            "stop-recording",
            Path=path,
            Other_Recordings="true" if self.recorders else "false",
            Samples_Out=str(recorder.samples),
            Samplerate="8000",
            Milliseconds_Elapsed=str(recorder.ms),
            Record_File_Size=str(size),
        )


async def conference_app(leg: Channel, data: str) -> str:
    """Application ``conference``."""
    found = _ARGUMENT.match(data.strip())
    if found is None:
        return ""
    switch, name = leg.switch, found[1]
    flags = (found[4] or "").split("|")
    if not leg.answered:
        leg.mark_answered(early=False)
    room: Conference | None = switch.conferences.get(name)
    if room is None:
        room = switch.conferences[name] = Conference(switch, name, found[2] or "default")
        room.fire("conference-create")
    if room.locked:
        return ""
    switch.last_member += 1
    member = Member(switch.last_member, leg, hears="deaf" not in flags, speaks="mute" not in flags)
    room.members[member.number] = member
    room.fire("add-member", member)
    asyncio.get_running_loop().call_later(TICK_S, room.give_floor)
    await leg.wait(None, until=lambda: member.leaves)
    room.drop(member)
    return ""


async def conference_command(switch: Switch, argument: str) -> str:
    """API ``conference``."""
    words = separate(argument, " ")
    if not words:
        return _USAGE
    if words[0] == "list":
        if not switch.conferences:
            return "+OK No active conferences.\n"
        rooms: list[Conference] = list(switch.conferences.values())
        return "".join(
            f"+OK Conference {r.name} ({len(r.members)} member{'s' if len(r.members) != 1 else ''} rate: 8000 "
            f"flags: {_FLAGS})\n{r.lines()}"
            for r in rooms
        )
    room: Conference | None = switch.conferences.get(words[0])
    if room is None:
        return f"-ERR Conference {words[0]} not found\n"
    action, rest = (words[1].lower() if len(words) > 1 else ""), words[2:]
    if action in _ON_MEMBERS:
        return _each(room, action, rest[0] if rest else "")
    return _on_room(room, action, rest)


def _on_room(room: Conference, action: str, rest: list[str]) -> str:
    if action == "list":
        return str(len(room.members)) if rest[:1] == ["count"] else room.lines()
    if action == "count":
        return str(len(room.members))
    if action == "json_list":
        return _json(room)
    if action in ("lock", "unlock"):
        room.locked = action == "lock"
        room.fire(action)
        return f"+OK {room.name} {action}ed\n"
    if action == "play" and rest:
        member = room.members.get(int(rest[1])) if len(rest) > 1 and rest[1].isdigit() else None
        if len(rest) > 1 and rest[1].isdigit() and member is None:
            return f"-ERR Member: {rest[1]} not found.\n"
        return room.play(rest[0], member)
    if action == "stop":
        return room.stop_files()
    if action == "record" and rest:
        return room.record(rest[0])
    if action == "norecord" and rest:
        paths = list(room.recorders) if rest[0] == "all" else [p for p in rest[:1] if p in room.recorders]
        for path in paths:
            room.stop_recording(path)
        return (
            "".join(f"Stopped recording file {p}\n" for p in paths)
            + f"+OK Stopped recording {len(paths)} files\n"
        )
    return f"-ERR Conference command '{action}' not found.\n"


def _each(room: Conference, action: str, who: str) -> str:
    if who == "all":
        chosen = list(reversed(room.members.values()))
    elif who == "last":
        chosen = list(room.members.values())[-1:]
    elif who == "non_moderator":
        chosen = list(reversed(room.members.values()))
    else:
        member = room.members.get(int(who)) if who.isdigit() else None
        if member is None:
            return f"-ERR Non-Existant ID {who}\n"
        chosen = [member]
    return "".join(_ON_MEMBERS[action](room, member) for member in chosen)


def _speak(on: bool | None, room: Conference, m: Member) -> str:
    m.speaks = not m.speaks if on is None else on
    name = "unmute" if m.speaks else "mute"
    room.fire(f"{name}-member", m)
    return f"+OK {name} {m.number}\n"


def _hear(on: bool, room: Conference, m: Member) -> str:
    m.hears = on
    name = "undeaf" if on else "deaf"
    room.fire(f"{name}-member", m)
    return f"+OK {name} {m.number}\n"


def _hold(on: bool, room: Conference, m: Member) -> str:
    m.held = on
    name = "hold" if on else "unhold"
    room.fire(f"{name}-member", m)
    return f"+OK {name} {m.number}\n"


def _leave(name: str, told: str, room: Conference, m: Member) -> str:
    room.fire(f"{name}-member", m)
    m.leaves = True
    m.leg.wake_at_tick()
    return f"+OK {told} {m.number}\n"


_ON_MEMBERS: Final[dict[str, Callable[[Conference, Member], str]]] = {
    "mute": partial(_speak, False),
    "unmute": partial(_speak, True),
    "tmute": partial(_speak, None),
    "deaf": partial(_hear, False),
    "undeaf": partial(_hear, True),
    "hold": partial(_hold, True),
    "unhold": partial(_hold, False),
    "kick": partial(_leave, "kick", "kicked"),
    "hup": partial(_leave, "hup", "hup"),
}


def _json(room: Conference) -> str:
    members = [
        {
            "type": "caller",
            "id": m.number,
            "flags": {
                "can_hear": m.hears,
                "can_speak": m.speaks,
                "hold": m.held,
                "talking": False,
                "has_floor": room.floor is m,
            },
            "uuid": m.leg.uuid,
            "caller_id_name": m.leg.profile.cid_name,
            "caller_id_number": m.leg.profile.cid_number,
        }
        for m in reversed(room.members.values())
    ]
    document = {
        "conference_name": room.name,
        "member_count": len(room.members),
        "rate": 8000,
        "conference_uuid": room.uuid,
        "locked": room.locked,
        "recording": bool(room.recorders),
        "members": members,
    }
    return to_json([document]).decode("utf-8", "surrogateescape")
