"""Both sockets of one FreeSWITCH node, kept open: the half of `SwitchClient` that lives in the hub's thread.

Two sockets, because an ``api`` call holds up every event behind it on its own socket. On the command socket only what
answers commands is subscribed: BACKGROUND_JOB for everybody, and by a filter the completions and the hangup of those
channels for which somebody waits. Losing either socket closes both: a node is usable or it is not.

Towards asyncio there is one deque of events, with `Up` and `Down` among them at the place in the order where they
happened. When handlers do not keep up and the deque is full, our own sockets are closed (a reader that merely stops would
freeze the event sockets of the whole switch), what is queued is delivered, and only then is the node connected again and
its state read anew.

A connection that stands proves nothing: a switch that is frozen, or whose network is gone without a word, keeps it for
minutes, and the callers of commands learn of it only by their own deadlines. So each socket on which nothing came for a
while is asked something cheap (``api`` takes mod_event_socket's own locks, so the freeze by a stalled listener is found as
well), and one on which nothing comes for ``silence_s`` after that is given up. What FreeSWITCH fires is judged by HEARTBEAT, which every
event connection subscribes to: answers prove that a thread of the event socket lives, not that events are dispatched. Either
makes the node *unknown*; what its calls do is found out after the reconnection. A switch that only takes seconds to answer
is slow, not silent.

Events wait up to 20 ms inside FreeSWITCH on a socket where nothing is written; so a bare newline goes out every few
milliseconds while somebody waits for a completion, and for a moment after every command, whose effects come as events. Who asks for
``prompt`` events has them fetched for as long as anything happens on the node: a caller who comes out of the menu, or an agent who
hangs up, is an event that no command announces.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import gevent
import gevent.event
import structlog

from services.common.errors import CallGone, SwitchUnavailable
from services.common.esl.protocol import Event, Frame, command
from services.common.esl.replies import LinkLost, Waiter
from services.common.esl.transport import InboundLink
from services.common.metrics import (
    ESL_BACKLOG_CLOSES,
    ESL_CONNECTS,
    ESL_EVENTS,
    ESL_FAILURES,
    ESL_MALFORMED,
    ESL_UP,
)

_log = structlog.get_logger(__name__)

POKE_S = 0.004
# A command's own events (CHANNEL_BRIDGE came 45 ms after uuid_bridge, 112 ms at worst) are fetched quickly so long.
POKE_AFTER_COMMAND_S = 0.15
# Prompt events: half of this is the mean wait. 500 newlines a second cost us 0.9 % of a processor, FreeSWITCH 0.3 %.
PROMPT_POKE_S = 0.002
# A node on which nothing has happened for so long is left in peace; its next call begins with an event that may be late.
PROMPT_FOR_S = 30.0
# A wrong password or a forbidden address is not cured by asking often, and each try is a line in the switch's log.
_SLOW_KINDS = ("denied", "rejected")

HEARTBEAT = "HEARTBEAT"
# A HEARTBEAT may be late once or lost; three in a row are not.
BEATS_MISSED = 3
_PROBE = command("api global_getvar core_uuid")

# What a background job or an application ends with: the event, or why it will not come.
EventWaiter = Callable[[Event | Exception], None]


class Up:
    """The node is connected, subscribed, and says who it is."""

    def __init__(self, core_uuid: str, switchname: str) -> None:
        self.core_uuid = core_uuid
        self.switchname = switchname


class Down:
    """The node cannot be used; all events before it are delivered."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Node:
    """Keeps the sockets of one node. All methods are for the hub's thread and none blocks, `run` excepted."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        password: str,
        subscription: str,
        *,
        inbox: deque[Event | Up | Down],
        wake: Callable[[], None],
        lost_now: Callable[[], None],
        max_backlog: int,
        connect_timeout_s: float,
        retry_max_s: float,
        silence_s: float,
        heartbeat_s: float,
        heartbeats_wanted: bool,
        prompt: bool = False,
    ) -> None:
        self.name = name
        self.inbox = inbox
        self.wake = wake
        self.drained = gevent.event.Event()
        self._target = (host, port, password, connect_timeout_s)
        self._subscription = subscription
        self._lost_now = lost_now
        self._max_backlog = max_backlog
        self._retry_max_s = retry_max_s
        self._silence_s = silence_s
        self._heartbeat_s = heartbeat_s
        self._beat_at = 0.0
        self._beats_wanted = heartbeats_wanted
        self._commands: _CommandLink | None = None
        self._events: _EventLink | None = None
        self._reason = "not connected yet"
        # Events that came behind the reply to the subscription, before `run` could say `Up`; None when that is said.
        self._early: list[Event] | None = None
        self._greenlet: Any = None
        self._poker: Any = None
        self._poke_until = 0.0
        self._prompt = prompt
        self._prompt_until = 0.0
        self._prompter: Any = None
        self.jobs: dict[str, EventWaiter] = {}
        self.apps: dict[str, tuple[str, EventWaiter]] = {}
        self._events_read = ESL_EVENTS.labels(name)
        self._malformed = ESL_MALFORMED.labels(name)
        self._malformed_logged = False
        ESL_UP.labels(name).set(0)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect, and go on until `stop`."""
        self._greenlet = gevent.spawn(self.run)

    def stop(self) -> None:
        """Close the sockets and do not come back."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
        self.close(LinkLost("stopped", "we closed the connection"))
        ESL_UP.labels(self.name).set(0)

    def run(self) -> None:
        """Connect, stay, tell, wait, again."""
        failures = 0
        told: str | None = None
        while True:
            try:
                up = self._connect()
            except LinkLost as e:
                lost = e
            except Exception as e:
                _log.exception("switch_connect_failed", node=self.name)
                lost = LinkLost("broken", repr(e))
            else:
                began = time.monotonic()
                ESL_CONNECTS.labels(self.name).inc()
                ESL_UP.labels(self.name).set(1)
                _log.info("switch_connected", node=self.name, core_uuid=up.core_uuid)
                early, self._early = self._early, None
                self.inbox.append(up)
                self.inbox.extend(early or ())
                self.wake()
                lost = self._wait_lost()
                self.close(lost)
                if time.monotonic() - began > self._retry_max_s:  # else it was no success
                    failures = 0
                ESL_UP.labels(self.name).set(0)
                self._lost_now()
                told = None
            self.close(lost)  # one socket may have been opened
            ESL_FAILURES.labels(self.name, lost.kind).inc()
            if lost.kind != told:  # once for a change, not once for a try
                told = lost.kind
                self._reason = f"{lost.kind}: {lost}"
                _log.warning("switch_not_connected", node=self.name, kind=lost.kind, reason=str(lost))
                self.drained.clear()
                self.inbox.append(Down(self._reason))
                self.wake()
                self.drained.wait()
            failures += 1
            # The listen backlog of mod_event_socket is 5: whoever reconnects in step waits for seconds.
            low, high = (1.0, 10.0) if lost.kind in _SLOW_KINDS else (0.0, 0.2 * 2 ** min(failures, 10))
            gevent.sleep(random.uniform(min(low, self._retry_max_s / 2), min(high, self._retry_max_s)))  # noqa: S311 - spread, not secrecy

    def _connect(self) -> Up:
        self._early = []
        commands = self._commands = _CommandLink(*self._target)
        commands.node = self
        commands.connect()
        try:
            commands.send("event json BACKGROUND_JOB CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP")
            commands.send("filter Event-Name BACKGROUND_JOB")
            core_uuid = _value(commands.send("api global_getvar core_uuid"))
            switchname = _value(commands.send("api switchname"))
            if self._subscription:
                events = self._events = _EventLink(*self._target)
                events.node = self
                events.connect()
                reply = events.send(self._subscription)
                if not reply.text.startswith("+OK"):
                    raise LinkLost("broken", f"{self._subscription!r} was answered with {reply.text!r}")
        except SwitchUnavailable as e:
            raise LinkLost("silent", str(e)) from None
        return Up(core_uuid, switchname)

    def _wait_lost(self) -> LinkLost:
        """Wait until a socket is lost, or is silent for too long."""
        links = [link for link in (self._commands, self._events) if link is not None]
        watch = gevent.spawn(self._watch, links)
        try:
            gevent.wait([link.closed for link in links], count=1)
        finally:
            watch.kill(block=False)
        return next(link.lost for link in links if link.lost is not None)

    def _watch(self, links: list[_CommandLink]) -> None:
        """Ask what is quiet, give up what is silent."""
        step_s = self._silence_s / 4
        self._beat_at = time.monotonic()
        while True:
            before = time.monotonic()
            gevent.sleep(step_s)
            now = time.monotonic()
            if now - before > 2 * step_s:
                # We were away ourselves (stopped, or without CPU): what came meanwhile has not been read yet.
                self._beat_at += now - before
                for link in links:
                    link.heard_at += now - before
            for link in links:
                if link.asked_at:
                    silent_s = now - max(link.asked_at, link.heard_at)
                    if silent_s >= self._silence_s:
                        link.close("silent", f"asked, and nothing came for {silent_s:.1f} s")
                        return
                elif now - link.heard_at >= step_s:
                    link.asked_at = now
                    link.submit(_PROBE, (link.answered,))
            overdue_s = now - self._beat_at - BEATS_MISSED * self._heartbeat_s
            if self._heartbeat_s and self._subscription and overdue_s > 0:
                links[-1].close(
                    "silent",
                    f"no HEARTBEAT for {now - self._beat_at:.1f} s, expected every {self._heartbeat_s:g} s "
                    "(PEYVAND_SWITCH_HEARTBEAT_S, and event-heartbeat-interval of switch.conf)",
                )
                return

    def close(self, lost: LinkLost) -> None:
        """Close both sockets for this reason; `run` connects again."""
        for link in (self._commands, self._events):
            if link is not None and link.connected:
                link.close(lost.kind, str(lost))
        self._commands = self._events = None
        error = SwitchUnavailable(f"{self.name}: {lost}; whether it was carried out is unknown")
        jobs, self.jobs = self.jobs, {}
        apps, self.apps = self.apps, {}
        for waiter in jobs.values():
            waiter(error)
        for _, waiter in apps.values():
            waiter(error)

    def resync_failed(self) -> None:
        """The service could not read the node's state: start over."""
        self.close(LinkLost("resync", "the state of the node could not be read"))

    # -- commands ----------------------------------------------------------------------------------------------------

    def submit(self, data: bytes, waiters: Sequence[Waiter]) -> None:
        """Write commands in one piece, a waiter for each."""
        link = self._commands
        if link is None or link.lost is not None or not link.ready:
            error = SwitchUnavailable(f"{self.name}: {self._reason}")
            for waiter in waiters:
                waiter(error)
            return
        link.submit(data, waiters)
        self._poke_for(POKE_AFTER_COMMAND_S)

    def submit_job(self, job_id: str, data: bytes, waiter: EventWaiter) -> None:
        """Start a background job; ``waiter`` is registered before a byte goes out, since the job may overtake the reply."""

        def on_reply(reply: Frame | Exception) -> None:
            if isinstance(reply, Frame) and reply.text.startswith("+OK"):
                return
            if self.jobs.get(job_id) is waiter:  # it may have been given up, and the id used again
                del self.jobs[job_id]
                waiter(
                    reply
                    if isinstance(reply, Exception)
                    else Event.of({"Event-Name": "BACKGROUND_JOB"}, reply.text)
                )

        self.jobs[job_id] = waiter
        self.submit(data, (on_reply,))

    def submit_app(self, app_id: str, unique_id: str, data: bytes, waiter: EventWaiter, wait: bool) -> None:
        """Start an application; ``waiter`` gets its completion, or with ``wait`` false an event without meaning at once."""

        def on_reply(reply: Frame | Exception) -> None:
            if isinstance(reply, Frame) and reply.text.startswith("+OK"):
                if not wait:
                    waiter(Event("CHANNEL_EXECUTE"))
                return
            result = CallGone(f"{unique_id}: {reply.text.strip()}") if isinstance(reply, Frame) else reply
            if wait:
                self._end_app(app_id, result)
            else:
                waiter(result)

        if not wait:
            self.submit(data, (on_reply,))
            return
        first = not self._waits_for(unique_id)
        self.apps[app_id] = (unique_id, waiter)
        if first:
            self.submit(command(f"filter Unique-ID {unique_id}") + data, (_ignore, on_reply))
        else:
            self.submit(data, (on_reply,))

    def forget_job(self, job_id: str) -> None:
        """Nobody waits for the job any more."""
        self.jobs.pop(job_id, None)

    def forget_app(self, app_id: str) -> None:
        """Nobody waits for the application any more."""
        self._end_app(app_id, CallGone("given up"))

    def _end_app(self, app_id: str, result: Event | Exception) -> None:
        ended = self.apps.pop(app_id, None)
        if ended is None:
            return
        unique_id, waiter = ended
        waiter(result)
        if not self._waits_for(unique_id):
            link = self._commands
            if link is not None and link.lost is None:
                link.submit(command(f"filter delete Unique-ID {unique_id}"), (_ignore,))

    def _waits_for(self, unique_id: str) -> bool:
        return any(uuid == unique_id for uuid, _ in self.apps.values())

    # -- events ------------------------------------------------------------------------------------------------------

    def on_command_events(self, events: list[Event]) -> None:
        """Completions, on the command socket."""
        for event in events:
            if event.name == "BACKGROUND_JOB":
                waiter = self.jobs.pop(event.get("Job-UUID"), None)
                if waiter is not None:
                    waiter(event)
            elif event.name == "CHANNEL_EXECUTE_COMPLETE":
                self._end_app(event.application_id, event)
            elif event.name == "CHANNEL_HANGUP" and self.apps:
                gone = event.unique_id
                for app_id in [a for a, (uuid, _) in self.apps.items() if uuid == gone]:
                    self._end_app(app_id, CallGone(f"{gone}: {event.get('Hangup-Cause')}"))

    def on_subscribed_events(self, events: list[Event]) -> None:
        """Events the service asked for, on the event socket."""
        self._events_read.inc(len(events))
        if any(event.name == HEARTBEAT for event in events):
            self._beat_at = time.monotonic()
            if not self._beats_wanted:
                events = [event for event in events if event.name != HEARTBEAT]
        if events and self._prompt:
            self._fetch_promptly()
        if self._early is not None:
            self._early.extend(events)
            return
        inbox = self.inbox
        inbox.extend(events)
        self.wake()
        if len(inbox) > self._max_backlog:
            ESL_BACKLOG_CLOSES.labels(self.name).inc()
            self.close(LinkLost("backlog", f"more than {self._max_backlog} events wait for their handlers"))

    def on_malformed(self, frame: Frame) -> None:
        """Count a broken event; show the first one of a connection's life."""
        self._malformed.inc()
        if not self._malformed_logged:
            self._malformed_logged = True
            _log.error("event_malformed", node=self.name, headers=frame.headers, start=repr(frame.body[:200]))

    # -- pokes -------------------------------------------------------------------------------------------------------

    def _poke_for(self, seconds: float) -> None:
        self._poke_until = max(self._poke_until, gevent.get_hub().loop.now() + seconds)
        if not self._poker:
            self._poker = gevent.spawn(self._poke)

    def _poke(self) -> None:
        loop = gevent.get_hub().loop
        while self._commands is not None and (self.jobs or self.apps or loop.now() < self._poke_until):
            for link in (self._commands, None if self._prompter else self._events):
                if link is not None and link.ready:
                    link.poke()
            gevent.sleep(PROMPT_POKE_S if self._prompt else POKE_S)

    def _fetch_promptly(self) -> None:
        loop = gevent.get_hub().loop
        self._prompt_until = loop.now() + PROMPT_FOR_S
        if self._prompter is None:
            # A timer of the loop, not a greenlet that sleeps: half the cost.
            self._prompter = loop.timer(PROMPT_POKE_S, repeat=PROMPT_POKE_S)
            self._prompter.start(self._poke_promptly)

    def _poke_promptly(self) -> None:
        link = self._events
        if link is None or gevent.get_hub().loop.now() >= self._prompt_until:
            self._prompter.stop()
            self._prompter.close()
            self._prompter = None
        elif link.ready:
            link.poke()


class _CommandLink(InboundLink):
    node: Node
    ready = False
    asked_at = 0.0  # When a sign of life was asked for that has not come; else 0.

    def answered(self, reply: Frame | Exception) -> None:
        """Take the answer to a question that only asked for a sign of life."""
        self.asked_at = 0.0

    def authenticate(self) -> None:
        super().authenticate()
        self.ready = True

    def on_events(self, events: list[Event]) -> None:
        self.node.on_command_events(events)

    def on_malformed(self, frame: Frame) -> None:
        self.node.on_malformed(frame)

    def error_for(self, lost: LinkLost) -> Exception:
        return SwitchUnavailable(f"{self.node.name}: {lost}; whether it was carried out is unknown")


class _EventLink(_CommandLink):
    def on_events(self, events: list[Event]) -> None:
        self.node.on_subscribed_events(events)


def _ignore(reply: Frame | Exception) -> None:
    """Take a reply that decides nothing: without its filter, completions come as well, among others."""


def _value(reply: Frame) -> str:
    text = reply.text.strip()
    return "" if text.startswith("-") else text
