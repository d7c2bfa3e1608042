"""Commands of the event socket: ``parse_command`` of mod_event_socket.c (1.10.12), in its order, with its texts.

Commands are known by the *beginning* of the line (``exitfoo`` is ``exit``), and the order of the tests decides. What the
simulated switch does not do it says: ``xml`` and ``unicast`` are refused with a reason instead of being accepted silently.
"""

from __future__ import annotations

import asyncio
import uuid as uuids
from typing import Any, Final

from services.simswitch.channel import Channel
from services.simswitch.connection import Link
from services.simswitch.core import logs
from services.simswitch.core.command import Command
from services.simswitch.core.wire import EVENT_NAMES, Event, Value
from services.simswitch.messages import Message

_NOT_CONTROLLING: Final = "-ERR not controlling a session"
_SUBCLASSES: Final = frozenset(
    [
        "sofia::register",
        "sofia::pre_register",
        "sofia::register_attempt",
        "sofia::register_failure",
        "sofia::unregister",
        "sofia::expire",
        "sofia::gateway_add",
        "sofia::gateway_delete",
        "sofia::gateway_state",
        "sofia::gateway_invalid_digest_req",
        "sofia::recovery_recv",
        "sofia::recovery_send",
        "sofia::recovery_recovered",
        "sofia::notify_refer",
        "sofia::reinvite",
        "sofia::error",
        "sofia::profile_start",
        "sofia::intercepted",
        "sofia::transferor",
        "sofia::transferee",
        "sofia::replaced",
        "sofia::wrong_call_state",
        "sofia::sip_user_state",
        "conference::maintenance",
        "conference::cdr",
        "spandsp::rxfaxresult",
    ]
)
"""Custom events that modules announce: what ``ALL`` leaves subscribed when one name is taken out again."""


class Connection(Link):
    """One connection with its commands."""

    is_async = True
    log_level: int | None = None

    async def _carry_out(self, command: Command) -> bool:
        await self.switch.faults.before_reply()
        if command.magic:
            await self._module(command.magic)
            return True
        lower = command.line.lower()
        if lower.startswith(("exit", "...")):
            self._reply("+OK bye")
            return False
        reply = await self.handle(command)
        if reply is not None:
            self._reply(reply or "-ERR command not found")
        return True

    async def _module(self, what: str) -> None:
        job = str(uuids.uuid4())
        if self.subscription.rights.may_run("bgapi", f"{what} mod_event_socket"):
            self._api_response(f"+OK Job-UUID: {job}\n")
            self.switch.spawn(self.switch.reload_event_socket(what == "reload"), f"{what} mod_event_socket")
        else:
            self._reply("-ERR permission denied")

    async def handle(self, command: Command) -> str | None:
        """Carry out one command; None when the reply is already written, empty for an unknown command."""
        line, lower = command.line, command.line.lower()
        sub = self.subscription
        if lower.startswith("filter "):
            return sub.filter(line[7:])
        if self.session is not None and lower.startswith("resume"):
            self.session.variables["socket_resume"] = "true"
            return "+OK"
        if self.session is not None and lower.startswith("getvar"):
            return self.session.var(line.partition(" ")[2])
        if lower.startswith("myevents ") or (self.session is not None and lower.startswith("myevents")):
            return self._myevents(line[8:])
        if lower.startswith("divert_events"):
            return self._divert(line[13:].strip(" ").lower())
        if lower.startswith("sendmsg"):
            return await self._sendmsg(command)
        return await self.handle_full(command)

    async def handle_full(self, command: Command) -> str | None:
        """The commands that an outbound connection has only with ``full``."""
        line, lower = command.line, command.line.lower()
        sub = self.subscription
        words = line.split(" ")[1:]
        if lower.startswith("sendevent"):
            return self._sendevent(command, line[9:].strip(" \t"))
        if lower.startswith("api "):
            return await self._run_api(line[4:])
        if lower.startswith("bgapi "):
            return await self._bgapi(command, line[6:])
        if lower.startswith("log"):
            return self._log(line[3:].strip(" ").partition(" ")[0])
        if lower.startswith("linger"):
            return self._linger(line[6:])
        if lower.startswith("nolinger"):
            if self.session is None:
                return _NOT_CONTROLLING
            self.linger = None
            return "+OK will not linger"
        if lower.startswith("nolog"):
            was, self.log_level = self.log_level, None
            return "-ERR not loging" if was is None else "+OK no longer logging"
        if lower.startswith("event"):
            return self._subscribed(sub.event(words))
        if lower.startswith("nixevent"):
            return self._subscribed(sub.nixevent(words, lambda: set(_SUBCLASSES)))
        if lower.startswith("noevents"):
            self.flush_events()
            return self._subscribed(sub.noevents())
        return ""

    def _subscribed(self, reply: str) -> str:
        """What is heard may have changed, by a command that was refused half-way, too."""
        self.switch.hearing_changed()
        return reply

    # -- the session

    def _myevents(self, rest: str) -> str:
        if self.subscription.only_session:
            return "-ERR aready enabled."
        if self.session is not None:
            return self._subscribed(self.subscription.my_events(self.session.uuid, rest))
        uuid, _, fmt = rest.strip(" ").partition(" ")
        leg = self.switch.find(uuid)
        if leg is None and fmt:
            return "-ERR invalid uuid"
        # The format of an inbound myevents is read from the command that was cut before it: it never counts (measured). A uuid
        # that is nobody's is answered +OK and delivers the events of every channel.
        reply = self._subscribed(self.subscription.my_events(uuid if leg is not None else "", ""))
        if leg is not None:
            self.session = leg
            leg.watchers.append(self)
        return reply

    def _divert(self, value: str) -> str:
        if self.session is None:
            return "-ERR not controlling a session."
        if not value:
            return "-ERR missing value."
        self.session.diverted_to = self if value == "on" else None
        return "+OK events diverted" if value == "on" else "+OK events not diverted"

    def _linger(self, rest: str) -> str:
        if self.session is None:
            return _NOT_CONTROLLING
        if not rest.startswith(" ") or not rest[1:]:
            self.linger = -1
            return "+OK will linger"
        digits = rest.strip()
        self.linger = int(digits) if digits.lstrip("-").isdigit() else 0
        if self.linger == -1:
            return "+OK will linger"
        return f"+OK will linger {self.linger} seconds"

    def session_hung_up(self) -> None:
        """The leg that this connection controls begins to end. Without linger the connection ends too, before
        CHANNEL_HANGUP_COMPLETE (27 of 30 times, measured)."""
        if self.closed:
            return
        if self.linger is None:
            self.bye_soon()
            return
        self._notice("linger", "")
        if self.linger >= 0:
            asyncio.get_running_loop().call_later(self.linger, self.bye_soon)

    async def session_ended(self) -> None:
        """It is over, but for its destruction, which waits until the connection is closed."""
        if self.linger is not None:
            await self.freed.wait()

    async def _sendmsg(self, command: Command) -> str:
        target = command.line[7:].strip(" ") or command.headers.get("session-id", "")
        own = self.session is not None and target in ("", self.session.uuid)
        leg = self.session if own else self.switch.find(target)
        # Somebody else's leg that hung up can no longer be taken hold of (switch_core_session_locate), not even while it lingers.
        if leg is None or not (own or target) or (leg.down and not own):
            return f"-ERR invalid session id [{target}]"
        kind = command.headers.get("call-command", "").lower()
        if kind == "unicast":
            return "-ERR unicast is not spoken by this simulated switch: it has no media socket"
        if leg.down:
            return "+OK"
        if kind == "hangup":
            leg.end(command.headers.get("hangup-cause") or "NORMAL_CLEARING", by="command")
        elif kind == "execute":
            # A command that names no session is never cut at its first line: its whole text is a header of the event.
            first = command.line if command.line[7:].strip(" ") else command.text
            message = _message(command, first)
            leg.queue(message)
            if own and not self._runs_beside(command):
                # Without async the application runs in the connection's own thread: its reply and all events come after it.
                await self._ran(leg, message)
        elif kind == "nomedia":
            self.switch.fire("PRIVATE_COMMAND", leg, variables=False, head=dict(command.written))
        return "+OK"

    async def _ran(self, leg: Channel, message: Message) -> None:
        """Wait until the message was run or never will be."""
        loop = asyncio.get_running_loop()
        ends: set[asyncio.Future[Any]] = {loop.create_task(e.wait()) for e in (message.done, self.freed)}
        if leg.task is not None:
            ends.add(leg.task)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends - {leg.task}:
            end.cancel()

    def _runs_beside(self, command: Command) -> bool:
        return self.is_async or command.headers.get("async", "").lower() in (
            "true",
            "yes",
            "on",
            "1",
            "t",
            "y",
        )

    # -- commands of the switch

    async def _run_api(self, text: str) -> str | None:
        name, _, argument = text.partition(" ")
        if not self.subscription.rights.may_run(name, argument):
            return "-ERR permission denied"
        output = await self.switch.api(self.switch, name, argument)
        self._fire_api(name, argument)
        self._api_response(output or "-ERR no reply\n")
        return None

    def _api_response(self, output: str) -> None:
        body = output.encode("utf-8", "surrogateescape")
        self._write(b"Content-Type: api/response\nContent-Length: %d\n\n" % len(body) + body)

    def _fire_api(self, name: str, argument: str) -> None:
        tail: dict[str, Value] = {"API-Command": name}
        if argument:
            tail["API-Command-Argument"] = argument
        self.switch.fire("API", tail=tail)

    async def _bgapi(self, command: Command, text: str) -> str:
        name, _, argument = text.partition(" ")
        if not self.subscription.rights.may_run(name, argument):
            return "-ERR permission denied"
        job = command.headers.get("job-uuid") or str(uuids.uuid4())
        task = self.switch.spawn(self._job(job, name, argument), f"job {job}")
        self.jobs.add(task)
        task.add_done_callback(self.jobs.discard)
        # The real listener waits until the job's thread has begun: a kill that follows an originate finds its leg.
        await asyncio.sleep(0)
        return f"~Reply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n"

    async def _job(self, job: str, name: str, argument: str) -> None:
        await self.switch.faults.before_job()
        output = await self.switch.api(self.switch, name, argument)
        self._fire_api(name, argument)
        head: dict[str, Value] = {"Job-UUID": job}
        if self.session is not None:
            head["Job-Owner-UUID"] = self.session.uuid
        head["Job-Command"] = name
        if argument:
            head["Job-Command-Arg"] = argument
        self.switch.fire("BACKGROUND_JOB", head=head, body=output or "-ERR no reply\n", owner=self.session)

    def _sendevent(self, command: Command, name: str) -> str:
        event_uuid = str(uuids.uuid4())
        subclass = command.headers.get("event-subclass", "") if name.upper() == "CUSTOM" else ""
        headers: dict[str, Value] = {"Event-Subclass": subclass} if subclass else {}
        headers["Command"] = command.line
        for header, value in command.written.items():
            headers[header] = value[7:].split("|:") if value.startswith("ARRAY::") else value
        headers["Event-UUID"] = event_uuid
        leg = self.switch.find(command.headers.get("unique-id", ""))
        if leg is not None and leg.diverted_to is not None and not leg.down:
            # Queued to the session instead of fired: never prepared for delivery, so without even a name.
            leg.diverted_to.push(Event("", headers, command.body or None))
        elif leg is None:
            known = name.upper() if name.upper() in EVENT_NAMES - {"ALL"} else "CUSTOM"
            self.switch.fire_own(known, headers, subclass=subclass, body=command.body or None)
        return f"+OK {event_uuid}"

    def _log(self, level: str) -> str:
        if not self.subscription.rights.log:
            return "-ERR permission denied"
        number = logs.level(level) if level else 7
        if number is None:
            return "-ERR invalid log level"
        self.log_level = number
        self.switch.loggers.add(self)
        return f"+OK log level {level} [{number}]"

    def _end(self) -> None:
        if not self.closed:
            super()._end()
            self.switch.loggers.discard(self)


def _message(command: Command, first: str) -> Message:
    loops = command.headers.get("loops", "1")
    return Message(
        app=command.headers.get("execute-app-name", ""),
        data=command.headers.get("execute-app-arg", "") or command.body,
        event_uuid=command.headers.get("event-uuid", ""),
        locked=command.headers.get("event-lock", "").lower() == "true",
        loops=int(loops) if loops.lstrip("-").isdigit() else 1,
        headers={"Command": first, **command.written},
    )
