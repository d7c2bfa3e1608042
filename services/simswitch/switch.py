"""The simulated switch: its legs, its events, its registrations. Theory of operation.

Everything runs on one asyncio loop. Each leg (`Channel`) is one task that runs applications one after the other, as a
FreeSWITCH session thread does; commands from outside (kill, transfer, bridge, break, queued messages) change the leg's
flags and wake it. `Switch.fire` builds an event only when somebody subscribed to its name, and encodes it once a format.

What is *true* here is what the simulated switch and its people do. The `Observer` (the ledger) is told by the switch
itself; nothing that a service claims takes part.

Times in events have steps of 20 ms, the media clock of the real switch: a client that orders by them must fail here too.
"""

from __future__ import annotations

import asyncio
import email.utils
import os
import uuid as uuids
import wave
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from services.common.clock import Clock
from services.common.errors import Refused
from services.simswitch import cdr_file, registrations
from services.simswitch.channel import Channel
from services.simswitch.core import cdr as cdr_core
from services.simswitch.core import logs
from services.simswitch.core.codecs import G711, Codec
from services.simswitch.core.dialplan import Dialplan
from services.simswitch.core.directory import Directory
from services.simswitch.core.leg import Profile, Times, stamp
from services.simswitch.core.leg_variables import inbound_variables
from services.simswitch.core.limits import Direction, Limits
from services.simswitch.core.locations import LOCATIONS
from services.simswitch.core.media import MISSING
from services.simswitch.core.wire import Event, Value, to_json
from services.simswitch.faults import Faults
from services.simswitch.heartbeat import heartbeat
from services.simswitch.ports import Api, Application, Gateway, Listener, Observer, Phone
from services.simswitch.recorder import Recorder

if TYPE_CHECKING:
    from services.simswitch.cdr_post import CdrPoster
    from services.simswitch.connection import Link
    from services.simswitch.listener import Connection

log = structlog.get_logger()

TICK_US = 20_000
HEARTBEAT_S = 20.0
EVENT_QUEUE = 10_000
_HEARD_MOST = 1_000


class Switch:
    """One simulated FreeSWITCH node."""

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        dialplan: Dialplan,
        globals_: Mapping[str, str],
        apps: Mapping[str, Application],
        api: Api,
        on_leg_ending: Callable[[Channel], None],
        domain: str = "peyvand.local",
        cdr_spool: Path | None = None,
        recordings: Path | None = None,
        missing_file_ms: int = MISSING,
        observer: Observer | None = None,
        directory: Directory | None = None,
    ) -> None:
        self.name = name
        self.clock = clock
        self.dialplan = dialplan
        self.core_uuid = str(uuids.uuid4())
        # The core sets these itself; clients tell a restarted switch by the first.
        self.globals = {**globals_, "core_uuid": self.core_uuid, "switchname": name}
        self.apps = apps
        self.api = api
        self.on_leg_ending = on_leg_ending
        self.domain = domain
        self.cdr_spool = cdr_spool
        self.recordings = recordings
        self.speech: Path | None = None
        self.cdr_poster: CdrPoster | None = None
        self.observer = observer or Observer()
        self.channels: dict[str, Channel] = {}
        self.rows: dict[str, dict[str, str]] = {}
        self.phones: dict[str, Phone] = {}
        self.registered: dict[str, int] = {}
        self.gateways: dict[str, Gateway] = {"trunk": Gateway()}
        self.nodes: dict[str, Phone] = {}
        """Other nodes by the address of their profile for calls between nodes."""
        self.carrier: dict[str, Switch] = {}
        """All nodes, as the carrier reaches them."""
        self.counted: dict[tuple[str, str], set[str]] = {}
        """Of mod_hash: UUIDs by realm and id."""
        self.schedule: object | None = None
        self.conferences: dict[str, Any] = {}
        self.last_member = 0
        """Member ids of conferences."""
        self.sofia_profiles: set[str] = {"agents", "trunk"}
        self.listeners: list[Listener] = []
        self._heard: dict[tuple[str, str], tuple[Listener, ...]] = {}
        self.links: set[Link] = set()
        """Every connection of the event socket, of either kind."""
        self.loggers: set[Connection] = set()
        self.modules: frozenset[str] = frozenset()
        """Names of the modules that the real switch would load."""
        self.hash_table: dict[str, str] = {}
        """``realm_key`` to value, of mod_hash."""
        self.directory = directory or Directory()
        self.limits = Limits()
        self.faults = Faults(self)
        self.poll_s = 0.0
        """How long an idle connection sleeps before it looks for events: 0.02 in the real switch."""
        self.event_queue = EVENT_QUEUE
        """Events that wait for one listener at most (100 000 in the real switch, which takes gigabytes for it)."""
        self.heartbeat_s = HEARTBEAT_S
        self.codecs: tuple[Codec, ...] = G711
        """What its phones and trunks speak, the preferred first."""
        self.down = False
        """The process of the switch is gone; it is being restarted."""
        self.reloading: Callable[[bool], Awaitable[None]] | None = None
        self.refuse_originates: str = ""
        """A fault: every originate fails at once with this cause."""
        self.started_us = clock.now_us()
        self.sessions_since_start = 0
        self.peak = 0
        self._missing_file_ms = missing_file_ms
        self._file_ms: dict[str, int] = {}
        self._sequence = 0
        self._date = (0, "", "")
        self._recorders: set[Recorder] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- time and tasks

    def now_us(self) -> int:
        """The media clock: the time of the last 20 ms step."""
        now = self.clock.now_us()
        return now - now % TICK_US

    def spawn(self, work: Awaitable[None], name: str) -> asyncio.Task[None]:
        """Run something beside the legs; an error in it is logged."""

        async def guarded() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("simulated_work_failed", work=name)

        task = asyncio.get_running_loop().create_task(guarded(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def run_housekeeping(self) -> None:
        """HEARTBEAT every 20 s, recordings to disk every second. Never returns."""
        loop = asyncio.get_running_loop()
        next_beat = loop.time() + self.heartbeat_s
        while True:
            await asyncio.sleep(min(1.0, self.heartbeat_s))
            now = self.clock.now_us()
            for recorder in list(self._recorders):
                recorder.write_until(now)
            if loop.time() >= next_beat:
                next_beat += self.heartbeat_s
                if not self.down:
                    self.heartbeat()

    async def stop(self) -> None:
        """End every leg as a switch that shuts down does, and wait for their records."""
        await self.faults.stop()
        for channel in list(self.channels.values()):
            channel.end("SYSTEM_SHUTDOWN", by="switch")
        legs = [c.task for c in self.channels.values() if c.task]
        if legs:
            await asyncio.wait(legs, timeout=2.0)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- events

    def add_listener(self, listener: Listener) -> None:
        if listener not in self.listeners:
            self.listeners.append(listener)
            self.hearing_changed()

    def remove_listener(self, listener: Listener) -> None:
        if listener in self.listeners:
            self.listeners.remove(listener)
            self.hearing_changed()

    def base(self, name: str, sequence: int, location: str = "") -> dict[str, Value]:
        """The headers that every event starts with."""
        now = self.now_us()
        second = now // 1_000_000
        if self._date[0] != second:
            self._date = (second, stamp(now), email.utils.formatdate(second, usegmt=True))
        file, function, line = LOCATIONS.get(location or name, ("switch_event.c", "switch_event_fire", "1"))
        return {
            "Event-Name": name,
            "Core-UUID": self.core_uuid,
            "FreeSWITCH-Hostname": self.name,
            "FreeSWITCH-Switchname": self.name,
            "FreeSWITCH-IPv4": "127.0.0.1",
            "FreeSWITCH-IPv6": "::1",
            "Event-Date-Local": self._date[1],
            "Event-Date-GMT": self._date[2],
            "Event-Date-Timestamp": str(now),
            "Event-Calling-File": file,
            "Event-Calling-Function": function,
            "Event-Calling-Line-Number": line,
            "Event-Sequence": str(sequence),
        }

    def fire(
        self,
        name: str,
        leg: Channel | None = None,
        *,
        head: Mapping[str, Value] | None = None,
        tail: Mapping[str, Value] | Callable[[], Mapping[str, Value]] | None = None,
        variables: bool = True,
        subclass: str = "",
        body: str | None = None,
        location: str = "",
        owner: Channel | None = None,
    ) -> None:
        """Fire an event: base headers, ``head``, the leg's headers and variables, ``tail``. ``owner`` is the leg whose
        controller started a job. A ``tail`` that is a function is made only when somebody hears the event."""
        self._sequence += 1
        takers = self._heard.get((name, subclass))
        if takers is None:
            takers = self._who_hears(name, subclass)
        whose = leg or owner
        controller = whose.controller if whose is not None else None
        if (
            controller is not None
            and controller.subscription.only_session
            and controller.offers(name, subclass)
        ):
            takers = (*takers, controller)
        if not takers and not self.loggers:
            return
        headers: dict[str, Value] = {"Event-Subclass": subclass} if subclass else {}
        headers.update(self.base(name, self._sequence, location))
        if head:
            headers.update(head)
        if leg is not None:
            leg.show(headers, variables=variables)
        if tail:
            headers.update(tail() if callable(tail) else tail)
        event = Event(name, headers, body, subclass)
        for taker in takers:
            taker.deliver(event)
        if self.loggers:
            for line in logs.lines(name, headers):
                self.log_line(line)

    def _who_hears(self, name: str, subclass: str) -> tuple[Listener, ...]:
        """Who wants events of this name, kept until `hearing_changed`: four of five events of a call are heard by nobody."""
        if len(self._heard) >= _HEARD_MOST:  # somebody makes up subclasses
            self._heard.clear()
        heard = self._heard[name, subclass] = tuple(x for x in self.listeners if x.offers(name, subclass))
        return heard

    def hearing_changed(self) -> None:
        """A listener came, went, or subscribed to something else."""
        self._heard.clear()

    def fire_own(
        self, name: str, headers: Mapping[str, Value], *, subclass: str = "", body: str | None = None
    ) -> None:
        """Fire what a client made by ``sendevent``: its headers come first."""
        self._sequence += 1
        base = self.base(name, self._sequence, "sendevent")
        event = Event(
            name, {**headers, **{k: v for k, v in base.items() if k not in headers}}, body, subclass
        )
        for taker in [x for x in self.listeners if x.offers(name, subclass)]:
            taker.deliver(event)
        leg = self.find(str(event.get("Unique-ID") or ""))
        if leg is not None and leg.controller is not None and leg.controller.subscription.only_session:
            leg.controller.deliver(event)

    def log_line(self, line: logs.Line) -> None:
        """Write a line of the switch's own log to the clients that said ``log``."""
        now = self.clock.now_us()
        frame: bytes | None = None
        for logger in self.loggers:
            if logger.log_level is not None and line.level <= logger.log_level:
                frame = frame or line.frame(stamp(now), now % 1_000_000)
                logger.write_log(frame)

    def heartbeat(self) -> None:
        """Fire HEARTBEAT now."""
        heartbeat(self)

    # -- the process

    async def reload_event_socket(self, again: bool) -> None:
        """``unload`` or ``reload mod_event_socket``: every connection is told and closed; legs live on."""
        if self.reloading is not None:
            await self.reloading(again)

    async def vanish(self) -> None:
        """The process dies: connections, legs, jobs and unwritten records are gone, and no event says so."""
        self.down = True
        for link in list(self.links):
            link.drop()
        for leg in list(self.channels.values()):
            leg.vanish()
        tasks = [t for t in self._tasks if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.listeners.clear()
        self.hearing_changed()
        self.loggers.clear()

    def be_reborn(self, *, registrations: bool) -> None:
        """The process is there again, as another one: its Core-UUID, counters and uptime are new."""
        self.core_uuid = str(uuids.uuid4())
        self.globals["core_uuid"] = self.core_uuid
        self.started_us = self.clock.now_us()
        self.sessions_since_start = self.peak = self._sequence = 0
        self.limits = Limits(self.limits.max_sessions, self.limits.sps)
        if not registrations:
            self.registered.clear()
        self.down = False

    def refusal(self, direction: Direction) -> str:
        """Why the switch takes no new leg now; empty when it does, and then the leg is counted."""
        if self.down:
            return "The switch is down."
        return self.limits.refusal(direction, len(self.channels), self.clock.now_us() // 1_000_000)

    # -- legs

    def add_channel(self, channel: Channel) -> None:
        self.channels[channel.uuid] = channel
        self.peak = max(self.peak, len(self.channels))

    def next_session_id(self) -> int:
        self.sessions_since_start += 1
        return self.sessions_since_start

    def drop_channel(self, channel: Channel) -> None:
        self.channels.pop(channel.uuid, None)
        self.rows.pop(channel.uuid, None)

    def find(self, uuid: str) -> Channel | None:
        """The leg, also while it is ending; None when it is gone."""
        return self.channels.get(uuid)

    def place_call(
        self,
        *,
        context: str,
        destination: str,
        caller_number: str,
        caller_name: str,
        party: Any = None,
        user_name: str = "",
        uuid: str = "",
        sofia_profile: str = "",
        variables: Mapping[str, Value] | None = None,
    ) -> Channel:
        """An INVITE arrives: create the inbound leg and let it run the dialplan. Raises Refused where FreeSWITCH would answer
        503: it is down, paused or full."""
        if reason := self.refusal("inbound"):
            self.observer.call_refused(destination, caller_number, reason)
            raise Refused("call-refused", f"503 Maximum Calls In Progress: {reason}", status=503)
        uuid = uuid or str(uuids.uuid4())
        host = "127.0.0.1"
        profile_name = sofia_profile or ("agents" if user_name else "trunk")
        now = self.now_us()
        name = f"sofia/{profile_name}/{caller_number}@{self.domain if user_name else host}"
        profile = Profile(
            direction="inbound",
            uuid=uuid,
            chan_name=name,
            source="mod_sofia",
            context=context,
            destination=destination,
            username=user_name or caller_number,
            dialplan="XML",
            cid_name=caller_name,
            cid_number=caller_number,
            orig_cid_name=caller_name,
            orig_cid_number=caller_number,
            network_addr=host,
            ani=caller_number,
            times=Times(profile_created=now, created=now),
        )
        channel = Channel(self, uuid, profile, self.next_session_id())
        channel.party = party
        channel.variables = inbound_variables(
            channel,
            profile_name=profile_name,
            host=host,
            codecs=self.codecs,
            user_name=user_name,
            domain=self.domain,
        )
        channel.variables.update(variables or {})
        self.add_channel(channel)
        self.observer.leg_created(channel)
        channel.start_inbound()
        return channel

    # -- registrations

    def register(self, extension: str, phone: Phone | None = None) -> None:
        """A phone registers."""
        registrations.register(self, extension, phone)

    def unregister(self, extension: str, *, expired: bool = False) -> None:
        """A phone unregisters, or its registration expires."""
        registrations.unregister(self, extension, expired=expired)

    # -- files

    def file_ms(self, path: str) -> int:
        """Length of a sound file in milliseconds; for a missing one what the settings say."""
        known = self._file_ms.get(path)
        if known is not None:
            return known
        full = Path(path) if path.startswith("/") else Path(self.globals.get("sounds_dir", ".")) / path
        try:
            with wave.open(str(full), "rb") as file:
                ms = file.getnframes() * 1000 // (file.getframerate() or 8000)
        except (OSError, EOFError, wave.Error):
            return self._missing_file_ms
        self._file_ms[path] = ms
        return ms

    def add_recorder(self, recorder: Recorder) -> None:
        self._recorders.add(recorder)

    def drop_recorder(self, recorder: Recorder) -> None:
        self._recorders.discard(recorder)

    def may_record(self, path: str) -> bool:
        """Whether a recording may be written there: inside the folders for it when the one for recordings is set."""
        if self.recordings is None:
            return True
        roots = [folder.resolve() for folder in (self.recordings, self.speech) if folder is not None]
        return any(Path(os.path.normpath(path)).is_relative_to(root) for root in roots)

    def write_cdr(self, channel: Channel) -> None:
        """One POST a leg where there are URLs, and one file where there is a spool."""
        if self.cdr_spool is None and self.cdr_poster is None:
            return
        data = to_json(cdr_core.record(channel, core_uuid=self.core_uuid, switchname=self.name))
        if self.cdr_poster is not None:
            self.cdr_poster.post(channel.uuid, data)
        if self.cdr_spool is not None:
            cdr_file.write(self.cdr_spool, channel.uuid, data)
