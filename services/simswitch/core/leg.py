"""One leg's data and the headers that its events carry, in the order and with the names of FreeSWITCH 1.10.12.

Header sets were taken from recordings of a real switch (a SIP caller, an originated agent leg, G.711): which events carry
channel variables (not CHANNEL_STATE, CHANNEL_CALLSTATE, CHANNEL_OUTGOING, DTMF), that ``Channel-State`` names the state
that runs while ``Channel-State-Number`` is the state that was asked for, that a bridge gives both legs a new caller
profile, and that ``bridge_uuid`` and ``signal_bond`` stay after the bridge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Final

from services.simswitch.core.codecs import Codec
from services.simswitch.core.wire import Value

STATES: Final = {
    "CS_NEW": 0,
    "CS_INIT": 1,
    "CS_ROUTING": 2,
    "CS_SOFT_EXECUTE": 3,
    "CS_EXECUTE": 4,
    "CS_EXCHANGE_MEDIA": 5,
    "CS_PARK": 6,
    "CS_CONSUME_MEDIA": 7,
    "CS_HIBERNATE": 8,
    "CS_RESET": 9,
    "CS_HANGUP": 10,
    "CS_REPORTING": 11,
    "CS_DESTROY": 12,
    "CS_NONE": 13,
}
_STATE_NUMBERS: Final = {state: str(number) for state, number in STATES.items()}
CALL_STATES: Final = {
    "DOWN": 0,
    "DIALING": 1,
    "RINGING": 2,
    "EARLY": 3,
    "ACTIVE": 4,
    "HELD": 5,
    "RING_WAIT": 6,
    "HANGUP": 7,
    "UNHELD": 8,
}
VERSION: Final = "1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit"
_FIELDS: Final = {
    "Direction": "direction",
    "Logical-Direction": "logical_direction",
    "Username": "username",
    "Dialplan": "dialplan",
    "Caller-ID-Name": "cid_name",
    "Caller-ID-Number": "cid_number",
    "Orig-Caller-ID-Name": "orig_cid_name",
    "Orig-Caller-ID-Number": "orig_cid_number",
    "Callee-ID-Name": "callee_name",
    "Callee-ID-Number": "callee_number",
    "Network-Addr": "network_addr",
    "ANI": "ani",
    "RDNIS": "rdnis",
    "Destination-Number": "destination",
    "Unique-ID": "uuid",
    "Source": "source",
    "Transfer-Source": "transfer_source",
    "Context": "context",
    "Channel-Name": "chan_name",
}
"""Headers of a caller profile and its attributes, in their order."""
_TIMES: Final = {
    "Profile-Created-Time": "profile_created",
    "Channel-Created-Time": "created",
    "Channel-Answered-Time": "answered",
    "Channel-Progress-Time": "progress",
    "Channel-Progress-Media-Time": "progress_media",
    "Channel-Hangup-Time": "hungup",
    "Channel-Transfer-Time": "transferred",
    "Channel-Resurrect-Time": "resurrected",
    "Channel-Bridged-Time": "bridged",
    "Channel-Last-Hold": "last_hold",
    "Channel-Hold-Accum": "hold_accum",
}
_FIELD_VALUES: Final = attrgetter(*_FIELDS.values())
_TIME_VALUES: Final = attrgetter(*_TIMES.values())


class _Names:
    """The header names of a caller profile under one prefix, made once: an event has dozens of them."""

    def __init__(self, prefix: str) -> None:
        self.fields = tuple(f"{prefix}-{name}" for name in _FIELDS)
        self.transfer_source = f"{prefix}-Transfer-Source"
        self.index = f"{prefix}-Profile-Index"
        self.times = tuple(f"{prefix}-{name}" for name in _TIMES)
        self.flags = {
            f"{prefix}-Screen-Bit": "true",
            f"{prefix}-Privacy-Hide-Name": "false",
            f"{prefix}-Privacy-Hide-Number": "false",
        }


_NAMES: Final = {prefix: _Names(prefix) for prefix in ("Caller", "Other-Leg", "Channel")}
_NO_TIMES: Final = ("0",) * len(_TIMES)


class _VariableNames(dict[str, str]):
    """Header names of variables. A name that is made anew for every event is hashed anew, too: the largest cost of all."""

    _MOST = 20_000

    def __missing__(self, name: str) -> str:
        if len(self) >= self._MOST:  # somebody makes up names
            self.clear()
        made = self[name] = "variable_" + name
        return made


_VARIABLE_NAMES: Final = _VariableNames()


@dataclass(slots=True)
class Times:
    """Microseconds since the epoch; 0 is never. ``hold_accum`` is a duration in microseconds."""

    profile_created: int = 0
    created: int = 0
    answered: int = 0
    progress: int = 0
    progress_media: int = 0
    hungup: int = 0
    transferred: int = 0
    resurrected: int = 0
    bridged: int = 0
    last_hold: int = 0
    hold_accum: int = 0


@dataclass(slots=True)
class Profile:
    """A caller profile: who calls whom, as FreeSWITCH shows it with a prefix (Caller, Other-Leg, Channel)."""

    direction: str
    uuid: str
    chan_name: str
    source: str
    context: str
    destination: str
    username: str = ""
    dialplan: str = ""
    cid_name: str = ""
    cid_number: str = ""
    orig_cid_name: str = ""
    orig_cid_number: str = ""
    callee_name: str = ""
    callee_number: str = ""
    network_addr: str = ""
    ani: str = ""
    rdnis: str = ""
    transfer_source: str = ""
    logical_direction: str = ""
    index: int = 1
    extension: tuple[str, tuple[tuple[str, str], ...]] = ("", ())
    """Name of the extension and its actions, for the CDR's call flow."""
    times: Times = field(default_factory=Times)
    _shows: object = field(default=None, init=False, repr=False, compare=False)
    _fields: Mapping[str, Value] = field(default_factory=dict, init=False, repr=False, compare=False)

    def show(self, out: dict[str, Value], prefix: str, *, times: bool = True) -> None:
        """Put the profile's headers under ``prefix`` into ``out``; without ``times`` they are all 0."""
        shows = (prefix, self.index, _FIELD_VALUES(self))
        if shows != self._shows:  # a leg fires several events between two changes of who calls whom
            self._shows, self._fields = shows, _profile_fields(*shows)
        names = _NAMES[prefix]
        out.update(self._fields)
        # Not kept: what is subscribed is mostly what a change of them is told by.
        out.update(zip(names.times, map(str, _TIME_VALUES(self.times)) if times else _NO_TIMES, strict=True))
        out.update(names.flags)

    def invert_caller_id(self) -> None:
        """Caller and callee change places; nobody is called Unknown (``switch_channel_invert_cid``)."""
        self.cid_name, self.callee_name = self.callee_name or "Unknown", self.cid_name
        self.cid_number, self.callee_number = self.callee_number or "Unknown", self.cid_number

    def step(self, now_us: int) -> Profile:
        """The next profile of the same leg (after a bridge or a transfer): the channel's times stay."""
        following = self.copied()
        following.index += 1
        following.times.profile_created = now_us
        following.extension = ("", ())
        return following

    def copied(self) -> Profile:
        """The same in an object of its own, times too."""
        copy = Profile(*_VALUES(self))
        copy.times = Times(*_TIME_VALUES(self.times))
        return copy


_VALUES: Final = attrgetter(*(f.name for f in fields(Profile) if f.init))


def _profile_fields(prefix: str, index: int, texts: tuple[str, ...]) -> dict[str, Value]:
    """All but the times and the flags, which follow; the index is left out of another leg's."""
    names = _NAMES[prefix]
    direction, logical, *others = texts
    values = (direction, logical or direction, *others)
    out: dict[str, Value] = {name: value for name, value in zip(names.fields, values, strict=True) if value}
    if prefix != "Caller":
        out.pop(names.transfer_source, None)
    if prefix != "Other-Leg":
        out[names.index] = str(index)
    return out


_PROFILE_FIELDS: Final = {
    "destination_number": "destination",
    "caller_id_name": "cid_name",
    "caller_id_number": "cid_number",
    "context": "context",
    "network_addr": "network_addr",
    "ani": "ani",
    "username": "username",
    "dialplan": "dialplan",
    "source": "source",
    "chan_name": "chan_name",
}
"""Fields of the caller profile that can be read like variables."""


_INDEX: Final = re.compile(r"(.+)\[(\d+)\]")


class Leg:
    """One leg: identity, states, variables, profiles. No behaviour."""

    def __init__(self, uuid: str, profile: Profile, session_id: int) -> None:
        self.uuid = uuid
        self.name = profile.chan_name
        self.direction = profile.direction
        self.profile = profile
        self.old_profiles: list[Profile] = []
        self.session_id = session_id
        self.state = "CS_NEW"
        self.running = "CS_NEW"
        self.call_state = "DOWN"
        self.answer_state = "ringing"
        self.hit_dialplan = profile.direction == "inbound"
        self.b_leg = False
        """Of an inbound leg: it was the second of a ``uuid_bridge``, so that its caller and callee have changed places."""
        self.hangup_cause = ""
        self.hangup_disposition = ""
        self.sip_status = 0
        """The status that a phone refused the call with; 0 when it did not say one."""
        self.codec: Codec | None = None
        """What both sides agreed to speak; None before."""
        self.has_profile = True
        """Whether events show the caller profile: not of a loopback leg that is being made."""
        self.writes = True
        """Whether the codec is set for the way out, too."""
        self.holds: list[tuple[int, int]] = []
        """When it was held, the last first: microseconds since the epoch."""
        self.digits_dialed = ""
        self.variables: dict[str, Value] = {}
        self.other: dict[str, Value] = {}
        """Other-Type and Other-Leg headers, as they were when the legs were joined."""
        self.app_log: list[tuple[str, str, int]] = []

    @property
    def answered(self) -> bool:
        return self.profile.times.answered != 0

    def var(self, name: str) -> str:
        """A variable as text; empty when unset. ``destination_number`` and such come from the profile."""
        value = self.variables.get(name)
        if value is None:
            return self._field(name)
        return value if isinstance(value, str) else "|:".join(value)

    def _field(self, name: str) -> str:
        attribute = _PROFILE_FIELDS.get(name)
        return getattr(self.profile, attribute) if attribute else ""

    def truth(self, name: str) -> bool:
        """Whether a variable says yes, as ``switch_true`` reads it."""
        value = self.var(name).lower()
        return value in ("yes", "on", "true", "t", "enabled", "active", "allow") or (
            value.isdigit() and int(value) != 0
        )

    def set(self, name: str, value: str) -> None:
        """Set a variable; an empty value unsets it. ``name[1]`` is an element of an array, ``ARRAY::a|:b`` a whole one."""
        if index := _INDEX.fullmatch(name):
            self._set_element(index[1], int(index[2]), value)
        elif value == "":
            self.variables.pop(name, None)
        else:
            self.variables[name] = value[7:].split("|:") if value.startswith("ARRAY::") else value

    def _set_element(self, name: str, place: int, value: str) -> None:
        before = self.variables.get(name, [])
        items = [before] if isinstance(before, str) else list(before)
        items[place : place + 1] = [value]
        self.variables[name] = items[0] if len(items) == 1 else items

    def show(self, out: dict[str, Value], *, variables: bool = True) -> None:
        """Put the channel's headers and its variables into ``out``; a ``Hangup-Cause`` that is there already stays."""
        out["Channel-State"] = self.running
        out["Channel-Call-State"] = self.call_state
        out["Channel-State-Number"] = _STATE_NUMBERS[self.state]
        out["Channel-Name"] = self.name
        out["Unique-ID"] = self.uuid
        out["Call-Direction"] = self.direction
        out["Presence-Call-Direction"] = self.direction
        out["Channel-HIT-Dialplan"] = "true" if self.hit_dialplan else "false"
        if presence_id := self.variables.get("presence_id"):
            out["Channel-Presence-ID"] = presence_id
        if presence_data := self.variables.get("presence_data"):
            out["Channel-Presence-Data"] = presence_data
        out["Channel-Call-UUID"] = self.variables.get("call_uuid", self.uuid)
        out["Answer-State"] = self.answer_state
        if self.hangup_cause:
            out.setdefault("Hangup-Cause", self.hangup_cause)
        if self.codec is not None:
            out.update(self.codec.headers(writes=self.writes))
        if self.running != "CS_NEW" and self.has_profile:
            self.profile.show(out, "Caller")
        out.update(self.other)
        if variables:
            # A hundred of them in every event: nothing of Python's own runs for one.
            out.update(
                zip(map(_VARIABLE_NAMES.__getitem__, self.variables), self.variables.values(), strict=True)
            )

    def with_variables(self) -> dict[str, Value]:
        """The channel's headers and its variables."""
        out: dict[str, Value] = {}
        self.show(out)
        return out


def other_leg(kind: str, profile: Profile) -> dict[str, Value]:
    """Other-Type and Other-Leg headers. An originatee is shown from the other side and with its times."""
    out: dict[str, Value] = {"Other-Type": kind}
    if kind == "originatee":
        seen = profile.copied()
        seen.logical_direction = "inbound" if profile.direction == "outbound" else "outbound"
        seen.show(out, "Other-Leg")
    else:
        profile.show(out, "Other-Leg", times=False)
    return out


def stamp(us: int) -> str:
    """``2026-11-21 21:34:42`` in UTC."""
    return _stamp(us // 1_000_000)


@lru_cache(maxsize=256)
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
