"""FreeSWITCH's side of the outbound event socket for one call, scripted by a test.

Answers as the transcripts in tests/vectors/esl do: ``connect`` percent-encoded, +OK for queued applications, their
CHANNEL_EXECUTE_COMPLETE with our Event-UUID when they end; applications run one after the other. A playback lasts until
it is broken off or the test ends it, so no test waits for audio.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from services.common.bus import codec, subjects
from services.common.bus.memory import MemoryBroker

FACTS = subjects.any_fact(service="ivr")
UUID = "6c0e2f3a-7f0d-4d3c-9c57-0a2b1c3d4e5f"


def facts_in(what: str, message: Any) -> Iterator[tuple[str, Any]]:
    """What a message of ivr tells: its steps, each as ``stepped``, then itself."""
    for step in getattr(message, "steps", ()):
        yield "stepped", step
    if what != "stepped-on":
        yield what, message


def told(broker: MemoryBroker) -> list[Any]:
    """Everything that ivr has told so far, steps each by themselves."""
    return [fact for entry in broker.entries(FACTS) for _, fact in facts_in("", codec.decode(entry))]


async def told_of_a_whole_call(broker: MemoryBroker, kind: str) -> list[Any]:
    """All facts of this type, once the call has ended for ivr."""
    for _ in range(2000):
        facts = told(broker)
        if any(type(fact).__name__ in ("IvrEnded", "ContactHandedOver") for fact in facts):
            return [fact for fact in facts if type(fact).__name__ == kind]
        await asyncio.sleep(0.005)
    raise AssertionError(f"the call has no end: {facts}")


class FakeCall:
    """One call. ``applications`` is what ivr executed, in order, as (name, argument)."""

    def __init__(
        self, variables: dict[str, str], *, caller: str = "09121234567", missing: tuple[str, ...] = ()
    ) -> None:
        self.headers = {
            "Event-Name": "CHANNEL_DATA",
            "Unique-ID": UUID,
            "FreeSWITCH-Switchname": "fs9",
            "Caller-Caller-ID-Number": caller,
            "Caller-Caller-ID-Name": 'Zoë "Z" %41',
            "Caller-Destination-Number": variables.get("cc_entry", ""),
            **{f"variable_{name}": value for name, value in variables.items()},
        }
        self.missing = missing
        self.deaf_to_breaks = 0
        self.applications: list[tuple[str, str]] = []
        self.variables: dict[str, str] = {}
        self.told: list[dict[str, str]] = []
        """Headers of the events that ivr sent, their names in small letters."""
        self.transfer = "SUCCESS"
        self.let_go = asyncio.Event()
        """Set when ivr sent ``exit`` or closed: the dialplan has the call again."""
        self.hung_up = False
        self._queue: deque[tuple[str, str, str]] = deque()
        self._running: tuple[str, str, str] | None = None
        self._changed = asyncio.Condition()

    async def connect(self, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._task = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """End the socket as a dead FreeSWITCH does."""
        self._writer.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def playing(self, name: str) -> None:
        """Return when a playback whose argument contains ``name`` runs."""
        await self._until(
            lambda: self._running is not None and self._running[0] == "playback" and name in self._running[1]
        )

    async def executed(self, application: str) -> str:
        """Return the argument of an application once it ran, or began to."""
        await self._until(lambda: any(name == application for name, _ in self.applications))
        return next(argument for name, argument in self.applications if name == application)

    async def press(self, key: str) -> None:
        await self._event("DTMF", {"DTMF-Digit": key, "DTMF-Duration": "1600"})

    async def end_playback(self) -> None:
        await self._complete("FILE PLAYED")

    async def hang_up(self, cause: str = "NORMAL_CLEARING") -> None:
        self.hung_up = True
        for name in ("CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"):
            await self._event(name, {"Hangup-Cause": cause})

    async def bridged(self) -> None:
        await self._event("CHANNEL_BRIDGE", {"Other-Leg-Unique-ID": "b-leg"})

    async def end_recording(self, length_ms: int) -> None:
        await self._complete("_none_", {"variable_record_ms": str(length_ms)})

    async def end_bridge(self) -> None:
        await self._complete("_none_", {"variable_originate_disposition": self.transfer})

    # -- the wire ----------------------------------------------------------------------------------------------------

    async def _until(self, condition: object) -> None:
        assert callable(condition)
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), 10)

    async def _serve(self) -> None:
        try:
            while True:
                line = (await self._reader.readline()).decode()
                if not line:
                    break
                if line == "\n":
                    continue  # a poke
                headers: dict[str, str] = {}
                while (more := (await self._reader.readline()).decode()) not in ("\n", ""):
                    name, _, value = more.rstrip("\n").partition(": ")
                    headers[name.lower()] = value
                body = (await self._reader.readexactly(int(headers.get("content-length", "0")))).decode()
                await self._command(line.rstrip("\n"), headers, body)
        except ConnectionError:
            pass
        finally:
            self.let_go.set()

    async def _command(self, line: str, headers: dict[str, str], body: str) -> None:
        if line == "connect":
            text = "".join(f"{name}: {quote(value)}\n" for name, value in self.headers.items())
            self._writer.write(f"Content-Type: command/reply\nReply-Text: %2BOK%0A\n{text}\n".encode())
        elif line.startswith("api uuid_break"):
            self._answer("api/response", "+OK\n")
            if self.deaf_to_breaks:
                self.deaf_to_breaks -= 1
            elif self._running is not None and self._running[0] == "playback":
                await self._complete("FILE PLAYED")
        elif line.startswith("api uuid_setvar_multi"):
            self.variables |= dict(pair.split("=", 1) for pair in line.split(" ", 3)[3].split(";"))
            self._answer("api/response", "+OK\n")
        elif line.startswith("api file_exists"):
            self._answer("api/response", "false" if any(part in line for part in self.missing) else "true")
        elif line.startswith("sendevent"):
            self.told.append(headers)
            self._answer("command/reply", "+OK 7f4de4bc-17d7-11dd-b7a0-db4edd065621")
        elif line.startswith("sendmsg"):
            self._answer("command/reply", "+OK")
            self._queue.append((headers["execute-app-name"], body, headers["event-uuid"]))
            await self._next()
        else:
            self._answer("command/reply", "+OK bye" if line == "exit" else "+OK")
            if line == "exit":
                await self._writer.drain()
                self.let_go.set()

    def _answer(self, kind: str, text: str) -> None:
        if kind == "api/response":
            self._writer.write(f"Content-Type: {kind}\nContent-Length: {len(text)}\n\n{text}".encode())
        else:
            self._writer.write(f"Content-Type: {kind}\nReply-Text: {text}\n\n".encode())

    async def _event(self, name: str, headers: dict[str, str]) -> None:
        body = json.dumps({"Event-Name": name, "Unique-ID": UUID, **headers}, separators=(",", ":"))
        head = f"Content-Length: {len(body.encode())}\nContent-Type: text/event-json\n\n"
        self._writer.write((head + body).encode())
        await self._writer.drain()

    async def _next(self) -> None:
        """Run the next application if none runs."""
        while self._running is None and self._queue and not self.hung_up:
            self._running = self._queue.popleft()
            name, argument, _ = self._running
            self.applications.append((name, argument))
            if name == "multiset":
                self.variables |= dict(pair.split("=", 1) for pair in argument.removeprefix("^^;").split(";"))
                await self._complete("_none_")
            elif name == "playback" and any(part in argument for part in self.missing):
                await self._complete("FILE NOT FOUND")
            elif name == "mkdir":
                await self._complete("_none_")
            elif name == "hangup":
                await self.hang_up(argument)
        async with self._changed:
            self._changed.notify_all()

    async def _complete(self, response: str, headers: dict[str, str] | None = None) -> None:
        assert self._running is not None, "nothing runs that could end"
        (name, _, app_id), self._running = self._running, None
        about = {"Application": name, "Application-Response": response, "Application-UUID": app_id}
        await self._event("CHANNEL_EXECUTE_COMPLETE", {**about, **(headers or {})})
        await self._next()
